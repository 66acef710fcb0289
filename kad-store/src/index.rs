//! What the stores in a caller's memory share: places for items, chains of blocks, and who makes way for whom.

use kad_wire::{Digest, Instant, ItemStatus, Key, Offer, Query, Sink};

use crate::eviction::{Class, PlaceUnderKey, WIDE_PART, place_under_key};
use crate::record::{Record, cursor_after};
use crate::source::Source;
use crate::{Due, Limits, Listed, Page, Usage};

/// A block's number plus one; 0 for none.
pub(crate) type Link = u16;

/// A place for an item. Opaque: made by [`EMPTY`](Self::EMPTY), used by the store.
#[derive(Clone, Copy, Debug)]
pub struct FixedRecord {
    pub(crate) used: bool,
    /// It makes way for the newcomer that is being looked at.
    pub(crate) leaves: bool,
    pub(crate) record: Record,
    pub(crate) first: Link,
    /// For the store that the index belongs to.
    #[cfg_attr(not(feature = "flash"), expect(dead_code, reason = "it fills a gap"))]
    pub(crate) note: u32,
}

impl FixedRecord {
    /// An unused place: all zero bits.
    pub const EMPTY: Self = Self { used: false, leaves: false, record: Record::EMPTY, first: 0, note: 0 };
}

/// A part of a value, or what is known of one.
pub(crate) trait Block {
    /// Bytes of a value that it stands for.
    const LEN: usize;
    fn next(&self) -> Link;
    fn set_next(&mut self, next: Link);
}

/// Blocks that `len` bytes take.
pub(crate) fn blocks_for<B: Block>(len: u32) -> usize {
    (len as usize).div_ceil(B::LEN)
}

/// The blocks of a chain, in order, as far as the slice goes.
pub(crate) fn chain<B: Block>(blocks: &[B], first: Link) -> impl Iterator<Item = usize> {
    let known = |link: Link| usize::from(link).checked_sub(1).filter(|&at| at < blocks.len());
    core::iter::successors(known(first), move |&at| known(blocks.get(at)?.next())).take(blocks.len())
}

/// Which items there are, where their bytes are, and the rules. The bytes themselves are the store's.
#[derive(Debug)]
pub(crate) struct Index<'m, B> {
    pub(crate) limits: Limits,
    pub(crate) records: &'m mut [FixedRecord],
    pub(crate) blocks: &'m mut [B],
    pub(crate) evicted: u64,
    pub(crate) last_cursor: u32,
    first_free: Link,
    bytes: u64,
}

impl<'m, B: Block> Index<'m, B> {
    /// An empty index: `limits.items` is lowered to the places that there are.
    pub(crate) fn new(limits: Limits, records: &'m mut [FixedRecord], blocks: &'m mut [B]) -> Self {
        records.fill(FixedRecord::EMPTY);
        let limits = Limits { items: limits.items.min(records.len()), ..limits };
        let mut index = Self { limits, records, blocks, first_free: 0, bytes: 0, evicted: 0, last_cursor: 0 };
        for at in (0..index.block_count()).rev() {
            index.free_block(at);
        }
        index
    }

