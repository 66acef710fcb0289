//! What handles ask of the worker.

use std::net::SocketAddr;

use bytes::Bytes;
use kad_wire::{Digest, Instant, ItemHeader, Key};

use crate::error::Error;
use crate::report::{Copies, HeldPage, Lookup, Peer, Pong, Receipt, Stats};
use crate::tasks::{Answer, CallId, FindCall};

/// A value to be published.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) key: Key,
    pub(crate) header: ItemHeader,
    pub(crate) bytes: Bytes,
}

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// What the network is needed for.
    Network(Request),
    Forget {
        key: Key,
        digest: Option<Digest>,
        answer: Answer<usize>,
    },
    Peers {
        answer: Answer<Vec<Peer>>,
    },
    Stats {
        answer: Answer<Stats>,
    },
    Held {
        after: Option<(Key, Digest)>,
        limit: usize,
        own: bool,
        answer: Answer<HeldPage>,
    },
    /// Look at what is now, against which changes are told.
    Watch {
        answer: Answer<()>,
    },
    Joined {
        answer: Answer<usize>,
    },
    /// The caller no longer waits.
    Cancel,
    /// Bootstrap addresses, looked up.
    Bootstrap {
        addresses: Vec<SocketAddr>,
    },
    /// Other nodes to join through.
    SetBootstrap {
        addresses: Vec<String>,
    },
    /// The host has moved.
    Moved,
    /// Leave the network and stop.
    Close,
}

/// What operations of the core are started for.
#[derive(Debug)]
pub(crate) enum Request {
    Store { items: Vec<Publication>, copies: Copies, answer: Answer<Vec<Receipt>> },
    Find(Box<FindCall>),
    Ping { address: SocketAddr, answer: Answer<Pong> },
    Lookup { target: Key, answer: Answer<Lookup> },
}

impl Request {
    /// Whether it can only be answered by a node that knows its network.
    pub(crate) const fn needs_contacts(&self) -> bool {
        !matches!(self, Self::Ping { .. })
    }

    /// Answers with an error.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Store { answer, .. } => answer.send(Err(error)),
            Self::Find(find) => find.end(Err(error)),
            Self::Ping { answer, .. } => answer.send(Err(error)),
            Self::Lookup { answer, .. } => answer.send(Err(error)),
        }
    }
}

/// A command with its call and its deadline.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) deadline: Instant,
    pub(crate) command: Command,
}
