//! What the owner asks for: one call at a time, from when it begins until its outcome is fetched.

use kad_core::{Event, FindEnd, OperationId, Trace};
use kad_wire::{Instant, ItemHeader, ItemStatus, Key, Sink};

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A value is stored, here and elsewhere.
    Stored {
        /// Other nodes that hold it.
        copies: usize,
        /// Nodes that were chosen to hold it.
        of: usize,
    },
    /// A value was found: see [`Plain::found`](crate::Plain::found).
    Found,
    /// The nearest nodes have no such value.
    NotFound,
    /// It did not work.
    Failed(Error),
}

/// Why a call did not do what it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is another call.
    #[error("another call goes on, or its outcome was not fetched")]
    Busy,
    /// The node is leaving, or has left.
    #[error("the node is leaving")]
    Leaving,
    /// Nothing was decided in time. A value is stored here only.
    #[error("nothing was decided in time")]
    Timeout,
    /// Not one of the known nodes answered. A value is stored here only.
    #[error("no node of the network answers")]
    Unreachable,
    /// Nothing was stored.
    #[error("the value is larger than this node takes")]
    TooLarge,
    /// A value may exist: a node announced it and it could not be fetched, or too few of the nodes that may have it answered.
    #[error("too few nodes answered, or a value could not be fetched")]
    Incomplete,
    /// There is a value, but it is larger than the memory for it.
    #[error("the value is larger than the memory for it")]
    Truncated,
    /// Nothing was stored.
    #[error("this node's own store does not take the value: {0:?}")]
    Refused(ItemStatus),
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// The value is in the store.
    Put(Key, ItemHeader),
    Get(Key),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Free,
    /// It waits for the first join, or for a place in the node.
    Waiting(Request),
    Running(OperationId),
    Done(Outcome),
}

/// See the [module](self).
pub(crate) struct Call {
    state: State,
    until: Instant,
    buffer: &'static mut [u8],
    /// Length of the value in the buffer.
    len: Option<usize>,
    /// Whether a value came that there was no room for.
    truncated: bool,
}

impl Call {
    pub(crate) const fn new(buffer: &'static mut [u8]) -> Self {
        Self { state: State::Free, until: Instant::ZERO, buffer, len: None, truncated: false }
    }

    pub(crate) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    pub(crate) fn begin(&mut self, request: Request, until: Instant) {
        (self.state, self.until, self.len, self.truncated) = (State::Waiting(request), until, None, false);
    }

    /// What is to be started, and by when it is to be over.
    pub(crate) const fn waiting(&self) -> Option<(Request, Instant)> {
        match self.state {
            State::Waiting(request) => Some((request, self.until)),
            _ => None,
        }
    }

    pub(crate) const fn started(&mut self, operation: OperationId) {
        self.state = State::Running(operation);
    }

    pub(crate) const fn operation(&self) -> Option<OperationId> {
        match self.state {
            State::Running(operation) => Some(operation),
            _ => None,
        }
    }

    pub(crate) const fn end(&mut self, outcome: Outcome) {
        self.state = State::Done(outcome);
    }

    pub(crate) const fn forget(&mut self) {
        self.state = State::Free;
    }

    pub(crate) const fn take_outcome(&mut self) -> Option<Outcome> {
        let State::Done(outcome) = self.state else { return None };
        self.state = State::Free;
        Some(outcome)
    }

    pub(crate) fn found(&self) -> &[u8] {
        self.len.and_then(|len| self.buffer.get(..len)).unwrap_or_default()
    }

    pub(crate) const fn has_found(&self) -> bool {
        self.len.is_some()
    }

    /// What the end of its operation means; `None` when it goes on.
    pub(crate) fn outcome_of(&self, event: &Event<'_>) -> Option<Outcome> {
        Some(match event {
            Event::Stored { receipt, .. } if nobody(&receipt.trace()) => Outcome::Failed(Error::Unreachable),
            Event::Stored { receipt, .. } => {
                let of = receipt.items().map(|item| item.holders().count()).max().unwrap_or(0);
                Outcome::Stored { copies: receipt.copies(), of }
            }
            Event::FoundValues { end, .. } => match end {
                _ if self.has_found() => Outcome::Found,
                FindEnd::TimedOut => Outcome::Failed(Error::Timeout),
                _ if self.truncated => Outcome::Failed(Error::Truncated),
                FindEnd::Truncated => Outcome::Failed(Error::Truncated),
                FindEnd::Alone | FindEnd::Unreachable => Outcome::Failed(Error::Unreachable),
                FindEnd::Unfetched(_) | FindEnd::TooFewAnswered => Outcome::Failed(Error::Incomplete),
                FindEnd::Complete => Outcome::NotFound,
            },
            _ => return None,
        })
    }
}

fn nobody(trace: &Trace<'_>) -> bool {
    trace.closest().next().is_none()
}

/// The first value is enough.
impl Sink for Call {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        if self.has_found() {
            return None;
        }
        let room = self.buffer.get_mut(..header.total_len as usize);
        match room {
            Some(_) => self.len = Some(header.total_len as usize),
            None => self.truncated = true,
        }
        room
    }
}
