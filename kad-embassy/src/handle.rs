//! The handle: what applications call.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use kad_core::{FindOptions, KnownContact, Stats, Status};
use kad_upkeep::{Found, Outcome, Pong, Receipt, Request, StoreOptions, UpkeepStats};
use kad_wire::{Digest, Instant, Key, NodeId};

use crate::error::Error;
use crate::net::LinkStats;
use crate::runner::now;
use crate::shared::Shared;

/// How long a call may take, if not told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A node of the network. Cheap to copy; for tasks of the executor that runs it.
///
/// Every call ends by its timeout, ten seconds or what [`with_timeout`](Self::with_timeout) says. A call whose future is
/// dropped is cancelled, but what a store has begun goes on.
#[derive(Clone, Copy)]
pub struct Dht {
    shared: &'static RefCell<Shared>,
    timeout: Duration,
}

impl Dht {
    pub(crate) const fn new(shared: &'static RefCell<Shared>) -> Self {
        Self { shared, timeout: TIMEOUT }
    }

    /// The same node with another timeout for each call.
    #[must_use]
    pub const fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.shared.borrow_mut().driver.with_node(|node| node.id())
    }

    /// Waits until the node has joined its network, and answers how many others it knows.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no bootstrap node answered; the node tries again by itself. [`Error::Timeout`],
    /// [`Error::Busy`], [`Error::Closed`].
    pub async fn joined(&self) -> Result<usize, Error> {
        let call = self.begin(Request::Joined)?;
        match call.outcome().await? {
            Outcome::Joined(contacts) => Ok(contacts),
            _ => Err(Error::Closed),
        }
    }

    /// Stores a value under a key: here, where it is republished until it expires, and on the nodes nearest to the key.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Lifetime`] and [`Error::Refused`] when nothing was stored; [`Error::Unreachable`],
    /// [`Error::Timeout`], [`Error::Busy`] and [`Error::Closed`] when it is stored here only.
    pub async fn store(&self, key: Key, value: &[u8], options: &StoreOptions) -> Result<Receipt, Error> {
        let header = self.shared.borrow_mut().driver.publish(now(), &key, value, options)?;
        let call = self.begin(Request::Store { key, header, copies: options.copies })?;
        match call.outcome().await? {
            Outcome::Stored(receipt) => Ok(receipt),
            _ => Err(Error::Closed),
        }
    }

    /// Finds a value under a key: the newest that the first node which has any knows, this one first. Its bytes go to `out`.
    /// `None` when the nearest nodes have none.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the value is larger than `out` or than this node has room for; [`Error::Unreachable`],
    /// [`Error::Incomplete`], [`Error::Timeout`], [`Error::Busy`], [`Error::Closed`].
    pub async fn find(&self, key: Key, out: &mut [u8]) -> Result<Option<Found>, Error> {
        let mut first = Ok(None);
        self.find_all(key, FindOptions::FIRST, |found, bytes| {
            first = match out.get_mut(..bytes.len()) {
                Some(out) => {
                    out.copy_from_slice(bytes);
                    Ok(Some(*found))
                }
                None => Err(Error::Truncated),
            };
        })
        .await?;
        first
    }

    /// Finds the values under a key that the nearest nodes have, at most [`VALUES_PER_FIND`](crate::VALUES_PER_FIND) and as
    /// many bytes as a call has room for. Each is shown to `each` when all are there.
    ///
    /// # Errors
    /// [`Error::Truncated`] when there are more or larger ones; what was shown before is right. Others as with
    /// [`find`](Self::find).
    pub async fn find_all(
        &self,
        key: Key,
        options: FindOptions,
        mut each: impl FnMut(&Found, &[u8]),
    ) -> Result<(), Error> {
        let call = self.begin(Request::Find { key, options })?;
        let enough = self.shared.borrow_mut().driver.find_here(now(), call.index, key, options);
        let ended = if enough { Ok(Outcome::Found) } else { call.outcome().await };
        self.shared.borrow().driver.values(call.index).for_each(|(found, bytes)| each(found, bytes));
        ended.map(drop)
    }

    /// Stops to publish the values under a key, or one of them. Answers how many there were. They are held like anybody's
    /// until they expire.
    pub fn forget(&self, key: &Key, digest: Option<&Digest>) -> usize {
        self.shared.borrow_mut().driver.store().forget(key, digest)
    }

    /// Asks whoever is at an address for a sign of life.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nobody answers; [`Error::Timeout`], [`Error::Busy`], [`Error::Closed`].
    pub async fn ping(&self, address: SocketAddr) -> Result<Pong, Error> {
        let call = self.begin(Request::Ping(address))?;
        match call.outcome().await? {
            Outcome::Ponged(pong) => Ok(pong),
            _ => Err(Error::Closed),
        }
    }

    /// Leaves the network: hands over what this node holds, for at most half the timeout, and says goodbye. Then
    /// [`Runner::run`](crate::Runner::run) ends.
    ///
    /// # Errors
    /// [`Error::Timeout`] and [`Error::Busy`]: the node leaves all the same.
    pub async fn leave(&self) -> Result<(), Error> {
        let now = now();
        if self.shared.borrow().driver.role().has_left() {
            return Ok(());
        }
        self.shared.borrow_mut().driver.leave(now, now + self.timeout / 2);
        let call = self.begin(Request::Leave)?;
        call.outcome().await.map(drop)
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        self.shared.borrow_mut().driver.with_node(|node| node.status())
    }

    /// What the node counted.
    pub fn stats(&self) -> Stats {
        self.shared.borrow_mut().driver.with_node(|node| *node.stats())
    }

    /// What its upkeep has done.
    pub fn upkeep_stats(&self) -> UpkeepStats {
        *self.shared.borrow().driver.role().upkeep_stats()
    }

    /// What its link counted.
    pub fn link_stats(&self) -> LinkStats {
        self.shared.borrow().link
    }

    /// How much its store holds.
    pub fn usage(&self) -> kad_store::Usage {
        self.shared.borrow_mut().driver.store().usage()
    }

    /// Shows every contact of the routing table.
    pub fn contacts(&self, each: impl FnMut(KnownContact)) {
        self.shared.borrow_mut().driver.with_node(|node| node.contacts().for_each(each));
    }

    fn begin(&self, request: Request) -> Result<Call, Error> {
        let index = self.shared.borrow_mut().begin(request, now() + self.timeout)?;
        Ok(Call { shared: self.shared, index })
    }
}

/// A call's place, which is free again when this is dropped.
struct Call {
    shared: &'static RefCell<Shared>,
    index: usize,
}

impl Call {
    async fn outcome(&self) -> Result<Outcome, Error> {
        poll_fn(|context| {
            let shared = &mut *self.shared.borrow_mut();
            if let Some(outcome) = shared.driver.outcome(self.index) {
                return Poll::Ready(outcome);
            }
            let Some(waker) = shared.driver.notify(self.index) else { return Poll::Ready(Err(Error::Closed)) };
            waker.register(context.waker());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let now: Instant = now();
        self.shared.borrow_mut().end_call(now, self.index);
    }
}
