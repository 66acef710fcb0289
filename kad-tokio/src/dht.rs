//! The handle: what applications call.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use kad_core::FindOptions;
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Digest, ItemHeader, ItemType, Key, Lock, NodeId, TypeMask};
use tokio::sync::{mpsc, oneshot};

use crate::Builder;
use crate::command::{Answer, Call, CallId, Command, Publication};
use crate::error::Error;
use crate::report::{Copies, Lookup, Peer, Pong, Receipt, Stats, Value};

/// A future that a call returns.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// How long a call waits past its deadline for the worker to say so.
const SLACK: Duration = Duration::from_secs(1);

/// What all handles of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) value_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) calls: mpsc::UnboundedSender<Call>,
    pub(crate) next_call: AtomicU64,
}

/// A node of the network. Cheap to clone; the node runs until [`close`](Self::close), or until the last handle is dropped,
/// which ends it without a word to the others.
///
/// Every call ends by its deadline ([`Builder::timeout`], or its own). A call whose future is dropped is cancelled.
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

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// Largest value in bytes.
    pub fn value_max(&self) -> usize {
        self.shared.value_max
    }

    /// Stores a value under a key, for an hour and on at least three other nodes if not told otherwise.
    ///
    /// ```no_run
    /// # async fn example(dht: &kad_tokio::Dht) -> Result<(), kad_tokio::Error> {
    /// use std::time::Duration;
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
    /// order of the items.
    pub fn store_many(&self, items: impl IntoIterator<Item = (Key, impl Into<Bytes>)>) -> StoreMany {
        StoreMany {
            dht: self.clone(),
            items: items.into_iter().map(|(key, value)| (key, value.into())).collect(),
            item_type: ItemType::RAW,
            lock: Lock::NONE,
            ttl: Duration::from_secs(3600),
            copies: Copies::AtLeast(3),
            timeout: self.shared.timeout,
        }
    }

    /// Finds a value under a key: the newest that the first node which has any knows. `None` when the k nearest nodes have
    /// none.
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
        Find { dht: self.clone(), key, options: FindOptions::FIRST, timeout: self.shared.timeout }
    }

    /// Finds every value that the k nearest nodes have under a key, as a stream that ends. Values of this node's own store
    /// come first.
    pub fn find_all(&self, key: Key) -> Find {
        Find { dht: self.clone(), key, options: FindOptions::ALL, timeout: self.shared.timeout }
    }

    /// Stops to publish the values under a key: they are no longer republished, and lapse with their lifetime. Answers with
    /// how many there were.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget(&self, key: Key) -> Result<usize, Error> {
        self.ask(self.shared.timeout, |answer| Command::Forget { key, digest: None, answer }).await
    }

    /// Stops to publish one value. Answers whether it was published.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn forget_value(&self, key: Key, digest: Digest) -> Result<bool, Error> {
        let forget = |answer| Command::Forget { key, digest: Some(digest), answer };
        Ok(self.ask(self.shared.timeout, forget).await? > 0)
    }

    /// Asks whoever is at an address for a sign of life.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nobody answers.
    pub async fn ping(&self, address: SocketAddr) -> Result<Pong, Error> {
        self.ask(self.shared.timeout, |answer| Command::Ping { address, answer }).await
    }

    /// Looks for the nodes nearest to a point of the key space.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lookup(&self, target: Key) -> Result<Lookup, Error> {
        self.ask(self.shared.timeout, |answer| Command::Lookup { target, answer }).await
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
        self.ask(self.shared.timeout, |answer| Command::Stats { answer }).await
    }

    /// Waits until the first attempt to join has ended, and says how many contacts the node has. Later attempts go on in the
    /// background for as long as there are none.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Timeout`].
    pub async fn joined(&self) -> Result<usize, Error> {
        self.ask(self.shared.timeout, |answer| Command::Joined { answer }).await
    }

    /// Hands over what the node holds, says goodbye to its contacts, and stops it. Calls that are under way end with
    /// [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Closed`] when it was closed before.
    pub async fn close(&self) -> Result<(), Error> {
        self.ask(Duration::from_secs(60), |answer| Command::Close { answer }).await
    }

    fn send(&self, timeout: Duration, command: Command) -> Result<Guard, Error> {
        let id = self.shared.next_call.fetch_add(1, Ordering::Relaxed);
        let call = Call { id, deadline: Instant::now() + timeout, command };
        self.shared.calls.send(call).map_err(|_| Error::Closed)?;
        Ok(Guard { shared: self.shared.clone(), id, armed: true })
    }

    /// Sends a command and waits for its answer, but not past the deadline.
    async fn ask<T>(&self, timeout: Duration, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Error> {
        let (answer, reply) = oneshot::channel();
        let mut guard = self.send(timeout, command(answer))?;
        match tokio::time::timeout(timeout + SLACK, reply).await {
            Ok(result) => {
                guard.armed = false;
                result.map_err(|_| Error::Closed)?
            }
            Err(_) => Err(Error::Timeout),
        }
    }
}

/// Takes a call back when its caller drops it.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    id: CallId,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            let call = Call { id: self.id, deadline: Instant::now(), command: Command::Cancel };
            // A node that is gone needs no cancelling.
            let _ = self.shared.calls.send(call);
        }
    }
}

