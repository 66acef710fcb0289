//! What a node tells those who watch it. Nobody watches a node for most of its life, so nothing is made up in advance.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kad_core::Step;
use kad_wire::{Contact, Digest, Key};
use tokio::sync::watch;

use crate::report::{Lookup, Peer};

/// Events that wait for a slow watcher before it misses some.
const CAPACITY: usize = 1024;
/// Events that a watcher takes at a time.
const TAKEN: usize = 64;

/// What an operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A [lookup](crate::Dht::lookup).
    Lookup,
    /// A [find](crate::Dht::find).
    Find,
    /// A [store](crate::Dht::store).
    Store,
    /// A [ping](crate::Dht::ping).
    Ping,
    /// Reaching the network.
    Join,
    /// A copy of a found value for the closest node that did not have it.
    Cache,
}

/// What happened at a node. The operations are those of its owner; what the upkeep does is in [`Stats`](crate::Stats) only.
/// Contacts are those of the first worker's table, which is what [`Dht::peers`](crate::Dht::peers) shows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// An operation has begun.
    Began {
        /// Which one: later ones have larger numbers.
        operation: u64,
        /// What it is for.
        purpose: Purpose,
        /// Where in the key space it goes.
        key: Key,
    },
    /// An operation has asked a node, heard from it, or given it up.
    Step {
        /// Which operation.
        operation: u64,
        /// Where it goes.
        key: Key,
        /// The node, and how far the operation is with it.
        step: Step,
        /// Time since the operation began.
        after: Duration,
    },
    /// An operation is over.
    Ended {
        /// Which operation.
        operation: u64,
        /// What it was for.
        purpose: Purpose,
        /// How it went.
        lookup: Lookup,
        /// What became of the values that it stored.
        stored: Vec<Copied>,
    },
    /// An operation was given up by whoever asked for it.
    Cancelled {
        /// Which operation.
        operation: u64,
        /// What it was for.
        purpose: Purpose,
        /// Where it went.
        key: Key,
    },
    /// An attempt to reach the network has ended.
    Joined {
        /// Nodes that answered: none means that it was not reached.
        answered: usize,
    },
    /// A node has entered the routing table.
    ContactAdded(Peer),
    /// A node has left the routing table.
    ContactLost(Contact),
}

impl NodeEvent {
    /// Whether it is about this key.
    pub fn is_about(&self, wanted: &Key) -> bool {
        match self {
            Self::Began { key, .. } | Self::Step { key, .. } | Self::Cancelled { key, .. } => key == wanted,
            Self::Ended { lookup, stored, .. } => {
                lookup.target == *wanted || stored.iter().any(|item| item.key == *wanted)
            }
            Self::Joined { .. } | Self::ContactAdded(_) | Self::ContactLost(_) => false,
        }
    }
}

/// What became of a value that an operation stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    /// Where it lives.
    pub key: Key,
    /// Its identity among the values of its key.
    pub digest: Digest,
    /// Other nodes that hold it.
    pub elsewhere: usize,
    /// Nodes that refused it.
    pub refused: usize,
    /// Nodes that did not answer.
    pub silent: usize,
}

/// A watcher was too slow: so many events are lost to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Missed(pub u64);

/// The events of a node from now on, made by [`Dht::watch`](crate::Dht::watch).
#[derive(Debug)]
pub struct Events {
    ring: Arc<Mutex<Ring>>,
    /// Changes when there are new ones.
    news: watch::Receiver<()>,
    /// Number of the next event to be taken.
    next: u64,
    /// Those that were taken and not returned yet.
    taken: VecDeque<Arc<NodeEvent>>,
}

impl Events {
    /// The next event; `None` when the node is gone. Whoever falls behind by 1,024 events hears how many were [`Missed`].
    pub async fn next(&mut self) -> Option<Result<Arc<NodeEvent>, Missed>> {
        loop {
            if let Some(event) = self.taken.pop_front() {
                return Some(Ok(event));
            }
            let closed = match self.take() {
                Err(missed) => return Some(Err(missed)),
                Ok(closed) => closed,
            };
            if self.taken.is_empty() && (closed || self.news.changed().await.is_err()) {
                return None;
            }
        }
    }

    /// Takes some of the events that there are, and returns true if there will be no more.
    fn take(&mut self) -> Result<bool, Missed> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.next - ring.events.len() as u64;
        if self.next < oldest {
            let missed = oldest - std::mem::replace(&mut self.next, oldest);
            return Err(Missed(missed));
        }
        let skipped = (self.next - oldest) as usize;
        self.taken.extend(ring.events.iter().skip(skipped).take(TAKEN).cloned());
        self.next += self.taken.len() as u64;
        Ok(ring.closed)
    }
}

/// The last events.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<NodeEvent>>,
    /// Number of the next event.
    next: u64,
    /// True once the node is gone.
    closed: bool,
}

/// The node's side.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Arc<Mutex<Ring>>,
    news: watch::Sender<()>,
    next_operation: AtomicU64,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { ring: Arc::default(), news: watch::Sender::new(()), next_operation: AtomicU64::new(1) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    /// Says what has happened in one turn: watchers are woken once for all of it.
    pub(crate) fn say(&self, news: &mut Vec<NodeEvent>) {
        if news.is_empty() {
            return;
        }
        let mut ring = self.ring();
        ring.next += news.len() as u64;
        ring.events.extend(news.drain(..).map(Arc::new));
        let surplus = ring.events.len().saturating_sub(CAPACITY);
        ring.events.drain(..surplus);
        drop(ring);
        self.news.send_replace(());
    }

    /// Nobody watches any more.
    pub(crate) fn forget(&self) {
        self.ring().events = VecDeque::new();
    }

    /// The node is gone.
    pub(crate) fn close(&self) {
        self.ring().closed = true;
        self.news.send_replace(());
    }

    pub(crate) fn number(&self) -> u64 {
        self.next_operation.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn watch(&self) -> Events {
        // Before the next number is read: then the node makes events from there on.
        let news = self.news.subscribe();
        Events { ring: self.ring.clone(), news, next: self.ring().next, taken: VecDeque::new() }
    }
}
