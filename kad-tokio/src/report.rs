//! What calls return.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kad_wire::{Contact, Digest, Instant, ItemStatus, ItemType, Key, NodeId};

pub use kad_upkeep::Copies;

/// A value that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// Its bytes, checked against its digest (and, for [content](ItemType::CONTENT), its key).
    pub bytes: Bytes,
    /// Which node supplied it.
    pub origin: NodeId,
    /// What kind of record it is.
    pub item_type: ItemType,
    /// Its identity among the values of its key.
    pub digest: Digest,
    /// Time since it was published.
    pub age: Duration,
    /// What is left of its life.
    pub ttl: Duration,
}

/// What a store achieved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Where the value is.
    pub key: Key,
    /// Its identity among the values of its key.
    pub digest: Digest,
    /// Nodes that hold it and said so, this one included if it serves what it publishes.
    pub copies: usize,
    /// Of these, other nodes.
    pub elsewhere: usize,
    /// Nodes that were asked and refused, with their reasons.
    pub refused: Vec<Refused>,
    /// Nodes that were asked and did not answer.
    pub silent: Vec<Contact>,
    /// Whether all of the k nearest nodes that are known hold the value: none of them refused it, failed or was silent, and
    /// there was a network to reach.
    pub complete: bool,
    /// Whether every node that was asked has answered or failed; otherwise the store goes on in the background.
    pub ended: bool,
    /// True if as many nodes hold it as were asked for: see [`Copies`].
    pub reached: bool,
    /// Requests sent so far, repeated ones included.
    pub requests: usize,
    /// How long it took.
    pub duration: Duration,
}

impl Receipt {
    /// Whether no other node holds the value: it is lost with this one.
    pub const fn is_local_only(&self) -> bool {
        self.elsewhere == 0
    }
}

/// A node that refused to hold a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Who.
    pub contact: Contact,
    /// Why.
    pub status: ItemStatus,
}

/// An answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pong {
    /// Who answered.
    pub contact: Contact,
    /// How long it took.
    pub rtt: Duration,
}

/// How a lookup went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// What was looked for.
    pub target: Key,
    /// The candidates, nearest to the target first.
    pub steps: Vec<Step>,
    /// Requests sent, repeated ones included.
    pub requests: usize,
    /// Most hops that any node which answered is away from this node's own table.
    pub hops: usize,
    /// How long it took.
    pub duration: Duration,
    /// Whether its deadline ended it.
    pub timed_out: bool,
}

impl Lookup {
    /// The nodes that answered, nearest to the target first.
    pub fn closest(&self) -> impl Iterator<Item = Contact> {
        self.steps.iter().filter(|step| step.state == kad_core::Walk::Answered).map(|step| step.contact)
    }
}

pub use kad_core::Step;

/// A node of the routing table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Who and where.
    pub contact: Contact,
    /// Its bucket: leading bits shared with this node, as far as the table tells them apart.
    pub bucket: usize,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Time since it last proved to be there.
    pub idle: Duration,
    /// Requests in a row that it did not answer.
    pub failures: u8,
}

impl Peer {
    pub(crate) fn new(known: &kad_core::KnownContact, now: Instant) -> Self {
        Self {
            contact: known.contact,
            bucket: known.row,
            rtt: known.rtt,
            idle: now.saturating_since(known.seen),
            failures: known.failures,
        }
    }
}

/// A value that this node holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Where it lives.
    pub key: Key,
    /// Its identity among the values of its key.
    pub digest: Digest,
    /// What kind of record it is.
    pub item_type: ItemType,
    /// Its length in bytes.
    pub len: usize,
    /// Time since it was published.
    pub age: Duration,
    /// What is left of its life.
    pub ttl: Duration,
    /// Whether this node publishes it.
    pub own: bool,
}

/// Some of the values that a node holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HeldPage {
    /// The values, in the order of keys and digests. There may be none although there is a next page.
    pub values: Vec<Held>,
    /// Where to go on, if there may be more.
    pub next: Option<(Key, Digest)>,
}

