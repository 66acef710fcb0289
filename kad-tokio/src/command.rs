//! What handles ask of the worker.

use std::net::SocketAddr;
use std::time::Instant;

use kad_core::FindOptions;
use kad_wire::{Digest, ItemHeader, Key};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::report::{Copies, Lookup, Peer, Pong, Receipt, Stats, Value};
use bytes::Bytes;

/// Names a call, so that its caller can take it back.
pub(crate) type CallId = u64;

/// Where the answer of a call goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

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
    Store {
        items: Vec<Publication>,
        copies: Copies,
        answer: Answer<Vec<Receipt>>,
    },
    Find {
        key: Key,
        options: FindOptions,
        values: mpsc::UnboundedSender<Result<Value, Error>>,
    },
    Ping {
        address: SocketAddr,
        answer: Answer<Pong>,
    },
    Lookup {
        target: Key,
        answer: Answer<Lookup>,
    },
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
    Joined {
        answer: Answer<usize>,
    },
    /// The caller no longer waits.
    Cancel,
    /// Bootstrap addresses, looked up.
    Bootstrap {
        addresses: Vec<SocketAddr>,
    },
    /// Leave the network and stop.
    Close {
        answer: Answer<()>,
    },
}

/// A command with its call and its deadline.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) deadline: Instant,
    pub(crate) command: Command,
}
