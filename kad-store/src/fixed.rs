//! A store in the caller's memory: a fixed number of records, and blocks of bytes that values are chained over.

use kad_wire::{Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink, StoreMode};

use crate::record::{PlaceUnderKey, Record, place_under_key};
use crate::{Due, Limits, Listed, Page, Store, Usage};

/// A block's number plus one; 0 for none.
type Link = u16;

/// A place for an item. Opaque: made by [`EMPTY`](Self::EMPTY), used by the store.
#[derive(Clone, Copy, Debug)]
pub struct FixedRecord {
    used: bool,
    record: Record,
    first: Link,
}

impl FixedRecord {
    /// An unused place: all zero bits.
    pub const EMPTY: Self = Self { used: false, record: Record::EMPTY, first: 0 };
}

/// 126 bytes of a value. Opaque: made by [`EMPTY`](Self::EMPTY), used by the store.
#[derive(Clone, Copy, Debug)]
pub struct FixedBlock {
    next: Link,
    bytes: [u8; Self::LEN],
}

impl FixedBlock {
    /// Bytes of a value that one block holds.
    pub const LEN: usize = 126;
    /// An unused block: all zero bits.
    pub const EMPTY: Self = Self { next: 0, bytes: [0; Self::LEN] };
}

/// Holds values in memory that its owner hands in, without an allocator.
///
/// It holds as many items as there are records and as many bytes as there are blocks (of [`FixedBlock::LEN`] bytes each);
/// every operation looks through the records, so it is meant for at most some hundred.
///
/// ```
/// use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits, Store};
/// use kad_wire::{Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, NodeId};
///
/// let (mut records, mut blocks) = ([FixedRecord::EMPTY; 8], [FixedBlock::EMPTY; 32]);
/// let mut store = FixedStore::new(Limits::new(NodeId::from_bytes([7; 32])), &mut records, &mut blocks);
/// let (now, key) = (Instant::ZERO, Key::hash("name"));
/// let header = ItemHeader::publish(&key, ItemType::RAW, Lock::NONE, 60_000, &[1; 1000]);
/// assert_eq!(store.publish(now, &key, &header, &[1; 1000]).status, ItemStatus::Stored);
/// assert_eq!(store.usage().bytes, 1000);
/// ```
#[derive(Debug)]
pub struct FixedStore<'m> {
    limits: Limits,
    records: &'m mut [FixedRecord],
    blocks: &'m mut [FixedBlock],
    first_free: Link,
    bytes: u64,
    evicted: u64,
    last_cursor: u32,
}

impl<'m> FixedStore<'m> {
    /// An empty store. `limits.items` and `limits.bytes` are lowered to what the memory holds; what a block does not fill
    /// is lost, so a value counts as whole blocks.
    pub fn new(limits: Limits, records: &'m mut [FixedRecord], blocks: &'m mut [FixedBlock]) -> Self {
        records.fill(FixedRecord::EMPTY);
        let count = blocks.len().min(usize::from(Link::MAX));
        for (number, block) in blocks.iter_mut().enumerate() {
            // Each block's successor; the last one has none.
            block.next = if number + 1 < count { (number + 2) as Link } else { 0 };
        }
        let limits = Limits { items: limits.items.min(records.len()), ..limits };
        let first_free = Link::from(count > 0);
        Self { limits, records, blocks, first_free, bytes: 0, evicted: 0, last_cursor: 0 }
    }

    fn used(&self) -> impl Iterator<Item = &FixedRecord> + Clone {
        self.records.iter().filter(|slot| slot.used)
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = &FixedRecord> + Clone {
        self.used().filter(move |slot| slot.record.is_alive(now))
    }

    fn position(&self, key: &Key, digest: &Digest) -> Option<usize> {
        self.records.iter().position(|slot| slot.used && slot.record.digest == *digest && slot.record.key == *key)
    }

    fn blocks_for(len: u32) -> usize {
        (len as usize).div_ceil(FixedBlock::LEN)
    }

    /// Whether a value of `len` bytes fits besides those that `stay`.
    fn has_room_besides<'r>(&self, len: u32, stay: impl Iterator<Item = &'r Record>) -> bool {
        let (mut items, mut blocks, mut bytes) = (1, Self::blocks_for(len), u64::from(len));
        for record in stay {
            items += 1;
            blocks += Self::blocks_for(record.len);
            bytes += u64::from(record.len);
        }
        items <= self.limits.items
            && blocks <= self.blocks.len().min(usize::from(Link::MAX))
            && bytes <= self.limits.bytes
    }

