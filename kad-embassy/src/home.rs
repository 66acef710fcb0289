//! The node with everything it has, but for its socket: what comes in, what is due, what has ended. No clock, no waiting.

use core::net::SocketAddr;
use core::time::Duration;

use embassy_sync::waitqueue::WakerRegistration;
use heapless::Vec;
use kad_core::{Event, FindOptions, Node, OperationId, StartError, Trace};
use kad_store::Store;
use kad_upkeep::{Aside, Joining, Response, Shelves, Upkeep};
use kad_wire::{Instant, Key, StoreMode};

use crate::calls::{CallSlot, Outcome, Request};
use crate::error::Error;
use crate::logs;
use crate::net::LinkStats;
use crate::report::{Copies, Found, Pong, Receipt};

/// Bootstrap addresses that a node keeps.
pub const BOOTSTRAP: usize = 4;
/// How long one attempt to join may take.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// See the [module](self).
pub(crate) struct Home {
    pub(crate) node: Node<'static>,
    pub(crate) store: &'static mut dyn Store,
    pub(crate) upkeep: Upkeep,
    upkeep_at: Option<Instant>,
    /// Whether it stays: it joins, cares for what it holds, and lets stores go on after their callers have enough copies.
    resident: bool,
    joining: Joining,
    join: Option<OperationId>,
    bootstrap: Vec<SocketAddr, BOOTSTRAP>,
    calls: &'static mut [CallSlot],
    /// Where found values are: an equal part for each call.
    found: &'static mut [u8],
    /// Wakes whoever drives this node.
    pub(crate) driver: WakerRegistration,
    /// What the link counted when it was last looked at.
    pub(crate) link: LinkStats,
}

impl Home {
    pub(crate) fn new(
        node: Node<'static>,
        store: &'static mut dyn Store,
        bootstrap: &[SocketAddr],
        rejoin_interval: Duration,
        calls: &'static mut [CallSlot],
        found: &'static mut [u8],
    ) -> Self {
        let id = node.id();
        let seed = id.as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        Self {
            node,
            store,
            upkeep: Upkeep::new(),
            upkeep_at: None,
            resident: true,
            joining: Joining::new(!bootstrap.is_empty(), rejoin_interval, seed),
            join: None,
            bootstrap: bootstrap.iter().take(BOOTSTRAP).copied().collect(),
            calls,
            found,
            driver: WakerRegistration::new(),
            link: LinkStats::default(),
        }
    }

    /// The same for a node that only wakes for an operation.
    pub(crate) fn visiting(self) -> Self {
        Self { resident: false, ..self }
    }

