//! A node with its store and everything that it does: what comes in, what is due, what has ended. No clock, no waiting.

use kad_core::{FindOptions, Node, OperationId, Sender, StartError, Transmit};
use kad_store::Store;
use kad_wire::{Instant, ItemHeader, Key, StoreMode};

use crate::call::{CallSlot, Notify, Outcome, Request, outcome};
use crate::error::Error;
use crate::memory::NodeMemory;
use crate::report::{Copies, Found, Receipt, StoreOptions, lifetime_ms};
use crate::role::{Next, Role};
use crate::serve::{Aside, Response, Shelves};

/// The loop around a node, without its socket: drives the core, the store, calls, and what a node does of its own accord.
///
/// An owner calls [`turn`](Self::turn) and [`transmit`](Self::transmit) until there is nothing more to send,
/// [`receive`](Self::receive) for each datagram that comes, and sleeps until [`next_wake`](Self::next_wake) or a datagram;
/// [`Exchange`](crate::Exchange) does this for a link that works like a socket. Calls have places: [`begin`](Self::begin) takes
/// one, [`outcome`](Self::outcome) says what came of it, and [`end_call`](Self::end_call) gives it back.
pub struct Driver<'m, M, S, R, W = ()> {
    memory: M,
    store: S,
    role: R,
    calls: &'m mut [CallSlot<W>],
    /// Where found values are: an equal part for each call.
    found: &'m mut [u8],
}

impl<'m, M: NodeMemory, S: Store, R: Role, W: Notify> Driver<'m, M, S, R, W> {
    /// Joins the parts. `found` takes the values that calls find: an equal part for each.
    pub const fn new(memory: M, store: S, role: R, calls: &'m mut [CallSlot<W>], found: &'m mut [u8]) -> Self {
        Self { memory, store, role, calls, found }
    }