    /// Copies from `offset` of a chain on.
    fn copy_out(&self, slot: &FixedRecord, offset: u32, out: &mut [u8]) -> usize {
        let len = out.len().min((slot.record.len.saturating_sub(offset)) as usize);
        let (mut link, mut skip) = (slot.first, offset as usize);
        let mut rest = out.get_mut(..len).unwrap_or_default();
        while !rest.is_empty()
            && let Some(block) = self.blocks.get(usize::from(link).wrapping_sub(1))
        {
            rest = copy(block.bytes.get(skip..).unwrap_or_default(), rest);
            skip = skip.saturating_sub(FixedBlock::LEN);
            link = block.next;
        }
        len - rest.len()
    }

    fn copy_in(&mut self, bytes: &[u8]) -> Link {
        let first = if bytes.is_empty() { 0 } else { self.first_free };
        let mut link = first;
        let mut chunks = bytes.chunks(FixedBlock::LEN).peekable();
        while let Some(chunk) = chunks.next() {
            let Some(block) = self.blocks.get_mut(usize::from(link).wrapping_sub(1)) else { break };
            copy(chunk, &mut block.bytes);
            link = block.next;
            if chunks.peek().is_none() {
                block.next = 0;
            }
        }
        self.first_free = if bytes.is_empty() { self.first_free } else { link };
        first
    }

    fn remove(&mut self, position: usize) {
        let Some(slot) = self.records.get_mut(position) else { return };
        let FixedRecord { record, first, .. } = core::mem::replace(slot, FixedRecord::EMPTY);
        self.bytes -= u64::from(record.len);
        let mut last = first;
        while let Some(block) = self.blocks.get_mut(usize::from(last).wrapping_sub(1)) {
            if block.next == 0 {
                block.next = self.first_free;
                self.first_free = first;
                return;
            }
            last = block.next;
        }
    }

    /// Makes room in total for a newcomer, or says that it would have to make way itself.
    fn has_room_for(&self, newcomer: &Record, freed: Option<usize>) -> bool {
        let rank = newcomer.rank(&self.limits);
        let may_leave = |position: usize, record: &Record| {
            Some(position) == freed || (!record.own && record.rank(&self.limits) < rank)
        };
        let stays =
            self.records.iter().enumerate().filter(|(position, slot)| slot.used && !may_leave(*position, &slot.record));
        self.has_room_besides(newcomer.len, stays.map(|(_, slot)| &slot.record))
    }

    /// Evicts in order of rank until the newcomer fits.
    fn make_room_for(&mut self, newcomer: &Record) {
        while !self.has_room_besides(newcomer.len, self.used().map(|slot| &slot.record)) {
            let ranked = self.records.iter().enumerate().filter(|(_, slot)| slot.used && !slot.record.own);
            let Some((position, _)) =
                ranked.min_by(|(_, a), (_, b)| a.record.rank(&self.limits).cmp(&b.record.rank(&self.limits)))
            else {
                return;
            };
            self.evicted += 1;
            self.remove(position);
        }
    }

    fn newcomer(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        self.expire(now);
        self.last_cursor = self.last_cursor.wrapping_add(1).max(1);
        let record = Record::new(now, &self.limits, offer, own, self.last_cursor);
        if !record.is_alive(now) {
            return Some(Answer::refused(ItemStatus::Expired));
        }
        let under_key = self.alive(now).map(|slot| &slot.record).filter(|held| held.key == record.key);
        let freed = match place_under_key(&self.limits, &record, under_key) {
            PlaceUnderKey::Free => None,
            PlaceUnderKey::Instead(digest) => self.position(&record.key, &digest),
            PlaceUnderKey::None => return Some(Answer::refused(ItemStatus::Full)),
        };
        if Self::blocks_for(record.len) > self.blocks.len() {
            return Some(Answer::refused(ItemStatus::TooLarge));
        }
        if !self.has_room_for(&record, freed) {
            return Some(Answer::refused(ItemStatus::Full));
        }
        let bytes = offer.bytes?;
        if let Some(position) = freed {
            self.evicted += 1;
            self.remove(position);
        }
        self.make_room_for(&record);
        let first = self.copy_in(bytes);
        let free = self.records.iter_mut().find(|slot| !slot.used)?;
        *free = FixedRecord { used: true, record, first };
        self.bytes += u64::from(record.len);
        Some(record.answer(now, ItemStatus::Stored))
    }

