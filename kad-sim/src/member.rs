//! One simulated node: the shipping core and store, and what their owner would do with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kad_core::{Capacity, Config, Event, FindEnd, OperationId, Slabs, StartError, Walk};
use kad_store::{MemoryStore, Store};
use kad_upkeep::{Aside, Shelves, Upkeep, copy_part};
use kad_wire::{Contact, Digest, Instant, ItemHeader, Key, NodeId};

use crate::clock::Clock;

/// Where a member writes its datagrams: room for a chunk of a value.
pub(crate) type Buffer = [u8; 4096];

/// What became of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Nodes that answered, nearest to the target first.
    pub closest: Vec<Contact>,
    /// Hops to the farthest of them.
    pub hops: u8,
    /// Requests sent.
    pub requests: usize,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// Whether its deadline ended it.
    pub timed_out: bool,
    /// STORE: copies on other nodes.
    pub copies: usize,
    /// STORE: nodes that were asked to hold and did not.
    pub refusals: usize,
    /// STORE: all of the nearest hold every item.
    pub complete: bool,
    /// FIND_VALUE: there is more.
    pub truncated: bool,
    /// FIND_VALUE: what can be said of values that did not come.
    pub end: Option<FindEnd>,
    /// FIND_VALUE: the nearest node that answered and did not have it.
    pub lacked: Option<Contact>,
}

/// A datagram that a member sends.
pub(crate) type Outgoing = (SocketAddr, Vec<u8>);

/// What a member sends, until the world takes it.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) sent: Vec<Outgoing>,
    /// Memory of datagrams that have arrived, for others.
    pub(crate) spare: Vec<Vec<u8>>,
}

impl Outbox {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(datagram);
        self.sent.push((to, bytes));
    }
}

/// Values that operations send and that are not stored.
#[derive(Default)]
pub(crate) struct Copies(pub(crate) BTreeMap<OperationId, (Digest, Vec<u8>)>);

impl Aside for Copies {
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let (_, value) = self.0.values().find(|(of, _)| of == digest)?;
        Some(copy_part(value, offset, out))
    }
}

/// A simulated node.
pub struct Member {
    slabs: Slabs,
    /// What it remembers.
    pub store: MemoryStore,
    /// What it does for that; `None` for a node that does nothing for its values.
    pub upkeep: Option<Box<Upkeep>>,
    /// When the upkeep wants to be called again.
    upkeep_at: Option<Instant>,
    /// Whether it knows its network: before that its upkeep would pass values on to whoever it happens to know.
    pub has_joined: bool,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Its clock.
    pub clock: Clock,
    /// Values that operations have found.
    pub found: BTreeMap<OperationId, Vec<(ItemHeader, Vec<u8>)>>,
    /// Values of which operations leave copies: they are not in the store.
    pub(crate) aside: Copies,
}

impl Member {
    pub(crate) fn new(
        id: NodeId,
        address: SocketAddr,
        seed: [u8; 32],
        config: &Config,
        capacity: Capacity,
        store: MemoryStore,
    ) -> Self {
        let slabs = Slabs::new(id, config, &seed, capacity).expect("the scenario's settings fit its capacity");
        Self {
            slabs,
            store,
            upkeep: None,
            upkeep_at: None,
            has_joined: false,
            address,
            clock: Clock::default(),
            found: BTreeMap::new(),
            aside: Copies::default(),
        }
    }

