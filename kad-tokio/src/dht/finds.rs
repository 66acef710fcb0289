//! Finds, as their callers configure them, and the values that come.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use kad_core::FindOptions;
use kad_wire::{Digest, Key, TypeMask};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tracing::Instrument as _;

use super::{Boxed, Deadline, Dht, Guard, SLACK, Shared};
use crate::command::{Command, Request};
use crate::error::Error;
use crate::places::Place;
use crate::report::Value;
use crate::tasks::{FindCall, Found};

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
    pub(super) fn new(dht: Dht, key: Key, options: FindOptions) -> Self {
        let timeout = dht.shared.timeout;
        Self { dht, key, options, timeout }
    }

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

    /// The values as a stream, which ends when the find does, and by its deadline. An error is its last item.
    pub fn values(self) -> FindAll {
        let (places, deadline) = (&self.dht.shared.places, self.dht.deadline(self.timeout));
        let shared = self.dht.shared.clone();
        let state = match places.try_take() {
            Some(place) => self.begin(deadline, place).unwrap_or(State::Closed),
            None => State::Waiting(Box::pin(async move {
                let place = self.dht.shared.places.take(false, deadline.caller).await?;
                self.begin(deadline, place)
            })),
        };
        FindAll { shared, state, deadline: deadline.caller, alarm: None, holders: Vec::new() }
    }

    fn begin(&self, deadline: Deadline, place: Place) -> Result<State, Error> {
        let (caller, found) = mpsc::unbounded_channel();
        let find = Box::new(FindCall::new(self.key, self.options, caller, place));
        let guard = self.dht.send(deadline, Command::Network(Request::Find(find)))?;
        Ok(State::UnderWay { found, guard })
    }

    async fn first(self) -> Result<Option<Value>, Error> {
        let mut values = self.values();
        let first = values.next().await;
        // With the first value, or without one, the find is over.
        if let State::UnderWay { guard, .. } = &mut values.state {
            guard.disarm();
        }
        first.transpose()
    }
}

impl IntoFuture for Find {
    type Output = Result<Option<Value>, Error>;
    type IntoFuture = Boxed<Option<Value>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = tracing::debug_span!("find", key = %self.key);
        Box::pin(self.first().instrument(span))
    }
}

/// The values of a find, as they come. Ends; dropping it cancels the find.
pub struct FindAll {
    shared: Arc<Shared>,
    state: State,
    deadline: Instant,
    /// Wakes the caller at the deadline.
    alarm: Option<Pin<Box<Sleep>>>,
    holders: Vec<(Digest, usize)>,
}

/// How far a find is.
enum State {
    /// It has no place yet.
    Waiting(Pin<Box<dyn Future<Output = Result<Self, Error>> + Send + Sync>>),
    UnderWay {
        found: mpsc::UnboundedReceiver<Found>,
        guard: Guard,
    },
    /// The node is gone.
    Closed,
    Ended,
}

impl std::fmt::Debug for FindAll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FindAll").field("holders", &self.holders).finish_non_exhaustive()
    }
}

impl FindAll {
    /// Once the stream has ended: how many of the k nearest nodes, not counting this one, had which value.
    pub fn holders(&self) -> &[(Digest, usize)] {
        &self.holders
    }

    /// The next value; `None` when there are no more.
    pub async fn next(&mut self) -> Option<Result<Value, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next word of the worker. [`Error::Timeout`]: there was none in time.
    fn poll_found(&mut self, context: &mut Context<'_>) -> Poll<Result<Found, Error>> {
        loop {
            match &mut self.state {
                State::Waiting(begin) => self.state = std::task::ready!(begin.as_mut().poll(context))?,
                State::UnderWay { found, .. } => {
                    if let Poll::Ready(found) = found.poll_recv(context) {
                        // Nobody said that it ended: the node is gone.
                        return Poll::Ready(found.ok_or(Error::Closed));
                    }
                    let at = (self.deadline + SLACK).into();
                    let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                    return alarm.as_mut().poll(context).map(|()| Err(Error::Timeout));
                }
                State::Closed | State::Ended => return Poll::Ready(Err(Error::Closed)),
            }
        }
    }
}

impl Stream for FindAll {
    type Item = Result<Value, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.state, State::Ended) {
            return Poll::Ready(None);
        }
        let last = match std::task::ready!(self.poll_found(context)) {
            Ok(Found::Value(value)) => return Poll::Ready(Some(Ok(value))),
            Ok(Found::End(how, holders)) => {
                if let State::UnderWay { guard, .. } = &mut self.state {
                    guard.disarm();
                }
                self.holders = holders;
                how.err()
            }
            Err(error) => Some(error),
        };
        self.state = State::Ended;
        if let Some(error) = &last {
            self.shared.places.note(error);
        }
        Poll::Ready(last.map(Err))
    }
}
