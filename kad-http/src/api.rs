//! The types of the server's responses and of `kad --json`: one set, so that both agree.

#![allow(missing_docs, reason = "a field without a comment is what its name says; /openapi.json describes all")]

mod events;

use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::{Contact, Copies, ItemStatus, ItemType, Key, NodeId, Walk};
use serde::{Deserialize, Serialize};

pub use events::{Began, CopiesMade, Ended, Missed, Progress};

/// The parameters of a store.
#[derive(Clone, Debug)]
pub struct StoreQuery {
    pub ttl: Duration,
    /// Whether the key is the hash of the value, so that readers can verify it.
    pub content: bool,
    /// The copies to wait for [default: three on other nodes, or fewer if there are not so many].
    pub copies: Option<Copies>,
    pub timeout: Option<Duration>,
}

/// The default lifetime of a value.
pub const TTL: Duration = Duration::from_secs(3600);

/// The prefix of the parameter `copies` for [`Copies::UpTo`].
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

/// The maximum bytes of values in a [`Batch`], or a single larger value.
pub const BATCH_BYTES: usize = 4 << 20;

/// Several values to store with one [`StoreQuery`].
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub values: Vec<BatchValue>,
}

/// A value of a [`Batch`].
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct BatchValue {
    /// The key; the hash of the value if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The bytes, in base 64.
    pub value: String,
}

/// The parameters of a find.
#[derive(Clone, Default, Debug)]
pub struct FindQuery {
    pub all: bool,
    /// Only values of this type. Without one, content with this hash takes precedence, because readers can verify it.
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

/// The parameters of a delete.
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

/// The time limit.
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

/// The receipt of a store.
#[derive(Serialize, Deserialize, Debug)]
pub struct Stored {
    pub key: Key,
    pub digest: String,
    pub bytes: usize,
    pub ttl_ms: u64,
    /// The number of holders, the daemon included.
    pub copies: usize,
    /// The number of holders without the daemon.
    pub elsewhere: usize,
    pub refused: Vec<Refused>,
    pub silent: Vec<Node>,
    /// Whether all of the k nearest known nodes hold it.
    pub complete: bool,
    /// Whether every node asked has answered or failed; otherwise the store continues.
    pub ended: bool,
    /// Whether the requested number of nodes hold it. Older daemons do not send it.
    #[serde(default = "yes")]
    pub reached: bool,
    pub requests: usize,
    pub milliseconds: f64,
}

const fn yes() -> bool {
    true
}

/// A node that refused a value.
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

/// The result of a find.
#[derive(Serialize, Deserialize, Debug)]
pub struct FoundAll {
    pub values: Vec<Found>,
    /// The reason why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A found value.
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

/// Returns the name of an item's type.
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

/// The result of a lookup.
#[derive(Serialize, Deserialize, Debug)]
pub struct Lookup {
    pub target: Key,
    pub closest: Vec<Node>,
    /// All nodes of the lookup, nearest first.
    pub trace: Vec<Step>,
    pub requests: usize,
    pub hops: usize,
    pub milliseconds: f64,
    pub timed_out: bool,
}

/// A node of a lookup.
#[derive(Serialize, Deserialize, Debug)]
pub struct Step {
    #[serde(flatten)]
    pub node: Node,
    pub state: String,
    /// Hops from the requesting node's own table.
    pub hops: u8,
    /// Its position in the order of requests; absent if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
}

/// Returns the name of a step's state.
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

/// The status of a daemon.
#[derive(Serialize, Deserialize, Debug)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub id: NodeId,
    pub address: SocketAddr,
    /// All listen addresses; `address` is the first.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// The address at which other nodes see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<SocketAddr>,
    /// Another node with the same id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Duplicate>,
    pub uptime_seconds: f64,
    pub joined: bool,
    /// The number of its bootstrap addresses.
    pub bootstrap: usize,
    /// The number of addresses saved before its last restart, which it also tries.
    pub remembered: usize,
    /// The maximum size of a value in bytes.
    pub value_max: usize,
    pub contacts: usize,
    pub buckets: usize,
    pub operations: usize,
    pub transfers: usize,
    pub items: usize,
    pub bytes: u64,
    pub evicted: u64,
    pub memory: usize,
    /// Its threads, each with a socket.
    pub workers: usize,
    /// The granted receive buffer of each socket in bytes.
    pub receive_buffer: usize,
    pub send_buffer: usize,
    /// The requested buffer in bytes.
    pub buffer_wanted: usize,
    pub counters: std::collections::BTreeMap<String, u64>,
    /// The settings of the program, if it shows them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub settings: std::collections::BTreeMap<String, String>,
}

/// A page of the values that a node holds.
#[derive(Serialize, Deserialize, Debug)]
pub struct Holding {
    pub values: Vec<HeldValue>,
    /// The `after` of the next page; absent on the last.
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
    /// The reason why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// One of several values under a key.
#[derive(Serialize, Deserialize, Debug)]
pub struct Listed {
    /// The location of its bytes.
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

/// Whether the node reaches its network.
#[derive(Serialize, Deserialize, Debug)]
pub struct Readiness {
    pub ready: bool,
    pub contacts: usize,
    /// The time since a node last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_seconds: Option<f64>,
    /// The reason.
    pub reason: String,
}

/// The number of copies of this node's own values, as far as audited.
#[derive(Serialize, Deserialize, Debug)]
pub struct Durability {
    /// Whether every audited value has enough copies.
    pub durable: bool,
    /// The number of copies on other nodes that makes a value durable.
    pub wanted: usize,
    /// Values that this node publishes.
    pub values: usize,
    /// Of these, the recently audited ones.
    pub audited: usize,
    /// The number of audited values by number of copies on other nodes.
    pub copies: std::collections::BTreeMap<usize, usize>,
    /// The first hundred values with too few copies.
    pub at_risk: Vec<AtRisk>,
    /// The age of the oldest counted audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_audit_seconds: Option<f64>,
    /// The number of values whose audit failed this time, and the reason for the first.
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

/// The result of a delete.
#[derive(Serialize, Deserialize, Debug)]
pub struct Forgotten {
    pub key: Key,
    /// The number of values that this node no longer republishes: their copies expire.
    pub values: usize,
    /// The number of values deleted with all copies.
    #[serde(default)]
    pub deleted: usize,
    /// The reason why no holder received the delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeleted: Option<String>,
}

/// The response to `POST /stop`.
#[derive(Serialize, Deserialize, Debug)]
pub struct Stopping {
    /// The process that ends.
    pub pid: u32,
}

/// A problem document (RFC 9457).
#[derive(Serialize, Deserialize, Debug)]
pub struct Problem {
    /// The kind of problem: the URL of its description.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words, always the same.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// The description of this occurrence, and what to do.
    pub detail: String,
    /// The kind of problem as a code, for programs.
    pub code: String,
    /// The length of the value in bytes, if that is the problem and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    /// The limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// The receipt of a store with too few copies.
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
    /// Returns a contact as seen by the node with this id.
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
