//! Calls of a node's owner: each has a place, which holds what was asked for and then what came of it.

use core::net::SocketAddr;

use heapless::Vec;
use kad_core::{Event, FindEnd, FindOptions, OperationId, Trace};
use kad_store::Store;
use kad_wire::{Instant, ItemHeader, Key, NodeId, Query, Sink};

use crate::error::Error;
use crate::report::{Copies, Found, Pong, Receipt};

/// Values that one find takes in.
pub const VALUES_PER_FIND: usize = 4;

/// What an owner asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Stores a value that is in the node's own store, or beside it.
    Store {
        /// The value's key.
        key: Key,
        /// Its header.
        header: ItemHeader,
        /// How many copies to wait for.
        copies: Copies,
    },
    /// Looks for the values of a key.
    Find {
        /// The key.
        key: Key,
        /// Which of its values.
        options: FindOptions,
    },
    /// Pings an address.
    Ping(SocketAddr),
    /// Waits for the first join to end.
    Joined,
    /// Waits for the node to have left.
    Leave,
}

impl Request {
    /// Returns whether it makes sense only once other nodes are known.
    pub(crate) const fn needs_contacts(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Find { .. })
    }
}

/// What came of a call. The values of a find are in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As many nodes as were asked for hold the value.
    Stored(Receipt),
    /// The find is over; without values there are none.
    Found,
    /// A node answered.
    Ponged(Pong),
    /// The node has joined, and knows so many contacts.
    Joined(usize),
    /// The node has left.
    Left,
}

/// Tells a caller that its call has ended. `()`: the caller looks by itself.
pub trait Notify {
    /// Without a caller.
    const NONE: Self;

    /// Tells it.
    fn notify(&mut self);
}

impl Notify for () {
    const NONE: Self = ();

    fn notify(&mut self) {}
}

// The first is all zero bits, so that unused places cost no flash.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
enum State {
    #[default]
    Free,
    /// It waits for the first join, or for a place in the node.
    Waiting(Request),
    Running(Request, OperationId),
    Done(Result<Outcome, Error>),
}

/// A place for a call. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
pub struct CallSlot<W = ()> {
    state: State,
    until: Instant,
    notify: W,
    found: Vec<Found, VALUES_PER_FIND>,
    /// Whether there was more than there was room for.
    truncated: bool,
}

impl<W: Notify> CallSlot<W> {
    /// An unused place.
    pub const EMPTY: Self =
        Self { state: State::Free, until: Instant::ZERO, notify: W::NONE, found: Vec::new(), truncated: false };

    pub(crate) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// What waits to be started.
    pub(crate) const fn waiting(&self) -> Option<&Request> {
        match &self.state {
            State::Waiting(request) => Some(request),
            _ => None,
        }
    }

    pub(crate) const fn operation(&self) -> Option<OperationId> {
        match &self.state {
            State::Running(_, operation) => Some(*operation),
            _ => None,
        }
    }

    pub(crate) fn begin(&mut self, request: Request, until: Instant) {
        self.state = State::Waiting(request);
        self.until = until;
        self.found.clear();
        self.truncated = false;
    }

    pub(crate) fn started(&mut self, operation: OperationId) {
        if let State::Waiting(request) = self.state {
            self.state = State::Running(request, operation);
        }
    }

    pub(crate) fn end(&mut self, outcome: Result<Outcome, Error>) {
        self.state = State::Done(outcome);
        self.notify.notify();
    }

    pub(crate) fn free(&mut self) {
        self.state = State::Free;
    }

