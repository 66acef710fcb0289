//! What the daemon's control interface and `--json` print: one set of types, so that both say the same.

use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::{Contact, ItemStatus, ItemType, Key, NodeId, Walk};
use serde::{Deserialize, Serialize};

/// What to store, besides the bytes.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct StoreQuery {
    pub(crate) ttl_ms: u64,
    pub(crate) content: bool,
    pub(crate) quorum: Option<u8>,
    pub(crate) timeout_ms: u64,
}

/// Which values to find.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct FindQuery {
    pub(crate) all: bool,
    /// Content under this hash before anything else: only that cannot be supplanted.
    pub(crate) content_first: bool,
    pub(crate) newer_than_ms: Option<u64>,
    pub(crate) timeout_ms: u64,
}

/// How long to try.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Patience {
    pub(crate) timeout_ms: u64,
}

/// What became of a store.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    pub(crate) digest: String,
    pub(crate) bytes: usize,
    pub(crate) ttl_ms: u64,
    /// Nodes that hold it, the daemon included.
    pub(crate) copies: usize,
    /// Of these, other nodes.
    pub(crate) elsewhere: usize,
    pub(crate) refused: Vec<Refused>,
    pub(crate) silent: Vec<Node>,
    /// Whether every node that was asked has answered or failed.
    pub(crate) complete: bool,
    pub(crate) requests: usize,
    pub(crate) milliseconds: f64,
}

/// A node that did not take a value.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Refused {
    #[serde(flatten)]
    pub(crate) node: Node,
    pub(crate) reason: ItemStatus,
}

/// A node.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
}

impl From<Contact> for Node {
    fn from(contact: Contact) -> Self {
        Self { id: contact.id, address: contact.endpoint.into() }
    }
}

/// What a find brought.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct FoundAll {
    pub(crate) values: Vec<Found>,
    /// Why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incomplete: Option<String>,
}

/// A value that was found.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) digest: String,
    pub(crate) bytes: usize,
    /// The bytes, in base 64.
    pub(crate) value: String,
    #[serde(rename = "type")]
    pub(crate) item_type: String,
    pub(crate) origin: NodeId,
    pub(crate) age_ms: u64,
    pub(crate) ttl_ms: u64,
}

/// The name of an item's type.
pub(crate) fn type_name(item_type: ItemType) -> String {
    match item_type {
        ItemType::RAW => "raw".into(),
        ItemType::CONTENT => "content".into(),
        other => format!("type {}", other.0),
    }
}

/// An answer to a ping.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Pong {
    #[serde(flatten)]
    pub(crate) node: Node,
    pub(crate) milliseconds: f64,
}

/// How a lookup went.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Lookup {
    pub(crate) target: Key,
    pub(crate) closest: Vec<Node>,
    /// Everyone who was heard of, nearest first.
    pub(crate) trace: Vec<Step>,
    pub(crate) requests: usize,
    pub(crate) hops: usize,
    pub(crate) milliseconds: f64,
    pub(crate) timed_out: bool,
}

/// A node that a lookup heard of.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Step {
    #[serde(flatten)]
    pub(crate) node: Node,
    pub(crate) state: String,
    /// Hops from the asking node's own table.
    pub(crate) hops: u8,
    /// The how many-th that was asked; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<f64>,
}

/// The name of a step's state.
pub(crate) fn state_name(state: Walk) -> &'static str {
    match state {
        Walk::Free | Walk::Unasked => "not asked",
        Walk::Asked => "waiting",
        Walk::Answered => "answered",
        Walk::Failed => "silent",
    }
}

/// A node of the routing table.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Peer {
    #[serde(flatten)]
    pub(crate) node: Node,
    pub(crate) bucket: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<f64>,
    pub(crate) idle_seconds: f64,
    pub(crate) failures: u8,
}

/// How a daemon is.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed: Option<SocketAddr>,
    pub(crate) uptime_seconds: f64,
    pub(crate) joined: bool,
    /// Largest value that it takes, in bytes.
    pub(crate) value_max: usize,
    pub(crate) contacts: usize,
    pub(crate) buckets: usize,
    pub(crate) operations: usize,
    pub(crate) transfers: usize,
    pub(crate) items: usize,
    pub(crate) bytes: u64,
    pub(crate) evicted: u64,
    pub(crate) memory: usize,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
    pub(crate) counters: std::collections::BTreeMap<String, u64>,
}

/// How many values were forgotten.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Forgotten {
    pub(crate) key: Key,
    pub(crate) values: usize,
}

/// Why the daemon did not do what it was asked for.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Problem {
    pub(crate) error: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) len: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<usize>,
}

/// Milliseconds with a fraction.
pub(crate) fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
