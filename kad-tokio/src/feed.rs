//! What a node tells those who watch it. Nobody watches a node for most of its life, so nothing is made up in advance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kad_core::Step;
use kad_wire::{Contact, Digest, Key};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::report::{Lookup, Peer};

/// Events that wait for a slow watcher before it misses some.
const CAPACITY: usize = 1024;

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
    receiver: broadcast::Receiver<Arc<NodeEvent>>,
}

impl Events {
    /// The next event; `None` when the node is gone. Whoever falls behind by 1,024 events hears how many were [`Missed`].
    pub async fn next(&mut self) -> Option<Result<Arc<NodeEvent>, Missed>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Missed(missed))),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The node's side.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Made when somebody watches for the first time.
    sender: OnceLock<broadcast::Sender<Arc<NodeEvent>>>,
    next_operation: AtomicU64,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { sender: OnceLock::new(), next_operation: AtomicU64::new(1) }
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.sender.get().is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn say(&self, event: NodeEvent) {
        // Whoever watched may just have gone.
        if let Some(sender) = self.sender.get() {
            let _ = sender.send(Arc::new(event));
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.next_operation.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn watch(&self) -> Events {
        Events { receiver: self.sender.get_or_init(|| broadcast::Sender::new(CAPACITY)).subscribe() }
    }
}