    /// An index of records and blocks as they were before a restart: those that no item takes are free.
    #[cfg(feature = "flash")]
    pub(crate) fn rebuilt(
        limits: Limits,
        records: &'m mut [FixedRecord],
        blocks: &'m mut [B],
        last_cursor: u32,
        mut free: impl FnMut(&mut B) -> bool,
    ) -> Self {
        let limits = Limits { items: limits.items.min(records.len()), ..limits };
        let mut index = Self { limits, records, blocks, first_free: 0, bytes: 0, evicted: 0, last_cursor };
        for slot in index.records.iter_mut().filter(|slot| !slot.used) {
            *slot = FixedRecord::EMPTY;
        }
        index.bytes = index.records.iter().map(|slot| u64::from(slot.record.len)).sum();
        for at in (0..index.block_count()).rev() {
            if index.blocks.get_mut(at).is_some_and(&mut free) {
                index.free_block(at);
            }
        }
        index
    }

    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len().min(usize::from(Link::MAX))
    }

    fn free_block(&mut self, at: usize) {
        if let Some(block) = self.blocks.get_mut(at) {
            block.set_next(self.first_free);
            self.first_free = (at + 1) as Link;
        }
    }

    fn used(&self) -> impl Iterator<Item = (usize, &FixedRecord)> + Clone {
        self.records.iter().enumerate().filter(|(_, slot)| slot.used)
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = &FixedRecord> + Clone {
        self.records.iter().filter(move |slot| slot.used && slot.record.is_alive(now))
    }

    pub(crate) fn position(&self, key: &Key, digest: &Digest) -> Option<usize> {
        self.records.iter().position(|slot| slot.used && slot.record.digest == *digest && slot.record.key == *key)
    }

    /// The place of an item that is alive.
    pub(crate) fn get(&self, now: Instant, key: &Key, digest: &Digest) -> Option<(usize, &FixedRecord)> {
        let position = self.position(key, digest)?;
        let slot = self.records.get(position)?;
        slot.record.is_alive(now).then_some((position, slot))
    }

    /// Whether what stays fits, and a newcomer.
    fn fits(&self, newcomer: Option<&Record>) -> bool {
        let stays = self.used().filter(|(_, slot)| !slot.leaves).map(|(_, slot)| &slot.record);
        let (items, blocks, bytes) = stays.chain(newcomer).fold((0, 0, 0), |(items, blocks, bytes), record| {
            (items + 1, blocks + blocks_for::<B>(record.len), bytes + self.limits.charge(record.len))
        });
        items <= self.limits.items && blocks <= self.block_count() && bytes <= self.limits.bytes
    }

    /// What a source has of the store, a newcomer included: what decides, and what is its own of that.
    fn share(&self, source: Source, newcomer: Option<&Record>) -> (u64, u64) {
        let stays = self.used().filter(|(_, slot)| !slot.leaves).map(|(_, slot)| &slot.record);
        let kept = stays.chain(newcomer).filter(|record| record.class() == Class::Kept);
        let (mut narrow, mut wide) = (0, 0);
        for record in kept.filter(|record| record.source.wide() == source.wide()) {
            let weight = self.limits.weight(record.len);
            wide += weight;
            narrow += if record.source == source { weight } else { 0 };
        }
        ((narrow * WIDE_PART).max(wide), narrow)
    }

    /// The source that gives something up.
    fn largest_source(&self, newcomer: Option<&Record>) -> Option<Source> {
        let stays = self.used().filter(|(_, slot)| !slot.leaves).map(|(_, slot)| &slot.record);
        let kept = stays.chain(newcomer).filter(|record| record.class() == Class::Kept);
        let mut largest: Option<((u64, u64), Source)> = None;
        for record in kept {
            if largest.is_some_and(|(_, source)| source == record.source) {
                continue;
            }
            let share = (self.share(record.source, newcomer), record.source);
            if largest.is_none_or(|largest| share > largest) {
                largest = Some(share);
            }
        }
        largest.map(|(_, source)| source)
    }

    /// What makes way next; `None` when that would be the newcomer itself, or nothing may.
    fn next_victim(&self, newcomer: Option<&Record>) -> Option<usize> {
        let least = |class: Class, source: Option<Source>| {
            let among = self.used().filter(|(_, slot)| !slot.leaves && slot.record.class() == class);
            let among = among.filter(|(_, slot)| source.is_none_or(|source| slot.record.source == source));
            among.min_by(|(_, a), (_, b)| a.record.rank(&self.limits).cmp(&b.record.rank(&self.limits)))
        };
        let outranked = |slot: &FixedRecord, by: &Record| slot.record.rank(&self.limits) < by.rank(&self.limits);
        let (position, slot, rival) = match least(Class::First, None) {
            Some((position, slot)) => (position, slot, newcomer.filter(|newcomer| newcomer.class() == Class::First)),
            None => {
                newcomer.filter(|newcomer| newcomer.class() == Class::First).is_none().then_some(())?;
                let source = self.largest_source(newcomer)?;
                let (position, slot) = least(Class::Kept, Some(source))?;
                (position, slot, newcomer.filter(|newcomer| !newcomer.own && newcomer.source == source))
            }
        };
        rival.is_none_or(|rival| outranked(slot, rival)).then_some(position)
    }

    /// Marks what leaves so that all the rest fits, and a newcomer. Returns whether it does; if not, all stay.
    fn make_way(&mut self, newcomer: Option<&Record>) -> bool {
        while !self.fits(newcomer) {
            let Some(slot) = self.next_victim(newcomer).and_then(|position| self.records.get_mut(position)) else {
                self.all_stay();
                return false;
            };
            slot.leaves = true;
        }
        true
    }

    /// Marks what lowered limits have no room for.
    #[cfg(feature = "flash")]
    pub(crate) fn keep_to_limits(&mut self) {
        while !self.fits(None) {
            let Some(slot) = self.next_victim(None).and_then(|position| self.records.get_mut(position)) else { return };
            slot.leaves = true;
        }
    }

    /// Takes the marks back: nothing comes.
    pub(crate) fn all_stay(&mut self) {
        self.records.iter_mut().for_each(|slot| slot.leaves = false);
    }

    /// An item that is marked to leave.
    pub(crate) fn next_leaving(&self) -> Option<usize> {
        self.used().find(|(_, slot)| slot.leaves).map(|(position, _)| position)
    }

    /// Decides about an item that is not held. Returns its record; what makes way for it is marked until it has
    /// [left](Self::next_leaving) or [stays](Self::all_stay). Whatever has expired must have been removed before.
    pub(crate) fn admit(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Result<Record, ItemStatus> {
        self.last_cursor = cursor_after(self.last_cursor);
        let mut record = Record::new(now, &self.limits, offer, own, self.last_cursor);
        if !record.is_alive(now) {
            return Err(ItemStatus::Expired);
        }
        let under_key = self.alive(now).map(|slot| &slot.record).filter(|held| held.key == record.key);
        let (deleted, displaced) = match place_under_key(&self.limits, &record, under_key) {
            PlaceUnderKey::Without { deleted, displaced } => (deleted, displaced),
            PlaceUnderKey::Deleted => return Err(ItemStatus::Deleted),
            PlaceUnderKey::None => return Err(ItemStatus::Full),
        };
        if blocks_for::<B>(record.len) > self.blocks.len() {
            return Err(ItemStatus::TooLarge);
        }
        record.has_deleted = deleted.is_some();
        for digest in deleted.into_iter().chain(displaced) {
            let position = self.position(&record.key, &digest);
            if let Some(slot) = position.and_then(|position| self.records.get_mut(position)) {
                slot.leaves = true;
            }
        }
        if self.make_way(Some(&record)) { Ok(record) } else { Err(ItemStatus::Full) }
    }

    /// Takes a place and blocks for an item that fits.
    pub(crate) fn insert(&mut self, record: Record) -> Option<usize> {
        let position = self.records.iter().position(|slot| !slot.used)?;
        let first = self.take_blocks(blocks_for::<B>(record.len));
        *self.records.get_mut(position)? = FixedRecord { used: true, record, first, ..FixedRecord::EMPTY };
        self.bytes += u64::from(record.len);
        Some(position)
    }

    fn take_blocks(&mut self, count: usize) -> Link {
        let Some(last) = chain(self.blocks, self.first_free).take(count).last() else { return 0 };
        let first = self.first_free;
        if let Some(block) = self.blocks.get_mut(last) {
            self.first_free = block.next();
            block.set_next(0);
        }
        first
    }

    /// Frees a place and its blocks.
    pub(crate) fn remove(&mut self, position: usize) {
        let Some(slot) = self.records.get_mut(position) else { return };
        let FixedRecord { record, first, .. } = core::mem::replace(slot, FixedRecord::EMPTY);
        self.bytes -= u64::from(record.len);
        let last = chain(self.blocks, first).last().and_then(|last| self.blocks.get_mut(last));
        if let Some(last) = last {
            last.set_next(self.first_free);
            self.first_free = first;
        }
    }

    pub(crate) fn next_expired(&self, now: Instant) -> Option<usize> {
        self.records.iter().position(|slot| slot.used && !slot.record.is_alive(now))
    }

    /// The next item of a find: the newest that is older than `after`.
    fn next_match(&self, now: Instant, query: &Query, after: Option<&Record>) -> Option<(usize, &FixedRecord)> {
        let matching = self.used().filter(|(_, slot)| slot.record.key == query.key && slot.record.matches(now, query));
        let older = matching.filter(|(_, slot)| after.is_none_or(|after| after.newest_first(&slot.record).is_lt()));
        older.min_by(|(_, a), (_, b)| a.record.newest_first(&b.record))
    }

    /// See [`Store::find`](crate::Store::find); `copy` fills a hole with an item's first bytes.
    pub(crate) fn find(
        &self,
        now: Instant,
        query: &Query,
        sink: &mut dyn Sink,
        mut copy: impl FnMut(&[B], (usize, &FixedRecord), &mut [u8]),
    ) -> Page {
        let matches = |slot: &&FixedRecord| slot.record.key == query.key && slot.record.matches(now, query);
        let total = self.alive(now).filter(matches).count();
        // It may have expired or become too old since: it is where the list goes on.
        let named =
            |(_, slot): &(usize, &FixedRecord)| slot.record.key == query.key && slot.record.cursor == query.cursor;
        let mut after = self.used().find(named).map(|(_, slot)| &slot.record);
        let mut last = if query.cursor == 0 { Page::FROM_START } else { query.cursor };
        while let Some((position, slot)) = self.next_match(now, query, after) {
            let Some(hole) = sink.push(&slot.record.header(now)) else {
                return Page { total, next_cursor: last };
            };
            copy(self.blocks, (position, slot), hole);
            last = slot.record.cursor;
            after = Some(&slot.record);
        }
        Page { total, next_cursor: 0 }
    }

    /// The next item of this node's own under a key.
    pub(crate) fn next_own(&self, key: &Key, digest: Option<&Digest>) -> Option<usize> {
        let chosen = |record: &Record| record.key == *key && record.is_forgotten_by(digest);
        self.records.iter().position(|slot| slot.used && chosen(&slot.record))
    }

    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<Due> {
        loop {
            let mut first = None;
            for slot in self.records.iter_mut().filter(|slot| slot.used) {
                if let Some((at, mode)) = slot.record.due()
                    && at <= now
                    && first.as_ref().is_none_or(|(order, _, _)| (at, slot.record.cursor) < *order)
                {
                    first = Some(((at, slot.record.cursor), mode, &mut slot.record));
                }
            }
            let (_, mode, record) = first?;
            let taken = record.take_due(now, &self.limits, mode);
            if taken.is_some() {
                return taken;
            }
        }
    }

    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.used().map(|(_, slot)| slot.record.next_wake()).min()
    }

    pub(crate) fn due_near(
        &mut self,
        now: Instant,
        until: Instant,
        first: &Due,
        bits: usize,
        take: &mut dyn FnMut(&Due) -> bool,
    ) {
        let near = |slot: &&mut FixedRecord| slot.used && slot.record.is_due_with(until, first, bits);
        for slot in self.records.iter_mut().filter(near) {
            let Record { replicate_at, republish_at, .. } = slot.record;
            let due = slot.record.take_due(now, &self.limits, first.mode);
            if due.is_some_and(|due| !take(&due)) {
                (slot.record.replicate_at, slot.record.republish_at) = (replicate_at, republish_at);
                return;
            }
        }
    }

    pub(crate) fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        let later = |slot: &&FixedRecord| after.is_none_or(|(key, digest)| slot.record.place() > (key, digest));
        let next = self.alive(now).filter(later).min_by(|a, b| a.record.place().cmp(&b.record.place()));
        next.map(|slot| slot.record.listed(now))
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { items: self.used().count(), bytes: self.bytes, evicted: self.evicted, failed: 0 }
    }
}

// What the documentation says of memory, and what boards have measured.
const _: () = assert!(size_of::<FixedRecord>() == 128);
