//! The node with everything it has, but for its socket: what comes in, what is due, what has ended. No clock, no waiting.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Vec;
use kad_core::{Event, FindOptions, Node, OperationId};
use kad_store::{FixedStore, Store};
use kad_upkeep::{Joining, Response, Shelves, Upkeep};
use kad_wire::{DeleteLock, Instant, ItemHeader, ItemType, Key, Query, Sink, StoreMode};

use crate::call::{Call, Error, Outcome, Request};
use crate::memory::REJOIN;

/// Bootstrap addresses that a node keeps.
pub const BOOTSTRAP: usize = 4;
/// How long one attempt to join may take.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How long handing over may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// How long a value lives.
const TTL_MS: u32 = 3_600_000;

/// See the [module](self).
pub(crate) struct Home {
    pub(crate) node: Node<'static>,
    pub(crate) store: FixedStore<'static>,
    upkeep: Upkeep,
    upkeep_at: Option<Instant>,
    joining: Joining,
    join: Option<OperationId>,
    bootstrap: Vec<SocketAddr, BOOTSTRAP>,
    pub(crate) call: Call,
}

impl Home {
    pub(crate) fn new(
        node: Node<'static>,
        store: FixedStore<'static>,
        bootstrap: &[SocketAddr],
        found: &'static mut [u8],
    ) -> Self {
        let id = node.id();
        let seed = id.as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        Self {
            node,
            store,
            upkeep: Upkeep::new(),
            upkeep_at: None,
            joining: Joining::new(!bootstrap.is_empty(), REJOIN, seed),
            join: None,
            bootstrap: bootstrap.iter().take(BOOTSTRAP).copied().collect(),
            call: Call::new(found),
        }
    }

    /// Everything that does not depend on a datagram: what is due, what has ended, what waits.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        self.join_if_due(now);
        self.take_events(now);
        self.start_call(now);
        self.keep_up(now);
    }

    /// When [`turn`](Self::turn) has something to do, if nothing happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let call = self.call.waiting().map(|(_, until)| until);
        [self.node.poll_timeout(), self.upkeep_at, self.joining.next(), call].into_iter().flatten().min()
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
        let mut addresses = self.bootstrap.clone();
        let addresses = self.joining.choose(&mut addresses, self.node.join_width());
        match self.node.join(now, now + JOIN_LIMIT, addresses) {
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
                let _pause = self.joining.ended(now, answered, self.node.status().contacts);
            } else if self.call.operation() == Some(operation)
                && let Some(outcome) = self.call.outcome_of(&event)
            {
                self.call.end(outcome);
            }
        }
    }

    fn start_call(&mut self, now: Instant) {
        let Some((request, until)) = self.call.waiting() else { return };
        if until <= now {
            return self.call.end(Outcome::Failed(Error::Timeout));
        }
        if !self.joining.is_settled() {
            return;
        }
        let started = match request {
            Request::Put(key, header) => self.node.store(now, until, StoreMode::Publish, 0, &[(key, header)]),
            Request::Get(key) => self.node.find_value(now, until, key, FindOptions::FIRST),
        };
        // The one reason why it may not start is that every place is taken: it waits on.
        if let Ok(operation) = started {
            self.call.started(operation);
        }
    }

    /// Lets the upkeep start what is due, unless the node does not know its network yet.
    fn keep_up(&mut self, now: Instant) {
        if self.joining.is_settled() || self.upkeep.is_leaving() {
            self.upkeep_at = self.upkeep.drive(now, &mut self.node, &mut self.store);
        } else {
            self.store.expire(now);
        }
    }

    /// Takes in a datagram. See [`kad_upkeep::receive`].
    pub(crate) fn receive(&mut self, now: Instant, datagram: (SocketAddr, &[u8]), buffer: &mut [u8]) -> Response {
        let call = &mut self.call;
        kad_upkeep::receive(now, &mut self.node, &mut self.store, datagram, buffer, |values| {
            if call.operation() != Some(values.operation) {
                return;
            }
            for (header, bytes) in values.iter() {
                // The place is as long as the header says, and so is a value that was checked.
                if let Some(place) = call.push(&header).filter(|place| place.len() == bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            }
        })
    }

    /// The next datagram that answers one which came.
    pub(crate) fn respond(&mut self, now: Instant, response: &mut Response, buffer: &mut [u8]) -> Option<usize> {
        response.next(now, &mut self.node, &mut Shelves { store: &mut self.store, aside: &() }, buffer)
    }

    /// The next datagram that the node has to send.
    pub(crate) fn transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let mut shelves = Shelves { store: &mut self.store, aside: &() };
        kad_upkeep::next_transmit(now, &mut self.node, &mut shelves, buffer).map(|sent| (sent.to, sent.len))
    }

    pub(crate) fn put(&mut self, now: Instant, key: Key, value: &[u8]) -> Result<(), Error> {
        self.may_begin()?;
        if value.len() > self.node.value_max() as usize {
            return Err(Error::TooLarge);
        }
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, TTL_MS, value);
        let answer = self.store.publish(now, &key, &header, value);
        if !answer.status.is_held() {
            return Err(Error::Refused(answer.status));
        }
        self.call.begin(Request::Put(key, header), now + CALL_LIMIT);
        Ok(())
    }

    pub(crate) fn get(&mut self, now: Instant, key: Key) -> Result<(), Error> {
        self.may_begin()?;
        self.call.begin(Request::Get(key), now + CALL_LIMIT);
        self.store.find(now, &Query::all(key), &mut self.call);
        if self.call.has_found() {
            self.call.end(Outcome::Found);
        }
        Ok(())
    }

    const fn may_begin(&self) -> Result<(), Error> {
        match (self.upkeep.is_leaving(), self.call.is_free()) {
            (true, _) => Err(Error::Leaving),
            (_, false) => Err(Error::Busy),
            _ => Ok(()),
        }
    }

    /// Begins to leave: what is held is handed over, and then goodbye is said.
    pub(crate) fn leave(&mut self, now: Instant) {
        for operation in [self.call.operation(), self.join.take()].into_iter().flatten() {
            self.node.cancel(now, operation);
        }
        self.call.forget();
        self.upkeep.leave(now + LEAVE_LIMIT);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.upkeep.has_left()
    }
}
