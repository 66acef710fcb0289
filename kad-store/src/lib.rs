#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "disk")]
extern crate std;

#[cfg(feature = "memory")]
mod catalog;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "disk")]
mod disk;
mod eviction;
mod fixed;
#[cfg(feature = "flash")]
mod flash;
mod index;
mod limits;
#[cfg(feature = "memory")]
mod memory;
mod none;
mod record;
mod replication_schedule;

#[cfg(feature = "disk")]
pub use disk::{DiskError, DiskHealth, DiskStore, Moment};
pub use fixed::{FixedBlock, FixedStore};
#[cfg(feature = "flash")]
pub use flash::{FlashBlock, FlashError, FlashHealth, FlashStore};
pub use index::FixedRecord;
pub use limits::Limits;
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use none::NoStore;

use kad_wire::{Answer, Digest, Instant, ItemHeader, Key, Offer, Query, Sink, StoreMode};

/// The items that a node holds: the contract between a node and its store. The caller passes the time to every method; no
/// method waits.
///
/// To write another store, implement this trait and run the conformance suite (`kad_store::conformance`, feature `conformance`)
/// in its tests.
pub trait Store {
    /// Decides about an item that another node offers. `None`, only for an offer without bytes: send the bytes.
    /// [`Stored`](kad_wire::ItemStatus::Stored) means that the item is held once the next [`commit`](Self::commit) has succeeded.
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer>;

    /// Stores an item that this node publishes; `header` gives its lifetime and age at `now`. The store never evicts it, and
    /// returns it for republishing until it expires or is [forgotten](Self::forget).
    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer;

    /// Passes the items that match a query to `sink`, newest first, until the sink takes no more.
    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page;

    /// Copies bytes of a value from `offset` on to `out` and returns how many. 0: the item is not held, or is shorter.
    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize;

    /// Stops republishing items of this node: all under a key but tombstones, or the one with this digest. From then on the store
    /// treats them as items of other nodes. Returns how many there were.
    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize;

    /// Drops expired items and returns how many. [`find`](Self::find) and [`read`](Self::read) never return an expired item,
    /// whether or not this is called.
    fn expire(&mut self, now: Instant) -> usize;

    /// Returns the next item to replicate to the nodes nearest to its key, or to republish (Kademlia paper, section 2.5), and
    /// restarts its interval.
    fn poll_due(&mut self, now: Instant) -> Option<Due>;

    /// Passes to `take` the items that are due together with `first`: for the same reason, by `until`, with keys that share `bits`
    /// leading bits with its key; not `first` itself. Restarts their intervals. Ends when `take` returns `false`; that item
    /// stays due. A store may end after it has examined some hundred items.
    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool);

    /// Returns when [`expire`](Self::expire) or [`poll_due`](Self::poll_due) next has work.
    fn next_wake(&self) -> Option<Instant>;

    /// Returns the item that follows `after` in the order of keys and digests; the first of all for `None`.
    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed>;

    /// Returns how much the store holds.
    fn usage(&self) -> Usage;

    /// Makes all changes since the last commit durable, with one wait for the disk. The driver of a node calls this before it
    /// sends a reply, or completes a call, that depends on an answer of the store. The default does nothing: for stores whose
    /// answers are durable at once, or never.
    ///
    /// # Errors
    /// [`NotDurable`]: the changes since the last commit are lost. The caller must not pass on the answers to them.
    fn commit(&mut self) -> Result<(), NotDurable> {
        Ok(())
    }

    /// Begins a [`commit`](Self::commit) whose writing another thread does while this store answers on. Returns that work, or
    /// `None` if there is none. The caller passes its result to [`end_commit`](Self::end_commit) before it begins the next
    /// commit.
    ///
    /// # Errors
    /// [`NotDurable`], as with `commit`.
    #[cfg(feature = "alloc")]
    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        self.commit().map(|()| None)
    }

    /// Ends a commit with the result of its work. On success the changes before [`begin_commit`](Self::begin_commit) are durable;
    /// changes since then wait for the next commit.
    ///
    /// # Errors
    /// [`NotDurable`], as with `commit`.
    #[cfg(feature = "alloc")]
    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        written
    }
}

/// A store that is borrowed.
impl<S: Store + ?Sized> Store for &mut S {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        (**self).offer(now, offer)
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        (**self).publish(now, key, header, bytes)
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        (**self).find(now, query, sink)
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        (**self).read(now, key, digest, offset, out)
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        (**self).forget(key, digest)
    }

    fn expire(&mut self, now: Instant) -> usize {
        (**self).expire(now)
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        (**self).poll_due(now)
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        (**self).due_near(now, until, first, bits, take);
    }

    fn next_wake(&self) -> Option<Instant> {
        (**self).next_wake()
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        (**self).next_item(now, after)
    }

    fn usage(&self) -> Usage {
        (**self).usage()
    }

    fn commit(&mut self) -> Result<(), NotDurable> {
        (**self).commit()
    }

    #[cfg(feature = "alloc")]
    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        (**self).begin_commit()
    }

    #[cfg(feature = "alloc")]
    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        (**self).end_commit(written)
    }
}

/// The writing of a commit, which waits for the disk: see [`Store::begin_commit`].
#[cfg(feature = "alloc")]
pub type Writing = alloc::boxed::Box<dyn FnOnce() -> Result<(), NotDurable> + Send>;

/// A commit has failed. The store holds what it held after the last commit that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotDurable;

impl core::fmt::Display for NotDurable {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the store could not write its changes")
    }
}

impl core::error::Error for NotDurable {}

/// The result of a find.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Page {
    /// How many items match, on all pages.
    pub total: usize,
    /// The query's cursor for the next page; 0 at the end of the list, and only then: a page in which not even one item fits
    /// has a cursor that starts at the same item.
    ///
    /// A cursor names the last item of the page. The list goes on after that item even when it no longer matches or has
    /// expired. Once the store has dropped it, the list starts over: items may be returned twice, and none is left out.
    pub next_cursor: u32,
}

impl Page {
    /// The cursor of the start of a list, where 0 would mean its end. No item has this cursor.
    pub(crate) const FROM_START: u32 = u32::MAX;
}

/// An item to replicate or to republish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The item's key.
    pub key: Key,
    /// Its header, with lifetime and age as of now.
    pub header: ItemHeader,
    /// [`StoreMode::Publish`] for an item of this node, [`StoreMode::Replicate`] otherwise.
    pub mode: StoreMode,
}

/// An item of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The item's key.
    pub key: Key,
    /// Its header, with lifetime and age as of now.
    pub header: ItemHeader,
    /// Whether this node publishes it.
    pub own: bool,
}

impl Listed {
    /// Returns the item's position in the listing, to pass to [`Store::next_item`].
    pub const fn place(&self) -> (Key, Digest) {
        (self.key, self.header.digest)
    }
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Items.
    pub items: usize,
    /// Bytes of their values.
    pub bytes: u64,
    /// Items that were dropped before they expired: evicted, replaced under their key, or deleted by a tombstone.
    pub evicted: u64,
    /// Failures of the medium: failed writes, failed reads, and items lost by them. 0 in stores in memory.
    pub failed: u64,
}
