//! Finds, as their callers configure them, and the values that come.

use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use kad_core::FindOptions;
use kad_wire::{Digest, Key, TypeMask};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{Boxed, Dht, Guard, SLACK, TIMEOUT_MAX};
use crate::command::{Command, Request};
use crate::error::Error;
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

    /// The values as a stream, which ends when the find does. An error is its last item.
    pub fn values(self) -> FindAll {
        let (caller, found) = mpsc::unbounded_channel();
        let find = Box::new(FindCall::new(self.key, self.options, caller));
        match self.dht.send(self.timeout, Command::Network(Request::Find(find))) {
            Ok(guard) => FindAll { found, guard, ended: false, holders: Vec::new() },
            Err(_) => FindAll { found, guard: Guard::disarmed(&self.dht), ended: false, holders: Vec::new() },
        }
    }

    async fn first(self) -> Result<Option<Value>, Error> {
        let timeout = self.timeout.min(TIMEOUT_MAX) + SLACK;
        let mut values = self.values();
        match tokio::time::timeout(timeout, values.next()).await {
            Ok(first) => {
                // With the first value, or without one, the find is over.
                values.guard.disarm();
                first.transpose()
            }
            Err(_) => Err(Error::Timeout),
        }
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
#[derive(Debug)]
pub struct FindAll {
    found: mpsc::UnboundedReceiver<Found>,
    guard: Guard,
    ended: bool,
    holders: Vec<(Digest, usize)>,
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
}

impl Stream for FindAll {
    type Item = Result<Value, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let found = std::task::ready!(self.found.poll_recv(context));
        if let Some(Found::Value(value)) = found {
            return Poll::Ready(Some(Ok(value)));
        }
        self.ended = true;
        self.guard.disarm();
        Poll::Ready(match found {
            Some(Found::End(how, holders)) => {
                self.holders = holders;
                how.err().map(Err)
            }
            // Nobody said that it ended: the node is gone.
            _ => Some(Err(Error::Closed)),
        })
    }
}