    /// Everything that does not depend on a datagram: what is due, what has ended, what waits. What ends may free what
    /// something else waits for.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        if self.resident {
            self.join_if_due(now);
        }
        self.take_events(now);
        self.serve_calls(now);
        if self.resident {
            self.keep_up(now);
        }
    }

    /// When [`turn`](Self::turn) has something to do, if nothing happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let calls = self.calls.iter().filter(|call| call.waiting().is_some()).map(CallSlot::until);
        let rest = [self.node.poll_timeout(), self.upkeep_at, self.joining.next()];
        rest.into_iter().flatten().chain(calls).min()
    }

    pub(crate) fn has_left(&self) -> bool {
        self.upkeep.has_left()
    }

    /// Takes in a datagram. See [`kad_upkeep::receive`].
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], buffer: &mut [u8]) -> Response {
        let (calls, found) = (&mut *self.calls, &mut *self.found);
        kad_upkeep::receive(now, &mut self.node, &mut *self.store, (from, datagram), buffer, |values| {
            let part = part_of(found.len(), calls.len());
            let place = calls.iter_mut().zip(found.chunks_mut(part));
            let place = place.into_iter().find(|(call, _)| call.operation() == Some(values.operation));
            let Some((call, buffer)) = place else { return };
            for (header, bytes) in values.iter() {
                let all = call.wants_all();
                let place = call.take_in(Found::of(&header, values.origin.id), buffer, all);
                // The place is as long as the header says, and so is a value that was checked.
                if let Some(place) = place.filter(|place| place.len() == bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            }
        })
    }

    /// The next datagram that answers one which came.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        aside: &impl Aside,
        response: &mut Response,
        buffer: &mut [u8],
    ) -> Option<usize> {
        response.next(now, &mut self.node, &mut Shelves { store: &mut *self.store, aside }, buffer)
    }

    /// The next datagram that the node has to send.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        aside: &impl Aside,
        buffer: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        kad_upkeep::next_transmit(now, &mut self.node, &mut Shelves { store: &mut *self.store, aside }, buffer)
    }

    fn join_if_due(&mut self, now: Instant) {
        // Counting contacts means to look at all of them.
        if self.join.is_some() || self.upkeep.is_leaving() || self.joining.next().is_none_or(|at| now < at) {
            return;
        }
        let contacts = self.node.status().contacts;
        if !self.joining.is_due(now, contacts) {
            return;
        }
        match self.node.join(now, now + JOIN_LIMIT, &self.bootstrap) {
            Ok(operation) => self.join = Some(operation),
            // Every place is taken: an attempt in vain, and there will be another.
            Err(_) => drop(self.joining.ended(now, 0, contacts)),
        }
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.node.poll_event() {
            let operation = event.operation();
            if self.upkeep.ended(operation) {
                continue;
            }
            if self.join == Some(operation) {
                let answered = if let Event::Joined { answered, .. } = event { answered } else { 0 };
                self.join = None;
                self.joined(now, answered);
                continue;
            }
            let call = self.calls.iter_mut().find(|call| call.operation() == Some(operation));
            // An operation that nobody waits for any more: a store whose caller had enough copies.
            let Some(call) = call else { continue };
            let is_quorum = matches!(event, Event::Quorum { .. });
            if let Some(outcome) = outcome(call, &event) {
                call.end(outcome);
            }
            if is_quorum && !self.resident {
                self.node.cancel(now, operation);
            }
        }
    }

    fn joined(&mut self, now: Instant, answered: usize) {
        let contacts = self.node.status().contacts;
        let _pause = self.joining.ended(now, answered, contacts);
        match (answered, contacts) {
            (0, 0) => logs::warning!("no bootstrap node answers"),
            (0, _) => logs::debug!("no bootstrap node answers, but others are known"),
            _ => logs::info!("joined: {} nodes answered", answered),
        }
    }

    /// Starts what waits, as far as there are places, and answers what has waited for too long.
    fn serve_calls(&mut self, now: Instant) {
        for index in 0..self.calls.len() {
            let waiting = self.calls.get(index).and_then(|call| Some((*call.waiting()?, call.until())));
            let Some((request, until)) = waiting else { continue };
            let step = self.serve(now, until, &request);
            let Some(call) = self.calls.get_mut(index) else { return };
            match step {
                Ok(Step::Wait) if until <= now => call.end(Err(Error::Timeout)),
                Ok(Step::Wait) => {}
                Ok(Step::Started(operation)) => call.started(operation),
                Ok(Step::Done(outcome)) => call.end(Ok(outcome)),
                Err(error) => call.end(Err(error)),
            }
        }
    }

    fn serve(&mut self, now: Instant, until: Instant, request: &Request) -> Result<Step, Error> {
        match request {
            Request::Leave if self.upkeep.has_left() => return Ok(Step::Done(Outcome::Left)),
            Request::Leave => return Ok(Step::Wait),
            _ if self.upkeep.is_leaving() => return Err(Error::Closed),
            Request::Joined if self.joining.is_settled() => {
                return match self.node.status().contacts {
                    0 if !self.bootstrap.is_empty() => Err(Error::Unreachable),
                    contacts => Ok(Step::Done(Outcome::Joined(contacts))),
                };
            }
            Request::Joined => return Ok(Step::Wait),
            _ if request.needs_contacts() && !self.joining.is_settled() => return Ok(Step::Wait),
            _ => {}
        }
        match start(&mut self.node, now, until, request) {
            Ok(operation) => Ok(Step::Started(operation)),
            Err(StartError::NoSlot) => Ok(Step::Wait),
            Err(StartError::Lifetime | StartError::Items) => Err(Error::Lifetime),
        }
    }

    /// Lets the upkeep start what is due, unless the node does not know its network yet.
    fn keep_up(&mut self, now: Instant) {
        if self.joining.is_settled() || self.upkeep.is_leaving() {
            self.upkeep_at = self.upkeep.drive(now, &mut self.node, &mut *self.store);
        } else {
            self.store.expire(now);
        }
    }

    /// Takes a place for a call.
    pub(crate) fn begin(&mut self, request: Request, until: Instant) -> Result<usize, Error> {
        if self.upkeep.is_leaving() && !matches!(request, Request::Leave) {
            return Err(Error::Closed);
        }
        let index = self.calls.iter().position(CallSlot::is_free).ok_or(Error::Busy)?;
        if let Some(call) = self.calls.get_mut(index) {
            call.begin(request, until);
        }
        self.driver.wake();
        Ok(index)
    }

    /// Begins to leave: what others have asked ends, what is held is handed over until `until`, and then goodbye is said.
    pub(crate) fn leave(&mut self, now: Instant, until: Instant) {
        if self.upkeep.is_leaving() {
            return;
        }
        for call in self.calls.iter_mut() {
            if let Some(operation) = call.operation() {
                self.node.cancel(now, operation);
                call.end(Err(Error::Closed));
            }
        }
        if let Some(join) = self.join.take() {
            self.node.cancel(now, join);
        }
        self.upkeep.leave(until);
    }

    /// Looks for values in the own store, and takes them in as if they had been found elsewhere. Answers whether that is
    /// enough.
    pub(crate) fn find_here(&mut self, now: Instant, index: usize, key: Key, options: FindOptions) -> bool {
        let (own, part) = (self.node.id(), part_of(self.found.len(), self.calls.len()));
        let Some(buffer) = self.found.chunks_mut(part).nth(index) else { return false };
        let Some(call) = self.calls.get_mut(index) else { return false };
        call.look_here(now, &mut *self.store, own, (key, options), buffer)
    }

    /// The place of a call, and where its values are.
    pub(crate) fn call(&mut self, index: usize) -> Option<(&mut CallSlot, &mut [u8])> {
        let part = part_of(self.found.len(), self.calls.len());
        let buffer = self.found.chunks_mut(part).nth(index).unwrap_or_default();
        Some((self.calls.get_mut(index)?, buffer))
    }

    /// Frees the place of a call whose caller has its answer, or has gone away.
    pub(crate) fn end_call(&mut self, now: Instant, index: usize) {
        let Some(call) = self.calls.get_mut(index) else { return };
        // What a store has begun goes on.
        if let Some(operation) = call.operation().filter(|_| call.copies().is_none()) {
            self.node.cancel(now, operation);
        }
        call.free();
        self.driver.wake();
    }
}