    /// What came of it.
    pub(crate) const fn outcome(&self) -> Option<Result<Outcome, Error>> {
        match self.state {
            State::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(crate) const fn notify(&mut self) -> &mut W {
        &mut self.notify
    }

    pub(crate) const fn truncated(&self) -> bool {
        self.truncated
    }

    /// The values, with their bytes in `buffer`, which is this place's.
    pub(crate) fn values<'a>(&'a self, buffer: &'a [u8]) -> impl Iterator<Item = (&'a Found, &'a [u8])> {
        let mut rest = buffer;
        self.found.iter().filter_map(move |found| {
            let (bytes, after) = rest.split_at_checked(found.len)?;
            rest = after;
            Some((found, bytes))
        })
    }

    /// Takes in a value, unless it came before or the first was enough: answers with the place for its bytes.
    pub(crate) fn take_in<'b>(&mut self, found: Found, buffer: &'b mut [u8], all: bool) -> Option<&'b mut [u8]> {
        let known = self.found.iter().any(|other| other.digest == found.digest);
        if known || (!all && !self.found.is_empty()) {
            return None;
        }
        let used: usize = self.found.iter().map(|other| other.len).sum();
        let room = buffer.get_mut(used..).and_then(|rest| rest.get_mut(..found.len));
        if room.is_none() || self.found.push(found).is_err() {
            self.truncated = true;
            return None;
        }
        room
    }

    /// Takes in what the own store has. Answers whether that is enough.
    pub(crate) fn look_here<S: Store + ?Sized>(
        &mut self,
        now: Instant,
        store: &mut S,
        own: NodeId,
        (key, options): (Key, FindOptions),
        buffer: &mut [u8],
    ) -> bool {
        let query = Query { key, types: options.types, max_age: options.max_age, cursor: 0 };
        store.find(now, &query, &mut Here { call: self, own, buffer, all: options.all });
        !options.all && !self.found.is_empty()
    }

    /// Whether a running find wants all values.
    pub(crate) const fn wants_all(&self) -> bool {
        matches!(&self.state, State::Running(Request::Find { options, .. }, _) if options.all)
    }

    /// Whether a running store waits for so many copies only.
    pub(crate) const fn copies(&self) -> Option<Copies> {
        match &self.state {
            State::Running(Request::Store { copies, .. }, _) => Some(*copies),
            _ => None,
        }
    }

    pub(crate) fn found(&self) -> usize {
        self.found.len()
    }
}

/// Takes values of the own store to a call's place.
struct Here<'a, W> {
    call: &'a mut CallSlot<W>,
    own: NodeId,
    buffer: &'a mut [u8],
    all: bool,
}

impl<W: Notify> Sink for Here<'_, W> {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        self.call.take_in(Found::of(header, self.own), self.buffer, self.all)
    }
}

/// Returns what an event means to a call; `None` when it goes on. `serves`: the node itself holds what it stores.
pub(crate) fn outcome<W: Notify>(
    call: &CallSlot<W>,
    event: &Event<'_>,
    has_network: bool,
    serves: bool,
) -> Option<Result<Outcome, Error>> {
    Some(match event {
        Event::Quorum { receipt, .. } | Event::Stored { receipt, .. } => {
            let ended = matches!(event, Event::Stored { .. });
            let is_alone = receipt.trace().coverage().nearest == 0 && !has_network;
            let report =
                Receipt::of(receipt, serves, ended && !(has_network && receipt.trace().coverage().nearest == 0));
            match call.copies() {
                _ if nobody(&receipt.trace()) && !is_alone => Err(Error::Unreachable),
                Some(copies) if !copies.is_reached(report.elsewhere.into(), report.complete, ended, is_alone) => {
                    Err(Error::TooFewCopies(report))
                }
                _ => Ok(Outcome::Stored(report)),
            }
        }
        Event::FoundValues { end, .. } => match end {
            _ if call.found() > 0 && !call.wants_all() => Ok(Outcome::Found),
            FindEnd::TimedOut => Err(Error::Timeout),
            _ if call.truncated() => Err(Error::Truncated),
            FindEnd::Truncated => Err(Error::Truncated),
            FindEnd::Alone if !has_network => Ok(Outcome::Found),
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

fn nobody(trace: &Trace<'_>) -> bool {
    trace.closest().next().is_none()
}
