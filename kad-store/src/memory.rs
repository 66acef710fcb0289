//! A store in memory that grows, for nodes with an allocator.

use alloc::boxed::Box;

use kad_wire::{Answer, Digest, Instant, ItemHeader, Key, Offer, Query, Sink};

use crate::catalog::Catalog;
use crate::{Due, Limits, Listed, Page, Store, Usage};

/// Holds values in memory. After a restart it is empty.
///
/// A find is one hash-map access; storing an item updates ordered indexes in O(log n). The store never iterates in hash order,
/// so two stores with the same inputs behave the same.
///
/// ```
/// use kad_store::{Limits, MemoryStore, Store};
/// use kad_wire::{Instant, ItemHeader, ItemStatus, ItemType, Key, DeleteLock, NodeId};
///
/// let mut store = MemoryStore::new(Limits::new(NodeId::from_bytes([7; 32])));
/// let (now, key) = (Instant::ZERO, Key::hash("name"));
/// let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, b"value");
/// assert_eq!(store.publish(now, &key, &header, b"value").status, ItemStatus::Stored);
///
/// let mut bytes = [0; 5];
/// assert_eq!(store.read(now, &key, &header.digest, 0, &mut bytes), 5);
/// assert_eq!(store.read(now.plus_millis(60_000), &key, &header.digest, 0, &mut bytes), 0, "expired");
/// ```
#[derive(Debug)]
pub struct MemoryStore(Catalog<Box<[u8]>>);

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(limits: Limits) -> Self {
        Self(Catalog::new(limits, ()))
    }
}

impl Store for MemoryStore {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.0.offer(now, offer, |bytes| bytes.into())
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.0.publish(now, key, header, bytes, |bytes| bytes.into())
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        self.0.find(now, query, sink, |entry, out| {
            out.copy_from_slice(entry.value.get(..out.len()).unwrap_or_default());
        })
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let Some(entry) = self.0.alive(now, key, digest) else { return 0 };
        let rest = entry.value.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        len
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.0.forget(key, digest)
    }

    fn expire(&mut self, now: Instant) -> usize {
        self.0.expire(now)
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.0.poll_due(now)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.0.next_wake()
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.0.due_near(now, until, first, bits, take);
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.0.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        Usage { items: self.0.len(), bytes: self.0.bytes, evicted: self.0.evicted, failed: 0 }
    }
}