    fn again(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        let position = self.position(&offer.key, &offer.header.digest)?;
        let record = &mut self.records.get_mut(position)?.record;
        if !record.is_alive(now) {
            self.remove(position);
            return None;
        }
        record.offered_again(now, &self.limits, offer);
        record.own |= own;
        Some(record.answer(now, ItemStatus::Already))
    }

    fn matching(&self, now: Instant, query: &Query) -> impl Iterator<Item = &FixedRecord> {
        self.used().filter(move |slot| slot.record.key == query.key && slot.record.matches(now, query))
    }

    /// The next item of a find: the newest that is older than `after`.
    fn next_match(&self, now: Instant, query: &Query, after: Option<&Record>) -> Option<&FixedRecord> {
        let older = |slot: &&FixedRecord| after.is_none_or(|after| after.newest_first(&slot.record).is_lt());
        self.matching(now, query).filter(older).min_by(|a, b| a.record.newest_first(&b.record))
    }
}

/// Copies as much as fits, and answers with the room that is left.
fn copy<'t>(from: &[u8], to: &'t mut [u8]) -> &'t mut [u8] {
    let len = from.len().min(to.len());
    let (to, rest) = to.split_at_mut(len);
    to.copy_from_slice(&from[..len]);
    rest
}

impl Store for FixedStore<'_> {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.again(now, offer, false).or_else(|| self.newcomer(now, offer, false))
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        let (mode, source) = (StoreMode::Publish, Endpoint::UNSPECIFIED);
        let offer = Offer { key: *key, header: *header, bytes: Some(bytes), mode, source, received: now };
        let answer = self.again(now, &offer, true).or_else(|| self.newcomer(now, &offer, true));
        answer.unwrap_or(Answer::refused(ItemStatus::Full))
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        let total = self.matching(now, query).count();
        let resume = self.alive(now).find(|slot| slot.record.key == query.key && slot.record.cursor == query.cursor);
        let mut after = resume.map(|slot| &slot.record);
        let mut last = 0;
        while let Some(slot) = self.next_match(now, query, after) {
            let Some(hole) = sink.push(&slot.record.header(now)) else {
                return Page { total, next_cursor: last };
            };
            self.copy_out(slot, 0, hole);
            last = slot.record.cursor;
            after = Some(&slot.record);
        }
        Page { total, next_cursor: 0 }
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let slot = self.position(key, digest).and_then(|position| self.records.get(position));
        match slot {
            Some(slot) if slot.record.is_alive(now) => self.copy_out(slot, offset, out),
            _ => 0,
        }
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        let mut forgotten = 0;
        for slot in self.records.iter_mut().filter(|slot| slot.used && slot.record.own && slot.record.key == *key) {
            if digest.is_none_or(|digest| slot.record.digest == *digest) {
                slot.record.own = false;
                forgotten += 1;
            }
        }
        forgotten
    }

    fn expire(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        for position in 0..self.records.len() {
            if self.records.get(position).is_some_and(|slot| slot.used && !slot.record.is_alive(now)) {
                self.remove(position);
                dropped += 1;
            }
        }
        dropped
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
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

    fn next_wake(&self) -> Option<Instant> {
        self.used().map(|slot| slot.record.next_wake()).min()
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
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

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        let later = |slot: &&FixedRecord| after.is_none_or(|(key, digest)| slot.record.place() > (key, digest));
        let next = self.alive(now).filter(later).min_by(|a, b| a.record.place().cmp(&b.record.place()));
        next.map(|slot| slot.record.listed(now))
    }

    fn usage(&self) -> Usage {
        let items = self.used().count();
        Usage { items, bytes: self.bytes, evicted: self.evicted }
    }
}
