//! The worker: one thread that owns a node, its store and its socket, and runs the core's loop.

mod calls;
mod crew;
mod duplicate;
mod durable;
mod events;
mod joining;
mod leaving;
mod observer;
mod pace;
mod paths;
mod upkeep;
mod views;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kad_core::{Node, OperationId, Sender, Slabs, StartError};
use kad_record::{Command, Input, Recorder};
use kad_upkeep::{Joining, Shelves, Upkeep};
use kad_wire::{Digest, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::clock::NodeClock;
use crate::command::Call;
use crate::feed::Feed;
use crate::outlet::Outlet;
use crate::socket::{DATAGRAM, Locals, Outgoing, Read, Sockets, Source};
use crate::supervisor::CloseReason;
use crate::tasks::{Answer, CallId, Task, Tasks};
use crate::vault::Vault;
use calls::Waiting;
use crew::Told;
pub(crate) use crew::{Crew, Note, Notes};
use durable::{Held, Published};
use observer::Observer;
use pace::Pace;
use paths::SmallPaths;

/// Longest sleep: nothing is due, but a timer must have some time.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Deadlines of requests wait no longer than this for a socket that is never empty.
const OVERDUE: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) clock: NodeClock,
    /// Whether it looks after the host.
    pub(crate) watches_host: bool,
    pub(crate) slabs: Slabs,
    pub(crate) store: Vault,
    pub(crate) socket: Sockets,
    /// What they listen on.
    pub(crate) listen: Arc<[SocketAddr]>,
    pub(crate) locals: Locals,
    pub(crate) calls: mpsc::UnboundedReceiver<Call>,
    pub(crate) own_calls: mpsc::WeakUnboundedSender<Call>,
    /// Its place among the workers. The first does what a node does once: it joins, keeps values up, and leaves.
    pub(crate) index: usize,
    pub(crate) crew: Arc<Crew>,
    pub(crate) notes: Notes,
    pub(crate) reach: Reach,
    /// Addresses to join through: only the first worker has them.
    pub(crate) bootstrap: Vec<String>,
    /// The same of nodes that were known before a restart.
    pub(crate) remembered: Vec<String>,
    pub(crate) serves: bool,
    pub(crate) leave_timeout: Duration,
    pub(crate) rejoin_interval: Duration,
    pub(crate) batch: usize,
    /// Operations at a time, at the most.
    pub(crate) operations_max: usize,
    pub(crate) cache_found: bool,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) feed: Arc<Feed>,
    /// Changes when the node ends: another worker has left, or failed.
    pub(crate) stopping: watch::Receiver<Option<CloseReason>>,
}

/// Which network the node has to reach: the same for all workers.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    /// Bootstrap addresses.
    pub(crate) bootstrap: usize,
    /// Addresses of nodes that were known before a restart.
    pub(crate) remembered: usize,
}

impl Reach {
    /// Whether there is a network that should answer.
    pub(crate) const fn has_network(self) -> bool {
        self.bootstrap + self.remembered > 0
    }
}

