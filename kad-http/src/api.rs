//! What the server answers with and what `kad --json` prints: one set of types, so that both say the same.

#![allow(missing_docs, reason = "a field without a comment is what its name says; /openapi.json describes all")]

mod events;

use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::{Contact, Copies, ItemStatus, ItemType, Key, NodeId, Walk};
use serde::{Deserialize, Serialize};

pub use events::{Began, CopiesMade, Ended, Missed, Progress};

/// How to store values.
#[derive(Clone, Debug)]
pub struct StoreQuery {
    pub ttl: Duration,
    /// Whether the key is the hash of the value: then it cannot be supplanted.
    pub content: bool,
    /// Which copies to wait for; three on other nodes, as far as there are so many, if not given.
    pub copies: Option<Copies>,
    pub timeout: Option<Duration>,
}

/// Lifetime of a value if no other is asked for.
pub const TTL: Duration = Duration::from_secs(3600);

/// What the parameter `copies` begins with for [`Copies::UpTo`].
pub(crate) const UP_TO: &str = "up-to-";

impl Default for StoreQuery {
    fn default() -> Self {
        Self { ttl: TTL, content: false, copies: None, timeout: None }
    }
}

impl StoreQuery {
    /// The query of a request that asks for this.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let copies = self.copies.map(|copies| match copies {
            Copies::All => "all".into(),
            Copies::AtLeast(count) => count.to_string(),
            Copies::UpTo(count) => format!("{UP_TO}{count}"),
        });
        let ttl = Some(format!("{}ms", self.ttl.as_millis()));
        pairs([("ttl", ttl), ("copies", copies), ("timeout", self.timeout.map(text))])
    }
}

fn text(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

fn pairs<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Bytes of values that one [`Batch`] may have, or one value if that is larger.
pub const BATCH_BYTES: usize = 4 << 20;

/// Several values to store with one [`StoreQuery`].
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub values: Vec<BatchValue>,
}

/// One of them.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct BatchValue {
    /// Where it is to live; under its own hash if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The bytes, in base 64.
    pub value: String,
}

/// Which values to find.
#[derive(Clone, Default, Debug)]
pub struct FindQuery {
    pub all: bool,
    /// Only values of this type. Without one, content under this hash comes before anything else: only that cannot be supplanted.
    pub item_type: Option<ItemType>,
    pub newer_than: Option<Duration>,
    pub timeout: Option<Duration>,
}

impl FindQuery {
    /// The query of a request that asks for this.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let all = self.all.then(|| "values".into());
        let item_type = self.item_type.map(type_name);
        let (newer_than, timeout) = (self.newer_than.map(text), self.timeout.map(text));
        pairs([("all", all), ("type", item_type), ("newer_than", newer_than), ("timeout", timeout)])
    }
}

/// How far to take values back.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Delete all copies, not only stop republishing.
    pub everywhere: bool,
    pub timeout: Option<Duration>,
}

impl Removal {
    /// The query of a request that asks for this.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        pairs([("everywhere", Some(self.everywhere.to_string())), ("timeout", self.timeout.map(text))])
    }
}

/// How long to try.
#[derive(Clone, Default, Debug)]
pub struct Patience {
    pub timeout: Option<Duration>,
}

impl Patience {
    /// The query of a request that asks for this.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        pairs([("timeout", self.timeout.map(text))])
    }
}

/// What became of a store.
#[derive(Serialize, Deserialize, Debug)]
pub struct Stored {
    pub key: Key,
    pub digest: String,
    pub bytes: usize,
    pub ttl_ms: u64,
    /// Nodes that hold it, the daemon included.
    pub copies: usize,
    /// Of these, other nodes.
    pub elsewhere: usize,
    pub refused: Vec<Refused>,
    pub silent: Vec<Node>,
    /// Whether all of the k nearest nodes that are known hold it.
    pub complete: bool,
    /// Whether every node that was asked has answered or failed; otherwise the store goes on.
    pub ended: bool,
    /// True if as many nodes hold it as were asked for. Older daemons do not send it, and judged it no further.
    #[serde(default = "yes")]
    pub reached: bool,
    pub requests: usize,
    pub milliseconds: f64,
}

const fn yes() -> bool {
    true
}

/// A node that did not take a value.
#[derive(Serialize, Deserialize, Debug)]
pub struct Refused {
    #[serde(flatten)]
    pub node: Node,
    pub reason: ItemStatus,
}

