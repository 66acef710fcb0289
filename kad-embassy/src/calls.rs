//! Calls of handles, on their way from one task to another: each has a place, which holds what was asked for and then what
//! came of it.

use core::net::SocketAddr;

use embassy_sync::waitqueue::WakerRegistration;
use heapless::Vec;
use kad_core::{FindOptions, OperationId};
use kad_store::Store;
use kad_wire::{Instant, ItemHeader, Key, NodeId, Query, Sink};

use crate::error::Error;
use crate::report::{Copies, Found, Pong, Receipt};

/// Values that one find takes in.
pub const VALUES_PER_FIND: usize = 4;

/// What a handle asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// The value is in the store.
    Store {
        key: Key,
        header: ItemHeader,
        copies: Copies,
    },
    Find {
        key: Key,
        options: FindOptions,
    },
    Ping(SocketAddr),
    /// Waits for the first join to end.
    Joined,
    /// Waits for the node to have left.
    Leave,
}

impl Request {
    /// Whether it makes sense only once others are known.
    pub(crate) const fn needs_contacts(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Find { .. })
    }
}

/// What came of a call. The values of a find are in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Stored(Receipt),
    Found,
    Ponged(Pong),
    Joined(usize),
    Left,
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
pub struct CallSlot {
    state: State,
    until: Instant,
    waker: WakerRegistration,
    found: Vec<Found, VALUES_PER_FIND>,
    /// Whether there was more than there was room for.
    truncated: bool,
}

impl CallSlot {
    /// An unused place.
    pub const EMPTY: Self = Self {
        state: State::Free,
        until: Instant::ZERO,
        waker: WakerRegistration::new(),
        found: Vec::new(),
        truncated: false,
    };

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
        self.waker.wake();
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

    pub(crate) fn wake_with(&mut self, waker: &core::task::Waker) {
        self.waker.register(waker);
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
struct Here<'a> {
    call: &'a mut CallSlot,
    own: NodeId,
    buffer: &'a mut [u8],
    all: bool,
}

impl Sink for Here<'_> {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        self.call.take_in(Found::of(header, self.own), self.buffer, self.all)
    }
}