/// A store of many values, made by [`Dht::store_many`]; runs when awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is stored until it is awaited"]
pub struct StoreMany {
    dht: Dht,
    items: Vec<(Key, Bytes)>,
    item_type: ItemType,
    lock: Lock,
    ttl: Duration,
    copies: Copies,
    timeout: Duration,
}

impl StoreMany {
    /// How long the values live: up to seven days, an hour if not set.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How many copies to wait for; three on other nodes if not set.
    pub fn copies(mut self, copies: Copies) -> Self {
        self.copies = copies;
        self
    }

    /// What kind of records they are; [raw](ItemType::RAW) if not set.
    pub fn item_type(mut self, item_type: ItemType) -> Self {
        self.item_type = item_type;
        self
    }

    /// How long to wait at the most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks everything before anything is stored.
    fn publications(&self) -> Result<Vec<Publication>, Error> {
        let max = self.dht.shared.value_max;
        let ttl_ms = u32::try_from(self.ttl.as_millis()).ok().filter(|ms| (1..=TTL_MAX_MS).contains(ms));
        let ttl_ms = ttl_ms.ok_or(Error::Lifetime)?;
        if let Some((_, large)) = self.items.iter().find(|(_, value)| value.len() > max) {
            return Err(Error::TooLarge { len: large.len(), max });
        }
        let publication = |(key, bytes): &(Key, Bytes)| Publication {
            key: *key,
            header: ItemHeader::publish(key, self.item_type, self.lock, ttl_ms, bytes),
            bytes: bytes.clone(),
        };
        Ok(self.items.iter().map(publication).collect())
    }

    async fn run(self) -> Result<Vec<Receipt>, Error> {
        let items = self.publications()?;
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let copies = self.copies;
        self.dht.ask(self.timeout, |answer| Command::Store { items, copies, answer }).await
    }
}

impl IntoFuture for StoreMany {
    type Output = Result<Vec<Receipt>, Error>;
    type IntoFuture = Boxed<Vec<Receipt>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A store of one value, made by [`Dht::store`]; runs when awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is stored until it is awaited"]
pub struct StoreOne {
    inner: StoreMany,
}

impl StoreOne {
    /// How long the value lives: up to seven days, an hour if not set.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { inner: self.inner.ttl(ttl) }
    }

    /// How many copies to wait for; three on other nodes if not set.
    pub fn copies(self, copies: Copies) -> Self {
        Self { inner: self.inner.copies(copies) }
    }

    /// What kind of record it is; [raw](ItemType::RAW) if not set.
    pub fn item_type(self, item_type: ItemType) -> Self {
        Self { inner: self.inner.item_type(item_type) }
    }

    /// How long to wait at the most.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { inner: self.inner.timeout(timeout) }
    }
}

impl IntoFuture for StoreOne {
    type Output = Result<Receipt, Error>;
    type IntoFuture = Boxed<Receipt>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.inner.run().await?.pop().ok_or(Error::Closed) })
    }
}

/// A find, made by [`Dht::find`] and [`Dht::find_all`]. Await it for the first value, or take the
/// [`values`](Self::values) as a stream.
#[derive(Clone, Debug)]
#[must_use = "nothing is looked for until it is awaited or made a stream"]
pub struct Find {
    dht: Dht,
    key: Key,
    options: FindOptions,
    timeout: Duration,
}

impl Find {
    /// Only values of these types.
    pub fn types(mut self, types: TypeMask) -> Self {
        self.options.types = types;
        self
    }

    /// Only values published at most this long ago. Ages are as exact as the paths' delays: to about a second.
    pub fn not_older_than(mut self, age: Duration) -> Self {
        self.options.max_age = Some(age);
        self
    }

    /// How long to wait at the most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The values as a stream, which ends when the find does. An error is its last item.
    pub fn values(self) -> FindAll {
        let (values, receiver) = mpsc::unbounded_channel();
        let find = Command::Find { key: self.key, options: self.options, values };
        match self.dht.send(self.timeout, find) {
            Ok(guard) => FindAll { receiver, guard: Some(guard), failed: None },
            Err(error) => FindAll { receiver, guard: None, failed: Some(error) },
        }
    }

    async fn first(self) -> Result<Option<Value>, Error> {
        let timeout = self.timeout + SLACK;
        let mut values = self.values();
        match tokio::time::timeout(timeout, values.next()).await {
            Ok(first) => first.transpose(),
            Err(_) => Err(Error::Timeout),
        }
    }
}

impl IntoFuture for Find {
    type Output = Result<Option<Value>, Error>;
    type IntoFuture = Boxed<Option<Value>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.first())
    }
}

/// The values of a find, as they come. Ends; dropping it cancels the find.
#[derive(Debug)]
pub struct FindAll {
    receiver: mpsc::UnboundedReceiver<Result<Value, Error>>,
    guard: Option<Guard>,
    failed: Option<Error>,
}

impl FindAll {
    /// The next value; `None` when there are no more.
    pub async fn next(&mut self) -> Option<Result<Value, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for FindAll {
    type Item = Result<Value, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = self.receiver.poll_recv(context);
        if let (Poll::Ready(None), Some(guard)) = (&next, &mut self.guard) {
            // The worker has ended it.
            guard.armed = false;
        }
        next
    }
}