/// A node.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub address: SocketAddr,
}

impl From<Contact> for Node {
    fn from(contact: Contact) -> Self {
        Self { id: contact.id, address: contact.endpoint.into() }
    }
}

/// What a find brought.
#[derive(Serialize, Deserialize, Debug)]
pub struct FoundAll {
    pub values: Vec<Found>,
    /// Why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A value that was found.
#[derive(Serialize, Deserialize, Debug)]
pub struct Found {
    pub key: Key,
    pub digest: String,
    pub bytes: usize,
    /// The bytes, in base 64.
    pub value: String,
    #[serde(rename = "type")]
    pub item_type: String,
    pub origin: NodeId,
    pub age_ms: u64,
    pub ttl_ms: u64,
}

/// The name of an item's type.
pub fn type_name(item_type: ItemType) -> String {
    match item_type {
        ItemType::RAW => "raw".into(),
        ItemType::CONTENT => "content".into(),
        ItemType::TOMBSTONE => "tombstone".into(),
        other => format!("type {}", other.0),
    }
}

/// An answer to a ping.
#[derive(Serialize, Deserialize, Debug)]
pub struct Pong {
    #[serde(flatten)]
    pub node: Node,
    pub milliseconds: f64,
}

/// How a lookup went.
#[derive(Serialize, Deserialize, Debug)]
pub struct Lookup {
    pub target: Key,
    pub closest: Vec<Node>,
    /// Everyone who was heard of, nearest first.
    pub trace: Vec<Step>,
    pub requests: usize,
    pub hops: usize,
    pub milliseconds: f64,
    pub timed_out: bool,
}

/// A node that a lookup heard of.
#[derive(Serialize, Deserialize, Debug)]
pub struct Step {
    #[serde(flatten)]
    pub node: Node,
    pub state: String,
    /// Hops from the asking node's own table.
    pub hops: u8,
    /// The how many-th that was asked; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
}

/// The name of a step's state.
pub fn state_name(state: Walk) -> &'static str {
    match state {
        Walk::Free | Walk::Unasked => "not asked",
        Walk::Asked => "waiting",
        Walk::Answered => "answered",
        Walk::Failed => "silent",
    }
}

/// A node of the routing table.
#[derive(Serialize, Deserialize, Debug)]
pub struct Peer {
    #[serde(flatten)]
    pub node: Node,
    /// XOR of its id and this node's, as hexadecimal digits.
    pub distance: Key,
    pub bucket: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    pub idle_seconds: f64,
    pub failures: u8,
}

/// Another node with the same id: other nodes reach one of the two at a time.
#[derive(Serialize, Deserialize, Debug)]
pub struct Duplicate {
    pub address: SocketAddr,
    /// Time since it last answered.
    pub idle_seconds: f64,
}

/// How a daemon is.
#[derive(Serialize, Deserialize, Debug)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub id: NodeId,
    pub address: SocketAddr,
    /// All addresses that it listens on; `address` is the first.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// Where others see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<SocketAddr>,
    /// Another node with the same id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Duplicate>,
    pub uptime_seconds: f64,
    pub joined: bool,
    /// Bootstrap addresses that it was given.
    pub bootstrap: usize,
    /// Addresses that it knew before its last restart and tries besides.
    pub remembered: usize,
    /// Largest value that it takes, in bytes.
    pub value_max: usize,
    pub contacts: usize,
    pub buckets: usize,
    pub operations: usize,
    pub transfers: usize,
    pub items: usize,
    pub bytes: u64,
    pub evicted: u64,
    pub memory: usize,
    /// Threads that serve it, each with a socket.
    pub workers: usize,
    /// Bytes that the system granted as the receive buffer of each socket.
    pub receive_buffer: usize,
    pub send_buffer: usize,
    /// Bytes that it was asked for.
    pub buffer_wanted: usize,
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Settings of the program, where it shows them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub settings: std::collections::BTreeMap<String, String>,
}

