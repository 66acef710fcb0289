//! The node with everything it has, but for its socket: what comes in, what is due, what has ended. No clock, no waiting.

use core::net::SocketAddr;

use embassy_sync::waitqueue::WakerRegistration;
use kad_core::{Event, FindEnd, FindOptions, Node, OperationId, StartError, Trace};
use kad_store::Store;
use kad_upkeep::{Aside, Response, Shelves};
use kad_wire::{Instant, Key, StoreMode};

use crate::calls::{CallSlot, Outcome, Request};
use crate::duties::{Duties, Resident, Step};
use crate::error::Error;
use crate::report::{Copies, Found, Pong, Receipt};

/// See the [module](self).
pub(crate) struct Home<D> {
    pub(crate) node: Node<'static>,
    pub(crate) store: &'static mut dyn Store,
    pub(crate) duties: D,
    calls: &'static mut [CallSlot],
    /// Where found values are: an equal part for each call.
    found: &'static mut [u8],
    /// Wakes whoever drives this node.
    pub(crate) driver: WakerRegistration,
}

impl<D: Duties> Home<D> {
    pub(crate) const fn new(
        node: Node<'static>,
        store: &'static mut dyn Store,
        duties: D,
        calls: &'static mut [CallSlot],
        found: &'static mut [u8],
    ) -> Self {
        Self { node, store, duties, calls, found, driver: WakerRegistration::new() }
    }

    /// Everything that does not depend on a datagram: what is due, what has ended, what waits. What ends may free what
    /// something else waits for.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        self.take_events(now);
        self.duties.begin(now, &mut self.node);
        self.serve_calls(now);
        self.duties.go_on(now, &mut self.node, &mut *self.store);
    }

    /// When [`turn`](Self::turn) has something to do, if nothing happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let calls = self.calls.iter().filter(|call| call.waiting().is_some()).map(CallSlot::until);
        let rest = [self.node.poll_timeout(), self.duties.next()];
        rest.into_iter().flatten().chain(calls).min()
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
        let mut shelves = Shelves { store: &mut *self.store, aside };
        kad_upkeep::next_transmit(now, &mut self.node, &mut shelves, buffer).map(|sent| (sent.to, sent.len))
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.node.poll_event() {
            let operation = event.operation();
            if self.duties.ended(operation, &event) {
                continue;
            }
            let call = self.calls.iter_mut().find(|call| call.operation() == Some(operation));
            // An operation that nobody waits for any more: a store whose caller had enough copies.
            let Some(call) = call else { continue };
            let is_quorum = matches!(event, Event::Quorum { .. });
            if let Some(outcome) = outcome(call, &event) {
                call.end(outcome);
            }
            if is_quorum && !D::STAYS {
                self.node.cancel(now, operation);
            }
        }
    }

    /// Starts what waits, as far as there are places, and answers what has waited for too long.
    fn serve_calls(&mut self, now: Instant) {
        for index in 0..self.calls.len() {
            let waiting = self.calls.get(index).and_then(|call| Some((*call.waiting()?, call.until())));
            let Some((request, until)) = waiting else { continue };
            let started = self.serve(now, until, &request);
            let Some(call) = self.calls.get_mut(index) else { return };
            match started {
                Ok(Some(Started::Operation(operation))) => call.started(operation),
                Ok(Some(Started::Done(outcome))) => call.end(Ok(outcome)),
                Ok(None) if until <= now => call.end(Err(Error::Timeout)),
                Ok(None) => {}
                Err(error) => call.end(Err(error)),
            }
        }
    }

    /// Starts what is asked for; `None` when it has to wait.
    fn serve(&mut self, now: Instant, until: Instant, request: &Request) -> Result<Option<Started>, Error> {
        match self.duties.admit(&self.node, request)? {
            Step::Wait => return Ok(None),
            Step::Done(outcome) => return Ok(Some(Started::Done(outcome))),
            Step::Start => {}
        }
        match start(&mut self.node, now, until, request) {
            Ok(operation) => Ok(Some(Started::Operation(operation))),
            Err(StartError::NoSlot) => Ok(None),
            Err(StartError::Lifetime | StartError::Items) => Err(Error::Lifetime),
        }
    }

    /// Takes a place for a call.
    pub(crate) fn begin(&mut self, request: Request, until: Instant) -> Result<usize, Error> {
        if !self.duties.takes(&request) {
            return Err(Error::Closed);
        }
        let index = self.calls.iter().position(CallSlot::is_free).ok_or(Error::Busy)?;
        if let Some(call) = self.calls.get_mut(index) {
            call.begin(request, until);
        }
        self.driver.wake();
        Ok(index)
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

impl Home<Resident> {
    pub(crate) fn has_left(&self) -> bool {
        self.duties.upkeep().has_left()
    }

    /// Begins to leave: what others have asked ends, what is held is handed over until `until`, and then goodbye is said.
    pub(crate) fn leave(&mut self, now: Instant, until: Instant) {
        if self.duties.upkeep().is_leaving() {
            return;
        }
        for call in self.calls.iter_mut() {
            if let Some(operation) = call.operation() {
                self.node.cancel(now, operation);
                call.end(Err(Error::Closed));
            }
        }
        self.duties.leave(now, until, &mut self.node);
    }
}

/// What a call has become.
enum Started {
    Operation(OperationId),
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
        Event::FoundValues { end, .. } => match end {
            _ if call.found() > 0 && !call.wants_all() => Ok(Outcome::Found),
            FindEnd::TimedOut => Err(Error::Timeout),
            _ if call.truncated() => Err(Error::Truncated),
            FindEnd::Truncated => Err(Error::Truncated),
            FindEnd::Alone | FindEnd::Unreachable => Err(Error::Unreachable),
            FindEnd::Unfetched(_) | FindEnd::TooFewAnswered => Err(Error::Incomplete),
            FindEnd::Complete => Ok(Outcome::Found),
        },
        Event::Pinged { answer, .. } => match answer {
            Some((contact, rtt)) => Ok(Outcome::Ponged(Pong { contact: *contact, rtt: *rtt })),
            None => Err(Error::Unreachable),
        },
        Event::Joined { .. } | Event::FoundNodes { .. } | Event::Left { .. } => return None,
    })
}