    /// The node itself.
    pub fn node(&mut self) -> kad_core::Node<'_> {
        self.slabs.node()
    }

    /// Starts an operation, with more memory if need be.
    ///
    /// # Errors
    /// [`StartError`], for lack of places only when the capacity allows no more.
    pub(crate) fn start(
        &mut self,
        mut command: impl FnMut(&mut kad_core::Node<'_>) -> Result<OperationId, StartError>,
    ) -> Result<OperationId, StartError> {
        loop {
            match command(&mut self.slabs.node()) {
                Err(StartError::NoSlot) if self.slabs.grow() => {}
                result => return result,
            }
        }
    }

    /// Takes in a datagram. `now` is what its clock shows.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        (from, datagram): (SocketAddr, &[u8]),
        buffer: &mut Buffer,
        out: &mut Outbox,
    ) {
        let Self { slabs, store, found, aside, .. } = self;
        let mut node = slabs.node();
        let mut response = kad_upkeep::receive(now, &mut node, store, (from, datagram), buffer, |values| {
            let list = found.entry(values.operation).or_default();
            list.extend(values.iter().map(|(header, bytes)| (header, bytes.to_vec())));
        });
        let mut shelves = Shelves { store, aside };
        while let Some(len) = response.next(now, &mut node, &mut shelves, buffer) {
            out.send(from, &buffer[..len]);
        }
    }

    /// The rest of the loop: what is due, what is to be sent, what has ended. Answers with the next deadline. `now` is what
    /// its clock shows.
    pub(crate) fn drive(
        &mut self,
        now: Instant,
        buffer: &mut Buffer,
        out: &mut Outbox,
        ended: &mut Vec<(OperationId, Outcome)>,
    ) -> Option<Instant> {
        let mut node = self.slabs.node();
        if node.poll_timeout().is_some_and(|at| at <= now) {
            node.handle_timeout(now);
        }
        loop {
            self.keep_up(now);
            let mut shelves = Shelves { store: &mut self.store, aside: &self.aside };
            while let Some(sent) = kad_upkeep::next_transmit(now, &mut self.slabs.node(), &mut shelves, buffer) {
                out.send(sent.to, &buffer[..sent.len]);
            }
            if !self.take_events(now, ended) {
                break;
            }
        }
        self.slabs.node().poll_timeout().into_iter().chain(self.upkeep_at).min()
    }

    fn keep_up(&mut self, now: Instant) {
        if let Some(upkeep) = &mut self.upkeep
            && (self.has_joined || upkeep.is_leaving())
        {
            self.upkeep_at = upkeep.drive(now, &mut self.slabs.node(), &mut self.store);
        }
    }

    /// Takes in what has ended. Answers whether anything has.
    fn take_events(&mut self, now: Instant, ended: &mut Vec<(OperationId, Outcome)>) -> bool {
        let mut any = false;
        let mut node = self.slabs.node();
        while let Some(event) = node.poll_event() {
            any = true;
            self.aside.0.remove(&event.operation());
            let of_upkeep = self.upkeep.as_mut().is_some_and(|upkeep| upkeep.ended(event.operation()));
            if !of_upkeep {
                ended.extend(outcome(now, &event));
            }
        }
        any
    }

    /// Publishes a value of its own: in its store, where the core and others find it. `now` is what its clock shows.
    pub fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, value: &[u8]) {
        let answer = self.store.publish(now, key, header, value);
        assert!(answer.status.is_held(), "{answer:?}");
    }

    /// Bytes of the node itself, without its store.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.slabs.size() + self.upkeep.as_ref().map_or(0, |_| size_of::<Upkeep>())
    }
}

/// Nodes that were asked to hold the first item and did not.
fn refusals(receipt: &kad_core::Receipt<'_>) -> usize {
    let first = receipt.items().next();
    first.map_or(0, |item| item.holders().filter(|(_, held)| *held != kad_core::Held::Yes).count())
}

fn outcome(now: Instant, event: &Event<'_>) -> Option<(OperationId, Outcome)> {
    let nothing = Outcome {
        closest: Vec::new(),
        hops: 0,
        requests: 0,
        took_us: 0,
        timed_out: false,
        copies: 0,
        refusals: 0,
        complete: false,
        truncated: false,
        end: None,
        lacked: None,
    };
    let of_trace = |trace: &kad_core::Trace<'_>| Outcome {
        closest: trace.closest().collect(),
        hops: trace.hops(),
        requests: trace.requests(),
        took_us: u64::try_from(trace.duration(now).as_micros()).unwrap_or(u64::MAX),
        timed_out: trace.timed_out(),
        ..nothing.clone()
    };
    let outcome = match event {
        Event::Quorum { .. } => return None,
        Event::Pinged { answer, .. } => {
            Outcome { closest: answer.iter().map(|(contact, _)| *contact).collect(), ..nothing }
        }
        Event::Joined { answered, .. } => Outcome { copies: *answered, ..nothing },
        Event::FoundNodes { trace, .. } => of_trace(trace),
        Event::FoundValues { trace, truncated, end, .. } => {
            let lacked = trace.steps().find(|step| step.state == Walk::Answered && !step.had_value);
            let lacked = lacked.map(|step| step.contact);
            Outcome { truncated: *truncated, end: Some(*end), lacked, ..of_trace(trace) }
        }
        Event::Stored { receipt, .. } => {
            let complete = receipt.items().all(|item| item.is_complete());
            Outcome { copies: receipt.copies(), refusals: refusals(receipt), complete, ..of_trace(&receipt.trace()) }
        }
        Event::Left { .. } => nothing,
    };
    Some((event.operation(), outcome))
}