/// See the [module](self).
pub(crate) struct Worker {
    parts: Parts,
    /// Datagrams that may be sent.
    queue: Outgoing,
    /// Answers that say that the store holds something, since the last commit.
    pledged: Outgoing,
    /// What waits for commits, oldest first.
    held: VecDeque<Held>,
    /// Datagrams among them.
    held_answers: usize,
    /// Whom the other workers know of.
    told: Told,
    buffer: Box<[u8; DATAGRAM]>,
    tasks: Tasks,
    /// Requests that wait until they may begin, oldest first.
    waiting: BTreeMap<CallId, Waiting>,
    /// Requests that wait for the first join.
    unsettled: BTreeMap<CallId, Waiting>,
    /// How many operations may be under way.
    pace: Pace,
    /// Whose turn it is: that of the rest of a large store, or of a call that has not begun.
    stores_first: bool,
    /// Store calls whose values are in the own store, and not yet durable there.
    published: Vec<Published>,
    joining: Joining,
    /// Parts of attempts to join that are not over: through known addresses, and through each name.
    joins_under_way: usize,
    /// Those who wait for the first join.
    wait_for_join: Vec<Answer<usize>>,
    upkeep: Upkeep,
    /// When the upkeep wants to be called again.
    upkeep_at: Option<Instant>,
    observer: Observer,
    small_paths: SmallPaths,
    /// What it has others do beside it: they end with it, and their panics are its own.
    helpers: JoinSet<()>,
    failed: Option<CloseReason>,
    done: bool,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let has_bootstrap = parts.index == 0 && parts.reach.has_network();
        let joining = Joining::new(has_bootstrap, parts.rejoin_interval, random_seed());
        let queue = || Outgoing::new(parts.socket.segments());
        Self {
            observer: Observer::new(parts.feed.clone(), parts.index == 0),
            queue: queue(),
            pledged: queue(),
            held: VecDeque::new(),
            told: Told::default(),
            buffer: Box::new([0; DATAGRAM]),
            held_answers: 0,
            tasks: Tasks::default(),
            waiting: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            pace: Pace::new(parts.operations_max),
            stores_first: false,
            published: Vec::new(),
            joining,
            joins_under_way: 0,
            wait_for_join: Vec::new(),
            upkeep: Upkeep::new(),
            upkeep_at: None,
            small_paths: SmallPaths::default(),
            helpers: JoinSet::new(),
            failed: None,
            done: false,
            parts,
        }
    }

    fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// Whether this is the worker that does what a node does once.
    fn is_first(&self) -> bool {
        self.parts.index == 0
    }

    fn node(&mut self) -> Node<'_> {
        self.parts.slabs.node()
    }

    /// Runs until the node is closed, has failed, or nobody holds a handle any more.
    ///
    /// # Errors
    /// Why the node cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), CloseReason> {
        self.parts.socket.attach().map_err(|error| CloseReason::socket(&error))?;
        if self.is_first() && self.joining.is_settled() {
            self.tell_settled();
        }
        if self.parts.watches_host && self.is_first() {
            self.helpers.spawn(crate::host::watch(self.parts.clock.clone(), self.parts.crew.clone()));
        }
        let mut alarm = pin!(tokio::time::sleep(LONGEST_SLEEP));
        loop {
            self.drive().await;
            self.warn_of_duplicate();
            self.observe();
            if let Some(error) = self.parts.socket.broken() {
                return Err(CloseReason::socket(&error));
            }
            if self.done || !self.wait(alarm.as_mut()).await {
                break;
            }
            if let Some(reason) = self.failed.take() {
                return Err(reason);
            }
        }
        self.parts.socket.flush(&mut self.queue).await;
        if let Some(Err(error)) = self.parts.recorder.take().map(Recorder::finish) {
            tracing::error!(%error, "the recording is not whole");
        }
        Ok(())
    }

    /// Waits until there is something to do, and takes it in. `false`: this is the end.
    async fn wait(&mut self, mut alarm: Pin<&mut Sleep>) -> bool {
        let until = tokio::time::Instant::now() + self.patience();
        // An alarm that comes too early does no harm, and setting it costs more than that.
        if alarm.is_elapsed() || until < alarm.deadline() {
            alarm.as_mut().reset(until);
        }
        tokio::select! {
            biased;
            // However many notes there are, calls and the socket have their turn.
            Some(note) = self.parts.notes.next() => {
                self.take_note(note);
                self.take_notes();
                if let Ok(call) = self.parts.calls.try_recv() {
                    self.take_calls(call);
                }
                self.send_answers().await;
                self.receive().await;
            }
            call = self.parts.calls.recv() => match call {
                Some(call) => {
                    self.take_calls(call);
                    self.receive().await;
                }
                // The last handle is gone.
                None => return false,
            },
            _ = self.parts.stopping.changed() => return false,
            Some(ended) = self.helpers.join_next() => {
                self.failed = ended.err().and_then(|error| error.try_into_panic().ok()).map(|payload| CloseReason::panicked(&*payload));
            }
            () = self.parts.socket.readable() => self.receive().await,
            () = alarm => {
                // Nothing has come for a while: what a burst has taken is given back.
                self.queue.shrink();
                self.pledged.shrink();
            }
        }
        true
    }

    /// Writes down what is done, if that is wanted.
    fn note(&mut self, at: Instant, input: impl FnOnce() -> Input) {
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.note(at, input());
        }
    }

    /// Tells those who watch what is new.
    pub(super) fn observe(&mut self) {
        let now = self.now();
        self.observer.look(now, &mut self.parts.slabs.node(), &mut self.tasks);
    }

    /// How long nothing need be done if nothing comes.
    fn patience(&mut self) -> Duration {
        let now = self.now();
        let core = self.node().poll_timeout();
        let next = [core, self.upkeep_at, self.joining.next()].into_iter().flatten().min();
        let mut patience = next.map_or(LONGEST_SLEEP, |at| at.saturating_since(now));
        if let Some(at) = self.next_expiry() {
            patience = patience.min(at.saturating_since(now));
        }
        patience.min(LONGEST_SLEEP)
    }

    /// Reads datagrams of which the runtime knows. Their answers leave when there is nothing left to read, and those that
    /// promise something when that is durable.
    async fn receive(&mut self) {
        self.receive_as(Read::WhenReady).await;
    }

    /// Reads a batch of datagrams, and returns true if that was all there were.
    async fn receive_as(&mut self, read: Read) -> bool {
        let mut incoming = self.parts.socket.incoming();
        let mut left = self.parts.batch;
        while left > 0 && self.parts.socket.receive(&mut incoming, read) {
            let now = self.now();
            for (source, datagram) in incoming.datagrams() {
                left = left.saturating_sub(1);
                if !self.pass_on(source, datagram) {
                    self.receive_one(now, source, datagram);
                }
                if self.queue.is_full() || self.pledged.is_full() {
                    self.send_answers().await;
                }
            }
        }
        self.send_answers().await;
        left > 0
    }

    /// Gives up what was not answered in time. What has come meanwhile is read first: a reply that waits in the socket because
    /// this node is busy is no reason to think that its sender is gone.
    async fn judge_timeouts(&mut self) {
        let now = self.now();
        let due = |worker: &mut Self| worker.node().poll_timeout().filter(|at| *at <= now);
        if due(self).is_none() {
            return;
        }
        let is_all = self.receive_as(Read::Now).await;
        let Some(at) = due(self) else { return };
        // More waits to be read: it comes first, unless there is no end to it.
        if is_all || now.saturating_since(at) > OVERDUE {
            self.node().handle_timeout(now);
            self.note(now, || Input::Timeout);
            self.tell_silences();
        }
    }

    fn receive_one(&mut self, now: Instant, source: Source, datagram: &[u8]) {
        let Parts { slabs, store, recorder, locals, .. } = &mut self.parts;
        let (tasks, node, buffer) = (&mut self.tasks, &mut slabs.node(), &mut self.buffer[..]);
        let (from, via, mut found) = (source.from, locals.number(source.local()), Vec::new());
        let sender = Sender { address: from, via };
        let mut response = kad_upkeep::receive(now, node, store, (sender, datagram), buffer, |values| {
            let Some(Task::Find { call }) = tasks.get(values.operation) else { return };
            let owned = |(header, bytes)| (*call, header, crate::recycled::copy(bytes), values.origin);
            found.extend(values.iter().map(owned));
        });
        let queue = if response.promises() { &mut self.pledged } else { &mut self.queue };
        let mut outlet = Outlet::new(queue, recorder.as_mut());
        let aside = store.clone();
        let mut shelves = Shelves { store, aside: &aside };
        while let Some(len) = response.next(now, node, &mut shelves, buffer) {
            outlet.answer(source, via, &buffer[..len]);
        }
        self.note(now, || Input::Datagram { from: from.into(), via: via.0, bytes: datagram.into() });
        let tasks = &mut self.tasks;
        for (call, header, bytes, origin) in found {
            if let Some(find) = tasks.finds.get_mut(&call) {
                find.hand_out(&header, bytes, &origin);
            }
        }
    }

    /// Everything that does not depend on a datagram or a call: what is due, what is to be sent, what has ended. What ends
    /// may free what something else waits for, so this goes on until nothing ends.
    async fn drive(&mut self) {
        self.join_if_due();
        self.tell_contacts();
        self.judge_timeouts().await;
        self.take_events();
        loop {
            self.expire_waiting();
            self.start_waiting();
            self.keep_up();
            self.transmit().await;
            if !self.take_events() {
                return;
            }
        }
    }

    /// Sends everything that the node has to send.
    async fn transmit(&mut self) {
        loop {
            let more = self.fill_queue();
            self.parts.socket.flush(&mut self.queue).await;
            // What was too large goes out again, smaller.
            if !self.learn_paths() && !more {
                return;
            }
        }
    }

    /// Queues what the node has to send, and says whether there may be more than the queue takes.
    fn fill_queue(&mut self) -> bool {
        let now = self.now();
        let Parts { slabs, store, recorder, locals, socket, .. } = &mut self.parts;
        let mut outlet = Outlet::new(&mut self.queue, recorder.as_mut());
        let aside = store.clone();
        let mut shelves = Shelves { store, aside: &aside };
        let (node, buffer) = (&mut slabs.node(), &mut self.buffer[..]);
        let mut full = outlet.is_full();
        while !full && let Some(transmit) = kad_upkeep::next_transmit(now, node, &mut shelves, buffer) {
            let local = locals.of(transmit.via, transmit.to).unwrap_or_else(|| socket.choose(transmit.to));
            outlet.send(&transmit, local, &buffer[..transmit.len]);
            full = outlet.is_full();
        }
        let datagrams = outlet.sent;
        self.note(now, || Input::Transmit { datagrams, full });
        full
    }

    /// Starts an operation, with more memory if need be.
    fn start(&mut self, command: Command) -> Result<OperationId, StartError> {
        let now = self.now();
        let started = kad_record::start(&mut self.parts.slabs, now, &command);
        if let Some(recorder) = &mut self.parts.recorder {
            if let Ok(operation) = started {
                recorder.said(operation.to_bits());
            }
            recorder.note(now, Input::Start(command));
        }
        started
    }

    fn cancel_operation(&mut self, operation: OperationId) {
        let now = self.now();
        self.node().cancel(now, operation);
        self.note(now, || Input::Cancel(operation.to_bits()));
    }

    fn pin(&mut self, digest: Digest, bytes: Bytes) {
        let now = self.now();
        self.note(now, || Input::Pin { digest, bytes: bytes.to_vec() });
        self.parts.store.pin(digest, bytes);
    }

    fn unpin(&mut self, digest: Digest) {
        let now = self.now();
        self.note(now, || Input::Unpin { digest });
        self.parts.store.unpin(&digest);
    }
}

/// What spreads this node's attempts to join over time.
fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the process id must do: nothing depends on it but when this node knocks.
    let seed = getrandom::fill(&mut bytes).map(|()| u64::from_le_bytes(bytes));
    seed.unwrap_or_else(|_| std::process::id().into())
}
