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

/// What a node remembers. Every method takes the time; none waits.
///
/// A store of one's own is one implementation of this trait and a test that runs the conformance suite
/// (`kad_store::conformance`, behind the feature of that name) on it.
pub trait Store {
    /// Decides about an item that another node wants kept. With its bytes there is always an answer, and
    /// [`Stored`](kad_wire::ItemStatus::Stored) means that the item survives what this store survives, once
    /// [`commit`](Self::commit) says so. Without them `None` means: bring the bytes.
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer>;

    /// Keeps an item that this node itself publishes. It is never evicted, and due for republishing until it expires or is
    /// [forgotten](Self::forget). The header must be true at `now`.
    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer;

    /// Hands the items that a query asks for to `sink`, newest first, until it takes no more.
    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page;

    /// Copies bytes of a value from `offset` on to `out` and says how many. 0: it is not here, or ends before.
    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize;

    /// Stops to publish the items under a key but tombstones, or one of them: they are no longer republished, and evicted and replaced
    /// like anybody's. Says how many there were.
    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize;

    /// Drops what has expired and says how much that was. Finding and reading never depend on when this is called.
    fn expire(&mut self, now: Instant) -> usize;

    /// The next item that is to be passed on: replicated to the nodes nearest to its key, or republished. It is due again
    /// only after its interval.
    fn poll_due(&mut self, now: Instant) -> Option<Due>;

    /// Takes along what is due with `first`: items for the same reason, due by `until`, whose keys share `bits` leading bits
    /// with its key, but not `first` itself. Each is handed to `take` until that answers `false`, which means that the last
    /// one was not taken. A store may stop looking after some hundred items.
    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool);

    /// When [`expire`](Self::expire) or [`poll_due`](Self::poll_due) has something to do next.
    fn next_wake(&self) -> Option<Instant>;

    /// The first item after this one in the order of keys and digests; of all, if there is none.
    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed>;

    /// How much it holds.
    fn usage(&self) -> Usage;

    /// Makes durable what was answered since the last time: many answers, one wait for the disk. Whoever drives a node calls
    /// it before anything leaves that says what the store has answered: a reply, or a word to the owner. A store whose answers
    /// are durable when they are given, or never, has nothing to do.
    ///
    /// # Errors
    /// [`NotDurable`]: what was answered since the last time does not hold, and must not be passed on.
    fn commit(&mut self) -> Result<(), NotDurable> {
        Ok(())
    }

    /// The first half of a [`commit`](Self::commit), for owners who do not wait: what is left to be done is handed back, and
    /// may be done by another thread while this store goes on to answer. `None`: it is done. One at a time: what it came to
    /// is told to [`end_commit`](Self::end_commit) before the next one begins.
    ///
    /// # Errors
    /// [`NotDurable`], as with `commit`.
    #[cfg(feature = "alloc")]
    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        self.commit().map(|()| None)
    }

    /// The second half. What was answered before the first is durable, and may be passed on; what was answered since waits for
    /// the next commit.
    ///
    /// # Errors
    /// [`NotDurable`], as with `commit`.
    #[cfg(feature = "alloc")]
    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        written
    }
}

/// What is left of a commit: waiting for the disk. See [`Store::begin_commit`].
#[cfg(feature = "alloc")]
pub type Writing = alloc::boxed::Box<dyn FnOnce() -> Result<(), NotDurable> + Send>;

/// A store could not make durable what it has answered since it last did. It holds what it held then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotDurable;

impl core::fmt::Display for NotDurable {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the store could not write what it has answered")
    }
}

impl core::error::Error for NotDurable {}

/// How a find ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Page {
    /// Items that match, on all pages.
    pub total: usize,
    /// The query's cursor for the next page; 0 when there is nothing after this one, and only then: a page that had no room
    /// for a single item names the place where it began.
    ///
    /// A cursor names the last item that was handed out, which is all that 32 bits allow. The list goes on after it even when
    /// it no longer matches or has expired. Once the store has dropped it, the list starts over: items may come twice, and
    /// none is lost.
    pub next_cursor: u32,
}

impl Page {
    /// Names the beginning of a list, where 0 would say that it has ended. No item ever has this cursor.
    pub(crate) const FROM_START: u32 = u32::MAX;
}

/// An item that is to be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The item's key.
    pub key: Key,
    /// Its header, true now.
    pub header: ItemHeader,
    /// Why: [`StoreMode::Publish`] for this node's own, [`StoreMode::Replicate`] for others'.
    pub mode: StoreMode,
}

/// An item of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The item's key.
    pub key: Key,
    /// Its header, true now.
    pub header: ItemHeader,
    /// Whether this node publishes it.
    pub own: bool,
}

impl Listed {
    /// Where it stands in the listing.
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
    /// Items that were dropped before their time, for lack of room.
    pub evicted: u64,
    /// Times that what the store writes to did not do as it should: writes, reads, and items that were lost by it.
    pub failed: u64,
}
