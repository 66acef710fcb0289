//! The handle: what applications call.

mod deletes;
mod finds;
mod stores;
mod views;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kad_core::FindOptions;
use kad_wire::{Digest, ItemType, Key, NodeId, TypeMask};
use tokio::sync::{mpsc, oneshot};

use crate::Builder;
use crate::clock::NodeClock;
use crate::command::{Call, Command, Request};
use crate::error::Error;
use crate::feed::Feed;
use crate::places::Places;
use crate::report::{Lookup, Peer, Pong, Stats};
use crate::supervisor::{CloseReason, Supervisor};
use crate::tasks::{Answer, CallId};

pub use finds::{Find, FindAll};
pub use stores::{StoreMany, StoreOne};

/// A future that a call returns.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// How long a call waits past its deadline for the worker to say so.
const SLACK: Duration = Duration::from_secs(1);
/// What saying goodbye takes besides the time for handing over.
const FAREWELL: Duration = Duration::from_secs(5);
/// Longer timeouts are cut to this: nobody waits for so long, and clocks cannot add up any span.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What all handles of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) listen: Arc<[SocketAddr]>,
    pub(crate) value_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) leave_timeout: Duration,
    /// One for each worker.
    pub(crate) calls: Vec<mpsc::UnboundedSender<Call>>,
    pub(crate) clock: NodeClock,
    pub(crate) feed: Arc<Feed>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) places: Places,
    pub(crate) next_call: AtomicU64,
}

/// A node of the network. Cheap to clone; the node runs until [`close`](Self::close), or until the last handle is dropped,
/// which ends it without a word to the others.
///
/// Every call ends by its deadline ([`Builder::timeout`], or its own). A call whose future is dropped is cancelled, but what
/// a store has begun goes on: its values are published.
#[derive(Clone, Debug)]
pub struct Dht {
    pub(crate) shared: Arc<Shared>,
}

