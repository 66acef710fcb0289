//! A store in the caller's memory: a fixed number of records, and values in chains of blocks.

use kad_wire::{Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink, StoreMode};

use crate::index::{Block, FixedRecord, Index, Link, chain};
use crate::{Due, Limits, Listed, Page, Store, Usage};

/// Memory for 126 bytes of a value. Opaque: make it with [`EMPTY`](Self::EMPTY) and hand it to a [`FixedStore`].
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

impl Block for FixedBlock {
    const LEN: usize = Self::LEN;

    fn next(&self) -> Link {
        self.next
    }

    fn set_next(&mut self, next: Link) {
        self.next = next;
    }
}

/// Holds values in memory that the caller hands in, without an allocator.
///
/// Capacity: as many items as there are records (128 bytes each), and as many bytes as the blocks hold ([`FixedBlock::LEN`] of
/// 128 bytes each). Every operation looks through all records, so use it for at most some hundred items.
///
/// ```
/// use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits, Store};
/// use kad_wire::{Instant, ItemHeader, ItemStatus, ItemType, Key, DeleteLock, NodeId};
///
/// let (mut records, mut blocks) = ([FixedRecord::EMPTY; 8], [FixedBlock::EMPTY; 32]);
/// let mut store = FixedStore::new(Limits::new(NodeId::from_bytes([7; 32])), &mut records, &mut blocks);
/// let (now, key) = (Instant::ZERO, Key::hash("name"));
/// let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, &[1; 1000]);
/// assert_eq!(store.publish(now, &key, &header, &[1; 1000]).status, ItemStatus::Stored);
/// assert_eq!(store.usage().bytes, 1000);
/// ```
#[derive(Debug)]
pub struct FixedStore<'m> {
    index: Index<'m, FixedBlock>,
}

impl<'m> FixedStore<'m> {
    /// Makes an empty store. Lowers `limits.items` to the number of records. A value takes whole blocks.
    pub fn new(limits: Limits, records: &'m mut [FixedRecord], blocks: &'m mut [FixedBlock]) -> Self {
        Self { index: Index::new(limits, records, blocks) }
    }

    fn copy_in(&mut self, position: usize, bytes: &[u8]) {
        let mut link = self.index.records.get(position).map_or(0, |slot| slot.first);
        for chunk in bytes.chunks(FixedBlock::LEN) {
            let Some(block) = self.index.blocks.get_mut(usize::from(link).wrapping_sub(1)) else { return };
            copy(chunk, &mut block.bytes);
            link = block.next;
        }
    }

    fn offer_new(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        self.expire(now);
        let record = match self.index.plan_insert(now, offer, own) {
            Ok(record) => record,
            Err(status) => return Some(Answer::refused(status)),
        };
        let Some(bytes) = offer.bytes else {
            self.index.unmark_victims();
            return None;
        };
        while let Some(position) = self.index.marked_victim() {
            self.index.evicted += 1;
            self.index.remove(position);
        }
        let position = self.index.insert(record)?;
        self.copy_in(position, bytes);
        Some(record.answer(now, ItemStatus::Stored))
    }

    fn offer_held(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        let position = self.index.position(&offer.key, &offer.header.digest)?;
        let record = &mut self.index.records.get_mut(position)?.record;
        if !record.is_alive(now) {
            self.index.remove(position);
            return None;
        }
        record.merge_offer(now, &self.index.limits, offer);
        record.own |= own;
        Some(record.answer(now, ItemStatus::Already))
    }
}

/// Copies bytes of a value from `offset` on and returns how many.
fn copy_out(blocks: &[FixedBlock], slot: &FixedRecord, offset: u32, out: &mut [u8]) -> usize {
    let len = out.len().min((slot.record.len.saturating_sub(offset)) as usize);
    let (mut skip, mut rest) = (offset as usize, out.get_mut(..len).unwrap_or_default());
    for at in chain(blocks, slot.first) {
        if rest.is_empty() {
            break;
        }
        rest = copy(blocks.get(at).and_then(|block| block.bytes.get(skip..)).unwrap_or_default(), rest);
        skip = skip.saturating_sub(FixedBlock::LEN);
    }
    len - rest.len()
}

/// Copies as much as fits and returns what is left of `to`.
fn copy<'t>(from: &[u8], to: &'t mut [u8]) -> &'t mut [u8] {
    let len = from.len().min(to.len());
    let (to, rest) = to.split_at_mut(len);
    to.copy_from_slice(&from[..len]);
    rest
}

impl Store for FixedStore<'_> {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.offer_held(now, offer, false).or_else(|| self.offer_new(now, offer, false))
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        let (mode, source) = (StoreMode::Publish, Endpoint::UNSPECIFIED);
        let offer = Offer { key: *key, header: *header, bytes: Some(bytes), mode, source, received: now };
        let answer = self.offer_held(now, &offer, true).or_else(|| self.offer_new(now, &offer, true));
        answer.unwrap_or(Answer::refused(ItemStatus::Full))
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        self.index.find(now, query, sink, |blocks, (_, slot), hole| {
            copy_out(blocks, slot, 0, hole);
        })
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let held = self.index.get(now, key, digest);
        held.map_or(0, |(_, slot)| copy_out(self.index.blocks, slot, offset, out))
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        let mut forgotten = 0;
        while let Some(position) = self.index.next_own(key, digest) {
            let Some(slot) = self.index.records.get_mut(position) else { break };
            slot.record.own = false;
            forgotten += 1;
        }
        forgotten
    }

    fn expire(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        while let Some(position) = self.index.next_expired(now) {
            self.index.remove(position);
            dropped += 1;
        }
        dropped
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.index.poll_due(now)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.index.next_wake()
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.index.due_near(now, until, first, bits, take);
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.index.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        self.index.usage()
    }
}