/// How a node is, and what it has counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Who it is.
    pub id: NodeId,
    /// Where it listens: the first address.
    pub address: SocketAddr,
    /// All addresses that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// Where others see it: the address that several of those who answered last agree on.
    pub observed: Option<SocketAddr>,
    /// Another node with the same id, if there is one.
    pub duplicate: Option<Duplicate>,
    /// Time since it was started.
    pub uptime: Duration,
    /// Whether it has reached the network, or was given no bootstrap addresses.
    pub joined: bool,
    /// Bootstrap addresses that it was given.
    pub bootstrap: usize,
    /// Addresses of nodes that were known before a restart, which it was given besides.
    pub remembered: usize,
    /// Contacts in its routing table.
    pub contacts: usize,
    /// Buckets in use.
    pub buckets: usize,
    /// Operations under way.
    pub operations: usize,
    /// Values being pulled.
    pub transfers: usize,
    /// Items that it holds.
    pub items: usize,
    /// Bytes of their values.
    pub bytes: u64,
    /// Items that made way for others.
    pub evicted: u64,
    /// Times that what the store writes to failed: see [`Usage::failed`](kad_store::Usage::failed).
    pub store_failed: u64,
    /// What the upkeep has done for the items.
    pub upkeep: kad_upkeep::UpkeepStats,
    /// Bytes of memory of the node itself, without its store.
    pub memory: usize,
    /// What the core counted, in all workers.
    pub core: kad_core::Stats,
    /// What the sockets counted.
    pub socket: SocketStats,
    /// Datagrams that came in, by worker.
    pub received: Vec<u64>,
    /// Calls that have a place: see [`Builder::calls_max`](crate::Builder::calls_max).
    pub calls: usize,
    /// Calls that had no place by their deadline, which ended with [`Error::Busy`](crate::Error::Busy).
    pub calls_refused: u64,
    /// Notes of workers to each other that were dropped because one did not keep up: a datagram that came to the wrong one,
    /// or a contact.
    pub notes_dropped: u64,
}

impl Stats {
    /// Adds what another worker of the same node says of itself. Who the node is and what it holds is the same for all.
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.transfers += other.transfers;
        self.memory += other.memory;
        self.core.add(&other.core);
        self.socket.add(&other.socket);
        self.received.extend_from_slice(&other.received);
        self.observed = self.observed.or(other.observed);
        let found = [self.duplicate, other.duplicate];
        self.duplicate = found.into_iter().flatten().min_by_key(|duplicate| duplicate.idle);
    }
}

/// Another node with the same id: its data directory was copied, say. Other nodes reach one of the two at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// Where it is.
    pub address: SocketAddr,
    /// Time since it last answered.
    pub idle: Duration,
}

/// What a socket counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SocketStats {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Datagrams that were not sent because the store could not make durable what they said, or did not do so in time: their
    /// requesters ask again.
    pub withheld: u64,
    /// Datagrams that the system refused to send.
    pub send_errors: u64,
    /// Datagrams that the system refused because they are larger than what its link or the path carries.
    pub too_large: u64,
    /// Times that the system did not take datagrams together, which were sent one by one then.
    pub offload_refused: u64,
    /// Times that the node waited because the system had no room for what it had to send.
    pub send_waits: u64,
    /// Errors that the system reported instead of a datagram.
    pub receive_errors: u64,
    /// Times that reading paused because the system went on reporting errors.
    pub receive_pauses: u64,
    /// Bytes that the system granted as receive buffer of each socket, counted as they were asked for; of several sockets the
    /// smallest.
    pub receive_buffer: usize,
    /// Bytes that it granted as send buffer.
    pub send_buffer: usize,
    /// Bytes that it was asked for, of each.
    pub buffer_wanted: usize,
}

impl SocketStats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.withheld += other.withheld;
        self.send_errors += other.send_errors;
        self.too_large += other.too_large;
        self.offload_refused += other.offload_refused;
        self.send_waits += other.send_waits;
        self.receive_errors += other.receive_errors;
        self.receive_pauses += other.receive_pauses;
        self.receive_buffer = self.receive_buffer.min(other.receive_buffer);
        self.send_buffer = self.send_buffer.min(other.send_buffer);
    }
}