impl Dht {
    /// Starts to configure a node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Where it listens: the first address.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.listen[0]
    }

    /// All addresses that it listens on, in the order of [`Builder::listen_on`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.listen
    }

    /// Largest value in bytes.
    pub fn value_max(&self) -> usize {
        self.shared.value_max
    }

    /// Stores a value under a key, for an hour and on at least three other nodes if not told otherwise.
    ///
    /// ```no_run
    /// # async fn example(dht: &kad_tokio::Dht) -> Result<(), kad_tokio::Error> {
    /// use std::time::{Duration, Instant};
    /// use kad_tokio::{Copies, Key};
    ///
    /// let receipt = dht.store(Key::hash("name"), "value").ttl(Duration::from_secs(600)).copies(Copies::All).await?;
    /// println!("{} copies", receipt.copies);
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(&self, key: Key, value: impl Into<Bytes>) -> StoreOne {
        StoreOne { inner: self.store_many([(key, value)]) }
    }

    /// Stores a value under its own hash, as [content](ItemType::CONTENT): nobody can put another value there.
    pub fn store_content(&self, value: impl Into<Bytes>) -> StoreOne {
        let value = value.into();
        self.store(Key::hash(&value), value).item_type(ItemType::CONTENT)
    }

    /// Stores many values, sharing lookups and datagrams where their keys are near each other. The receipts come in the
    /// order of the items; an item that this node's own store refuses has a receipt that says so, and the others are stored.
    pub fn store_many(&self, items: impl IntoIterator<Item = (Key, impl Into<Bytes>)>) -> StoreMany {
        StoreMany::new(self.clone(), items.into_iter().map(|(key, value)| (key, value.into())).collect())
    }

    /// Finds a value under a key: the newest value of the first node that has one. `None` only when at least half of the
    /// k nearest nodes that are known answered and none of them has one, or when this node is alone and has no network to
    /// reach. Otherwise the answer is [`Error::Unreachable`] (no node answered), [`Error::Incomplete`] (too few did, or a value
    /// could not be fetched) or [`Error::Timeout`].
    ///
    /// ```no_run
    /// # async fn example(dht: &kad_tokio::Dht) -> Result<(), kad_tokio::Error> {
    /// use kad_tokio::Key;
    ///
    /// if let Some(value) = dht.find(Key::hash("name")).await? {
    ///     println!("{} bytes from {}", value.bytes.len(), value.origin);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn find(&self, key: Key) -> Find {
        Find::new(self.clone(), key, FindOptions::FIRST)
    }

    /// Finds the [content](ItemType::CONTENT) whose hash is the key: whoever supplies it, the value is the right one.
    /// Records of other types, which anybody can put under the same key, are left aside.
    pub fn find_content(&self, key: Key) -> Find {
        self.find(key).types(TypeMask::only(ItemType::CONTENT))
    }

    /// Finds every value that the k nearest nodes have under a key, as a stream that ends. Values of this node's own store
    /// come first. An error at its end means that there may be more: [`Error::Incomplete`], [`Error::Unreachable`],
    /// [`Error::Truncated`] or [`Error::Timeout`].
    pub fn find_all(&self, key: Key) -> Find {
        Find::new(self.clone(), key, FindOptions::ALL)
    }

    /// Stops to publish the values under a key: they are no longer republished, and lapse with their lifetime. Answers with
    /// how many there were.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget(&self, key: Key) -> Result<usize, Error> {
        self.call(true, self.shared.timeout, |answer| Command::Forget { key, digest: None, answer }).await
    }

    /// Stops to publish one value. Answers whether it was published.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget_value(&self, key: Key, digest: Digest) -> Result<bool, Error> {
        let forget = |answer| Command::Forget { key, digest: Some(digest), answer };
        Ok(self.call(true, self.shared.timeout, forget).await? > 0)
    }

    /// Asks whoever is at an address for a sign of life.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nobody answers.
    pub async fn ping(&self, address: SocketAddr) -> Result<Pong, Error> {
        self.call(false, self.shared.timeout, |answer| Command::Network(Request::Ping { address, answer })).await
    }

    /// Looks for the nodes nearest to a point of the key space.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no node answers although there is a network to reach, [`Error::Timeout`],
    /// [`Error::Closed`].
    pub async fn lookup(&self, target: Key) -> Result<Lookup, Error> {
        self.call(false, self.shared.timeout, |answer| Command::Network(Request::Lookup { target, answer })).await
    }

    /// Everyone in the routing table, by bucket.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn peers(&self) -> Result<Vec<Peer>, Error> {
        self.ask(self.shared.timeout, |answer| Command::Peers { answer }).await
    }

    /// How the node is, and what it has counted.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        let mut stats = self.ask(self.shared.timeout, |answer| Command::Stats { answer }).await?;
        for worker in 1..self.shared.calls.len() {
            stats.add(&self.ask_worker(worker, self.shared.timeout, |answer| Command::Stats { answer }).await?);
        }
        (stats.calls, stats.calls_refused) = (self.shared.places.taken(), self.shared.places.refused());
        Ok(stats)
    }

    /// Waits until the first attempt to join has ended, and says how many contacts the node has. Later attempts go on in the
    /// background for as long as there are none.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there are none although there is a network to join, [`Error::Timeout`],
    /// [`Error::Closed`].
    pub async fn joined(&self) -> Result<usize, Error> {
        self.ask(self.shared.timeout, |answer| Command::Joined { answer }).await
    }

    /// Replaces the nodes to join through, as [`Builder::bootstrap`] takes them, and joins through them at once. Contacts that
    /// the node has stay.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn set_bootstrap(&self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Result<(), Error> {
        let addresses: Vec<String> = addresses.into_iter().map(Into::into).collect();
        self.tell_all(|| Command::SetBootstrap { addresses: addresses.clone() })
    }

    /// Tells the node that its host has other addresses, or has slept: it joins again at once, and asks its contacts whether they
    /// are there, by which they learn where it is. A node notices most changes by itself ([`Builder::watch_host`]); this is for those
    /// of which its host knows nothing, such as a router with another address.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn network_changed(&self) -> Result<(), Error> {
        self.tell_all(|| Command::Moved)
    }

    /// Sends a command that has no answer to every worker.
    fn tell_all(&self, command: impl Fn() -> Command) -> Result<(), Error> {
        for calls in &self.shared.calls {
            let call = Call { id: 0, deadline: self.shared.clock.now(), command: command() };
            calls.send(call).map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// Hands over what the node holds, says goodbye to its contacts, and stops it. Calls that are under way end with
    /// [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Closed`] when it was closed before, or ended by itself: see [`closed`](Self::closed). [`Error::Timeout`] when it
    /// does not come to its end, because its disk hangs.
    pub async fn close(&self) -> Result<(), Error> {
        let timeout = self.shared.leave_timeout + FAREWELL;
        self.send_to(0, 0, self.deadline(timeout), Command::Close)?;
        match tokio::time::timeout(timeout, self.closed()).await {
            Ok(reason) if reason.is_failure() => Err(Error::Closed),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Waits until the node has ended, whatever ended it, and returns why: it was closed, a socket broke, or one of its threads
    /// panicked. A node serves with all of its threads or not at all. Its threads are gone then, and its store is closed.
    pub async fn closed(&self) -> CloseReason {
        self.shared.supervisor.gone().await
    }

    /// When a call that may take so long ends at the latest.
    fn deadline(&self, timeout: Duration) -> Deadline {
        let timeout = timeout.min(TIMEOUT_MAX);
        Deadline { caller: Instant::now() + timeout, node: self.shared.clock.now() + timeout }
    }

    /// The worker for a command: the workers in turn for work on the network, the first for the rest.
    fn worker_of(&self, command: &Command, id: CallId) -> usize {
        let workers = self.shared.calls.len();
        if matches!(command, Command::Network(_)) { id as usize % workers } else { 0 }
    }

    fn next_id(&self) -> CallId {
        self.shared.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a command, which has a place if it needs one.
    fn send(&self, deadline: Deadline, command: Command) -> Result<Guard, Error> {
        let id = self.next_id();
        let worker = self.worker_of(&command, id);
        self.send_to(worker, id, deadline, command)?;
        Ok(Guard { shared: self.shared.clone(), worker, id, armed: true })
    }

    fn send_to(&self, worker: usize, id: CallId, deadline: Deadline, command: Command) -> Result<(), Error> {
        let calls = self.shared.calls.get(worker).ok_or(Error::Closed)?;
        calls.send(Call { id, deadline: deadline.node, command }).map_err(|_| Error::Closed)
    }

    /// Sends a command to the first worker and waits for its answer, but not past the deadline.
    async fn ask<T>(&self, timeout: Duration, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Error> {
        self.ask_worker(0, timeout, command).await
    }

    /// Makes a call, once there is a place for it, and waits for its answer, but not past the deadline.
    async fn call<T>(
        &self,
        is_store: bool,
        timeout: Duration,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Error> {
        let (deadline, places) = (self.deadline(timeout), &self.shared.places);
        let called = async {
            let place = places.take(is_store, deadline.caller).await?;
            let (answer, reply) = oneshot::channel();
            let guard = self.send(deadline, command(Answer::new(answer, Some(place))))?;
            self.answered(deadline, guard, reply).await
        };
        called.await.inspect_err(|error| places.note(error))
    }

    /// Asks one worker.
    async fn ask_worker<T>(
        &self,
        worker: usize,
        timeout: Duration,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Error> {
        let (answer, reply) = oneshot::channel();
        let (id, deadline) = (self.next_id(), self.deadline(timeout));
        self.send_to(worker, id, deadline, command(Answer::new(answer, None)))?;
        let guard = Guard { shared: self.shared.clone(), worker, id, armed: true };
        self.answered(deadline, guard, reply).await
    }

    async fn answered<T>(
        &self,
        deadline: Deadline,
        mut guard: Guard,
        reply: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout_at((deadline.caller + SLACK).into(), reply).await {
            Ok(result) => {
                guard.disarm();
                result.map_err(|_| Error::Closed)?
            }
            Err(_) => Err(Error::Timeout),
        }
    }
}

/// When a call ends at the latest.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    /// By the clock that its caller waits by.
    caller: Instant,
    /// By the node's, which goes on while the host sleeps.
    node: kad_wire::Instant,
}

/// Takes a call back when its caller drops it.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    worker: usize,
    id: CallId,
    armed: bool,
}

impl Guard {
    /// The call is over: there is nothing to take back.
    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            let call = Call { id: self.id, deadline: self.shared.clock.now(), command: Command::Cancel };
            // A node that is gone needs no cancelling.
            let _ = self.shared.calls.get(self.worker).map(|calls| calls.send(call));
        }
    }
}