/// Some of the values that a node holds.
#[derive(Serialize, Deserialize, Debug)]
pub struct Holding {
    pub values: Vec<HeldValue>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A value that a node holds.
#[derive(Serialize, Deserialize, Debug)]
pub struct HeldValue {
    pub key: Key,
    pub digest: String,
    #[serde(rename = "type")]
    pub item_type: String,
    pub bytes: usize,
    pub age_ms: u64,
    pub ttl_ms: u64,
    /// Whether this node publishes it.
    pub own: bool,
}

/// A list of the values under a key, without their bytes.
#[derive(Serialize, Deserialize, Debug)]
pub struct Listing {
    pub key: Key,
    pub values: Vec<Listed>,
    /// Why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// One of several values under a key.
#[derive(Serialize, Deserialize, Debug)]
pub struct Listed {
    /// Where its bytes are.
    pub location: String,
    pub digest: String,
    #[serde(rename = "type")]
    pub item_type: String,
    pub bytes: usize,
    pub origin: NodeId,
    pub age_ms: u64,
    pub ttl_ms: u64,
}

/// Whether the process is up.
#[derive(Serialize, Deserialize, Debug)]
pub struct Health {
    pub status: String,
    pub version: String,
}

/// Whether the network is reached.
#[derive(Serialize, Deserialize, Debug)]
pub struct Readiness {
    pub ready: bool,
    pub contacts: usize,
    /// Time since some node last proved to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_seconds: Option<f64>,
    /// Why it is so.
    pub reason: String,
}

/// How many copies this node's own values have, as far as it was looked.
#[derive(Serialize, Deserialize, Debug)]
pub struct Durability {
    /// Whether every value that was looked for has as many copies as wanted.
    pub durable: bool,
    /// Copies on other nodes that a value needs to count as durable.
    pub wanted: usize,
    /// Values that this node publishes.
    pub values: usize,
    /// Of these, those that were looked for lately.
    pub audited: usize,
    /// How many of the audited values have so many copies on other nodes.
    pub copies: std::collections::BTreeMap<usize, usize>,
    /// Values with fewer copies than wanted, the first hundred.
    pub at_risk: Vec<AtRisk>,
    /// Age of the oldest audit that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_audit_seconds: Option<f64>,
    /// Values that could not be looked for this time, and why the first of them.
    pub failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A value with few copies.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct AtRisk {
    pub key: Key,
    pub digest: String,
    /// Copies on other nodes.
    pub copies: usize,
}

/// What was taken back.
#[derive(Serialize, Deserialize, Debug)]
pub struct Forgotten {
    pub key: Key,
    /// Values that this node no longer publishes: their copies lapse.
    pub values: usize,
    /// Values that were deleted: all who hold them obey.
    #[serde(default)]
    pub deleted: usize,
    /// Why nobody could be told to delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeleted: Option<String>,
}

/// The answer to a request for the end of the program.
#[derive(Serialize, Deserialize, Debug)]
pub struct Stopping {
    /// The process that ends.
    pub pid: u32,
}

/// Why the daemon did not do what it was asked for: a problem document (RFC 9457).
#[derive(Serialize, Deserialize, Debug)]
pub struct Problem {
    /// Identifies the kind of problem: where it is described.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words, always the same.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// What is wrong this time, and what to do.
    pub detail: String,
    /// The kind of problem as a code, for programs.
    pub code: String,
    /// Length of the value in bytes, where that is the problem and it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    /// The limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// What was achieved nevertheless, where a store brought fewer copies than were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<Stored>>,
}

/// Milliseconds with a fraction.
pub fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

/// Milliseconds without a fraction.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl From<&kad_tokio::Step> for Step {
    fn from(step: &kad_tokio::Step) -> Self {
        Self {
            node: step.contact.into(),
            state: state_name(step.state).into(),
            hops: step.depth,
            order: (step.order > 0).then_some(step.order),
            milliseconds: step.rtt.map(milliseconds),
        }
    }
}

impl From<&kad_tokio::Lookup> for Lookup {
    fn from(lookup: &kad_tokio::Lookup) -> Self {
        Self {
            target: lookup.target,
            closest: lookup.closest().map(Into::into).collect(),
            trace: lookup.steps.iter().map(Into::into).collect(),
            requests: lookup.requests,
            hops: lookup.hops,
            milliseconds: milliseconds(lookup.duration),
            timed_out: lookup.timed_out,
        }
    }
}

impl Peer {
    /// A contact as the node with this id sees it.
    pub fn new(own: &NodeId, peer: &kad_tokio::Peer) -> Self {
        Self {
            node: peer.contact.into(),
            distance: Key::from_bytes(peer.contact.id.distance(own.as_key()).to_bytes()),
            bucket: peer.bucket,
            milliseconds: peer.rtt.map(milliseconds),
            idle_seconds: peer.idle.as_secs_f64(),
            failures: peer.failures,
        }
    }
}