    /// Lends the node to a function.
    pub fn with_node<T>(&mut self, look: impl FnOnce(&mut Node<'_>) -> T) -> T {
        self.memory.with(look)
    }

    /// The store.
    pub const fn store(&mut self) -> &mut S {
        &mut self.store
    }

    /// What the node does of its own accord.
    pub const fn role(&self) -> &R {
        &self.role
    }

    /// The same, to take what it tells.
    pub const fn role_mut(&mut self) -> &mut R {
        &mut self.role
    }

    /// Does everything that does not depend on a datagram: what is due, what has ended, what waits.
    pub fn turn(&mut self, now: Instant) {
        self.memory.with(|node| {
            if node.poll_timeout().is_some_and(|at| at <= now) {
                node.handle_timeout(now);
            }
        });
        self.take_events(now);
        self.memory.with(|node| self.role.before_calls(now, node));
        self.serve_calls(now);
        self.memory.with(|node| self.role.after_calls(now, node, &mut self.store));
    }

    /// Returns when [`turn`](Self::turn) has something to do, if nothing happens before.
    pub fn next_wake(&mut self) -> Option<Instant> {
        let core = self.memory.with(|node| node.poll_timeout());
        let calls = self.calls.iter().filter(|call| call.waiting().is_some()).map(CallSlot::until);
        [core, self.role.next_wake()].into_iter().flatten().chain(calls).min()
    }

    /// Takes in a datagram. See [`receive`](crate::receive).
    pub fn receive(&mut self, now: Instant, sender: impl Into<Sender>, datagram: &[u8], buffer: &mut [u8]) -> Response {
        let Self { memory, store, calls, found, .. } = self;
        memory.with(|node| {
            crate::receive(now, node, store, (sender, datagram), buffer, |values| {
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
        })
    }

    /// Writes the next datagram that answers one which came, and returns its length.
    pub fn respond(
        &mut self,
        now: Instant,
        aside: &impl Aside,
        response: &mut Response,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let mut shelves = Shelves { store: &mut self.store, aside };
        self.memory.with(|node| response.next(now, node, &mut shelves, buffer))
    }

    /// Writes the next datagram that the node has to send.
    pub fn transmit(&mut self, now: Instant, aside: &impl Aside, buffer: &mut [u8]) -> Option<Transmit> {
        let mut shelves = Shelves { store: &mut self.store, aside };
        self.memory.with(|node| crate::next_transmit(now, node, &mut shelves, buffer))
    }

    fn take_events(&mut self, now: Instant) {
        let Self { memory, role, calls, .. } = self;
        let has_network = role.has_network();
        // An event borrows the node, which has to be asked again to end an operation.
        while let Some(over) = memory.with(|node| {
            let event = node.poll_event()?;
            let operation = event.operation();
            if role.ended(operation, &event) {
                return Some(None);
            }
            let call = calls.iter_mut().find(|call| call.operation() == Some(operation));
            // An operation that nobody waits for any more: a store whose caller had enough copies.
            let Some(call) = call else { return Some(None) };
            let is_quorum = matches!(event, kad_core::Event::Quorum { .. });
            if let Some(outcome) = outcome(call, &event, has_network, R::SERVES) {
                call.end(outcome);
            }
            Some((is_quorum && !R::STAYS).then_some(operation))
        }) {
            if let Some(operation) = over {
                memory.with(|node| node.cancel(now, operation));
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
                Ok(Some(Started::Operation(operation))) => {
                    call.started(operation);
                    if call.copies().is_some_and(Copies::is_here_enough) {
                        call.end(Ok(Outcome::Stored(Receipt { copies: R::SERVES.into(), ..Receipt::default() })));
                    }
                }
                Ok(Some(Started::Done(outcome))) => call.end(Ok(outcome)),
                Ok(None) if until <= now => call.end(Err(Error::Timeout)),
                Ok(None) => {}
                Err(error) => call.end(Err(error)),
            }
        }
    }

    /// Starts what is asked for; `None` when it has to wait.
    fn serve(&mut self, now: Instant, until: Instant, request: &Request) -> Result<Option<Started>, Error> {
        match self.memory.with(|node| self.role.admit(node, request))? {
            Next::Wait => return Ok(None),
            Next::Done(outcome) => return Ok(Some(Started::Done(outcome))),
            Next::Start => {}
        }
        loop {
            match self.memory.with(|node| start(node, now, until, request)) {
                Ok(operation) => return Ok(Some(Started::Operation(operation))),
                Err(StartError::NoSlot) if self.memory.grow() => {}
                Err(StartError::NoSlot) => return Ok(None),
                Err(StartError::Lifetime | StartError::Items) => return Err(Error::Lifetime),
            }
        }
    }

    /// Publishes a value in the node's own store, which has to serve it, and returns its header for [`Request::Store`].
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Lifetime`] and [`Error::Refused`]: nothing was stored.
    pub fn publish(
        &mut self,
        now: Instant,
        key: &Key,
        value: &[u8],
        options: &StoreOptions,
    ) -> Result<ItemHeader, Error> {
        let header = ItemHeader::publish(key, options.item_type, options.lock, lifetime_ms(options.ttl)?, value);
        let max = self.memory.with(|node| node.value_max()) as usize;
        if value.len() > max {
            return Err(Error::TooLarge { len: value.len(), max });
        }
        let answer = self.store.publish(now, key, &header, value);
        if answer.status.is_held() { Ok(header) } else { Err(Error::Refused(answer.status)) }
    }

    /// Takes a place for a call, which ends by `until`, and returns its number.
    ///
    /// # Errors
    /// [`Error::Closed`] when the node is leaving, [`Error::Busy`] when every place is taken.
    pub fn begin(&mut self, request: Request, until: Instant) -> Result<usize, Error> {
        if !self.role.takes(&request) {
            return Err(Error::Closed);
        }
        let index = self.calls.iter().position(CallSlot::is_free).ok_or(Error::Busy)?;
        if let Some(call) = self.calls.get_mut(index) {
            call.begin(request, until);
        }
        Ok(index)
    }

    /// Looks for values in the node's own store, for a call that has begun. Returns whether that is enough.
    pub fn find_here(&mut self, now: Instant, index: usize, key: Key, options: FindOptions) -> bool {
        let (own, part) = (self.memory.with(|node| node.id()), part_of(self.found.len(), self.calls.len()));
        let Some(buffer) = self.found.chunks_mut(part).nth(index) else { return false };
        let Some(call) = self.calls.get_mut(index) else { return false };
        call.look_here(now, &mut self.store, own, (key, options), buffer)
    }

    /// Ends a call whose owner has the answer itself.
    pub fn finish(&mut self, index: usize, outcome: Result<Outcome, Error>) {
        if let Some(call) = self.calls.get_mut(index) {
            call.end(outcome);
        }
    }

    /// Returns whether a place is for the next call.
    pub fn is_free(&self, index: usize) -> bool {
        self.calls.get(index).is_some_and(CallSlot::is_free)
    }

    /// Returns what came of a call, if it has ended.
    pub fn outcome(&self, index: usize) -> Option<Result<Outcome, Error>> {
        self.calls.get(index)?.outcome()
    }

    /// Returns what notifies the caller of a call's end.
    pub fn notify(&mut self, index: usize) -> Option<&mut W> {
        self.calls.get_mut(index).map(CallSlot::notify)
    }

    /// Returns the values that a call has found, with their bytes.
    pub fn values(&self, index: usize) -> impl Iterator<Item = (&Found, &[u8])> {
        let part = part_of(self.found.len(), self.calls.len());
        let buffer = self.found.chunks(part).nth(index).unwrap_or_default();
        self.calls.get(index).into_iter().flat_map(move |call| call.values(buffer))
    }

    /// Frees the place of a call whose caller has its answer, or has gone away: what it started is cancelled, but a store goes
    /// on.
    pub fn end_call(&mut self, now: Instant, index: usize) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let operation = call.operation().filter(|_| call.copies().is_none());
        call.free();
        if let Some(operation) = operation {
            self.memory.with(|node| node.cancel(now, operation));
        }
    }

    /// Begins to leave: calls end with [`Error::Closed`], what the node holds is handed over until `until`, and then it says
    /// goodbye to its contacts.
    pub fn leave(&mut self, now: Instant, until: Instant) {
        if self.role.is_leaving() {
            return;
        }
        let Self { memory, role, calls, .. } = self;
        for call in calls.iter_mut() {
            if let Some(operation) = call.operation() {
                memory.with(|node| node.cancel(now, operation));
                call.end(Err(Error::Closed));
            }
        }
        memory.with(|node| role.leave(now, until, node));
    }
}

/// What became of a call that waited.
enum Started {
    Operation(OperationId),
    Done(Outcome),
}

/// Bytes of the found values that belong to one call.
fn part_of(found: usize, calls: usize) -> usize {
    found.checked_div(calls).unwrap_or(0).max(1)
}

/// Starts the operation of a request that has one.
fn start(node: &mut Node<'_>, now: Instant, until: Instant, request: &Request) -> Result<OperationId, StartError> {
    match request {
        Request::Store { key, header, copies } => {
            node.store(now, until, StoreMode::Publish, copies.quorum(), &[(*key, *header)])
        }
        Request::Find { key, options } => node.find_value(now, until, *key, *options),
        Request::Ping(address) => node.ping(now, until, *address),
        Request::Joined | Request::Leave => Err(StartError::NoSlot),
    }
}
