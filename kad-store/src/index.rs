//! The items of a store in a caller's memory: a slice of records, and the chains of blocks that hold their values.

use kad_wire::{Digest, Instant, ItemStatus, Key, Offer, Query, Sink};

use crate::eviction::per_key::{PlaceUnderKey, place_under_key};
use crate::record::{Record, cursor_after};
use crate::{Due, Limits, Listed, Page, Usage};

/// A block's number plus one; 0 for none.
pub(crate) type Link = u16;

/// Memory for one item without its bytes: 128 bytes. Opaque: make it with [`EMPTY`](Self::EMPTY) and hand it to a store.
#[derive(Clone, Copy, Debug)]
pub struct FixedRecord {
    pub(crate) used: bool,
    /// The item is evicted if the item that is being offered is stored.
    pub(crate) is_victim: bool,
    pub(crate) record: Record,
    pub(crate) first: Link,
    /// In a flash store: by how many milliseconds the lifetime on flash is longer. While the flash is scanned: the page of the
    /// header.
    #[cfg_attr(not(feature = "flash"), expect(dead_code, reason = "fills a gap in the layout"))]
    pub(crate) slack_ms_or_page: u32,
}

impl FixedRecord {
    /// An unused record: all zero bits.
    pub const EMPTY: Self =
        Self { used: false, is_victim: false, record: Record::EMPTY, first: 0, slack_ms_or_page: 0 };
}

/// A fixed-size part of a value, or the bookkeeping for a part that is elsewhere.
pub(crate) trait Block {
    /// Bytes of a value in one block.
    const LEN: usize;
    fn next(&self) -> Link;
    fn set_next(&mut self, next: Link);
}

/// Returns the number of blocks that `len` bytes take.
pub(crate) fn blocks_for<B: Block>(len: u32) -> usize {
    (len as usize).div_ceil(B::LEN)
}

/// Returns the positions of a chain's blocks in order. Ends at a link that points outside of the slice, and after as many
/// blocks as there are.
pub(crate) fn chain<B: Block>(blocks: &[B], first: Link) -> impl Iterator<Item = usize> {
    let known = |link: Link| usize::from(link).checked_sub(1).filter(|&at| at < blocks.len());
    core::iter::successors(known(first), move |&at| known(blocks.get(at)?.next())).take(blocks.len())
}

/// The records and block chains of a store. Each store decides itself where it keeps the values' bytes.
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
    /// Makes an empty index. Lowers `limits.items` to the number of records.
    pub(crate) fn new(limits: Limits, records: &'m mut [FixedRecord], blocks: &'m mut [B]) -> Self {
        records.fill(FixedRecord::EMPTY);
        let limits = Limits { items: limits.items.min(records.len()), ..limits };
        let mut index = Self { limits, records, blocks, first_free: 0, bytes: 0, evicted: 0, last_cursor: 0 };
        for at in (0..index.block_count()).rev() {
            index.free_block(at);
        }
        index
    }

    /// Makes an index of the records and blocks that were read back after a restart. `free` returns whether a block belongs to no
    /// item.
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

    pub(crate) fn used(&self) -> impl Iterator<Item = (usize, &FixedRecord)> + Clone {
        self.records.iter().enumerate().filter(|(_, slot)| slot.used)
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = &FixedRecord> + Clone {
        self.records.iter().filter(move |slot| slot.used && slot.record.is_alive(now))
    }

    pub(crate) fn position(&self, key: &Key, digest: &Digest) -> Option<usize> {
        self.records.iter().position(|slot| slot.used && slot.record.digest == *digest && slot.record.key == *key)
    }

    /// Returns the position and record of an item that is alive.
    pub(crate) fn get(&self, now: Instant, key: &Key, digest: &Digest) -> Option<(usize, &FixedRecord)> {
        let position = self.position(key, digest)?;
        let slot = self.records.get(position)?;
        slot.record.is_alive(now).then_some((position, slot))
    }

    /// Decides about an item that is not held and returns its record. Marks the victims: the caller removes them
    /// ([`marked_victim`](Self::marked_victim)) and inserts the record, or [unmarks](Self::unmark_victims) them. The caller has
    /// removed all expired items before.
    ///
    /// # Errors
    /// The status to refuse the item with. No item is marked then.
    pub(crate) fn plan_insert(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Result<Record, ItemStatus> {
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
                slot.is_victim = true;
            }
        }
        if self.mark_victims(Some(&record)) { Ok(record) } else { Err(ItemStatus::Full) }
    }

    /// Inserts an item that fits and returns its position. Its blocks are chained but not written.
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

    /// Frees a record and its blocks.
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

    /// Returns the next item of a find: the newest that is older than `after`.
    fn next_match(&self, now: Instant, query: &Query, after: Option<&Record>) -> Option<(usize, &FixedRecord)> {
        let matching = self.used().filter(|(_, slot)| slot.record.key == query.key && slot.record.matches(now, query));
        let older = matching.filter(|(_, slot)| after.is_none_or(|after| after.newest_first(&slot.record).is_lt()));
        older.min_by(|(_, a), (_, b)| a.record.newest_first(&b.record))
    }

    /// See [`Store::find`](crate::Store::find); `copy` writes an item's first bytes.
    pub(crate) fn find(
        &self,
        now: Instant,
        query: &Query,
        sink: &mut dyn Sink,
        mut copy: impl FnMut(&[B], (usize, &FixedRecord), &mut [u8]),
    ) -> Page {
        let matches = |slot: &&FixedRecord| slot.record.key == query.key && slot.record.matches(now, query);
        let total = self.alive(now).filter(matches).count();
        // The list goes on after the last item of the previous page, which may have expired or become too old since.
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

    /// Returns the position of an item of this node's own that [`Store::forget`](crate::Store::forget) means.
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

// The documentation of the stores names this size.
const _: () = assert!(size_of::<FixedRecord>() == 128);
