//! A store on a disk that takes longer to make something durable than this machine's, as most disks do.

use std::time::Duration;

use kad_tokio::store::{Due, Listed, NotDurable, Page, Store, Usage, Writing};
use kad_tokio::wire::{Answer, Instant, ItemHeader, Offer, Query, Sink};
use kad_tokio::{Digest, DiskStore, Key};

/// Every commit takes so much longer; the rest is the store's own.
pub(super) struct SlowDisk {
    pub(super) store: DiskStore,
    pub(super) delay: Duration,
}

impl Store for SlowDisk {
    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        let (writing, delay) = (self.store.begin_commit()?, self.delay);
        Ok(writing.map(|write| -> Writing {
            Box::new(move || {
                let written = write();
                std::thread::sleep(delay);
                written
            })
        }))
    }

    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        self.store.end_commit(written)
    }

    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.store.offer(now, offer)
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.store.publish(now, key, header, bytes)
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        self.store.find(now, query, sink)
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        self.store.read(now, key, digest, offset, out)
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.store.forget(key, digest)
    }

    fn expire(&mut self, now: Instant) -> usize {
        self.store.expire(now)
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.store.poll_due(now)
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.store.due_near(now, until, first, bits, take);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.store.next_wake()
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.store.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        self.store.usage()
    }
}