/// How far a call has come.
enum Step {
    Wait,
    Started(OperationId),
    Done(Outcome),
}

/// Bytes of the found values that belong to one call.
fn part_of(found: usize, calls: usize) -> usize {
    found.checked_div(calls).unwrap_or(0).max(1)
}

/// Starts the operation of a request that has one.
pub(crate) fn start(
    node: &mut Node<'_>,
    now: Instant,
    until: Instant,
    request: &Request,
) -> Result<OperationId, StartError> {
    match request {
        Request::Store { key, header, copies } => {
            let quorum = if let Copies::AtLeast(copies) = copies { *copies } else { 0 };
            node.store(now, until, StoreMode::Publish, quorum, &[(*key, *header)])
        }
        Request::Find { key, options } => node.find_value(now, until, *key, *options),
        Request::Ping(address) => node.ping(now, until, *address),
        Request::Joined | Request::Leave => Err(StartError::NoSlot),
    }
}

/// What an event means to a call; `None` when it goes on.
pub(crate) fn outcome(call: &CallSlot, event: &Event<'_>) -> Option<Result<Outcome, Error>> {
    let nobody = |trace: &Trace<'_>| trace.closest().next().is_none();
    Some(match event {
        Event::Quorum { receipt, .. } => Ok(Outcome::Stored(Receipt::of(receipt))),
        Event::Stored { receipt, .. } if nobody(&receipt.trace()) => Err(Error::Unreachable),
        Event::Stored { receipt, .. } => Ok(Outcome::Stored(Receipt::of(receipt))),
        Event::FoundValues { trace, truncated, .. } => match () {
            () if call.found() > 0 && !call.wants_all() => Ok(Outcome::Found),
            () if trace.timed_out() => Err(Error::Timeout),
            () if *truncated || call.truncated() => Err(Error::Truncated),
            () if call.found() == 0 && nobody(trace) => Err(Error::Unreachable),
            () => Ok(Outcome::Found),
        },
        Event::Pinged { answer, .. } => match answer {
            Some((contact, rtt)) => Ok(Outcome::Ponged(Pong { contact: *contact, rtt: *rtt })),
            None => Err(Error::Unreachable),
        },
        Event::Joined { .. } | Event::FoundNodes { .. } | Event::Left { .. } => return None,
    })
}
