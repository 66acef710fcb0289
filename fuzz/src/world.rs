//! A few nodes, the path between them, and strangers whose datagrams a script makes up.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Capacity, Config, Role, Status};
use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits, MemoryStore, Store};
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{Contact, Datagram, Instant, NodeId, Token};

use crate::ledger::Asked;
use crate::member::{Make, Member, Owner, Packet};
use crate::values::VALUE_MAX;

/// Most nodes.
pub(crate) const NODES: usize = 4;
/// Addresses at which nobody is but whom a script plays.
pub(crate) const STRANGERS: usize = 6;
/// Most datagrams on the path; more than that are lost, the oldest first.
const PATH: usize = 48;
/// Datagrams that are remembered, to be sent again.
const PAST: usize = 16;
/// Bounds of every store.
const ITEMS: usize = 8;
const BYTES: u64 = 16 * 1024;

/// The memory of a [`FixedStore`].
pub(crate) struct Backing {
    records: [FixedRecord; ITEMS],
    blocks: [FixedBlock; 128],
}

impl Backing {
    pub(crate) const EMPTY: Self = Self { records: [FixedRecord::EMPTY; ITEMS], blocks: [FixedBlock::EMPTY; 128] };
}

/// What a world is made of. Every value of every field is a valid one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, arbitrary::Arbitrary)]
pub(crate) struct Shape {
    /// How many nodes, and whether they have met when the script begins.
    pub(crate) nodes: u8,
    /// Places for operations and transfers, rows of the arena.
    pub(crate) places: u8,
    /// k, alpha and attempts.
    pub(crate) search: u8,
    /// Receive window and largest datagram, and who is a client.
    pub(crate) socket: u8,
}

impl Shape {
    pub(crate) fn count(&self) -> usize {
        2 + usize::from(self.nodes & 3) % (NODES - 1)
    }

    fn have_met(&self) -> bool {
        self.nodes & 4 == 0
    }

    fn make(&self, node: usize, value_max: u32) -> Make {
        let k = 1 + self.search % 3;
        let client = self.socket & 0x70 == 0x70 && node == 0;
        let config = Config {
            k,
            alpha: 1 + (self.search >> 2) % 3,
            attempts: 1 + (self.search >> 4) % 3,
            role: if client { Role::Client } else { Role::Server },
            receive_max: if self.socket & 1 == 0 { 512 } else { DATAGRAM_MAX },
            receive_window: [3, 8, 64, 1][usize::from(self.socket >> 1 & 3)],
            store_width: 1 + (self.socket >> 3 & 1),
            value_max,
            refresh_interval: Duration::from_secs(600),
            ..Config::default()
        };
        let operations = 1 + usize::from(self.places & 3);
        let capacity = Capacity {
            rows: 3,
            spares: usize::from(self.search >> 6),
            operations,
            operations_max: operations * 2,
            candidates: 3 + usize::from(self.search >> 7) * 3,
            items: 1 + usize::from(self.places >> 2 & 3),
            transfers: 1 + usize::from(self.places >> 4 & 3),
            arena_rows: 1 + usize::from(self.places >> 6 & 1),
        };
        Make { config, capacity }
    }
}

pub(crate) struct World<'m> {
    shape: Shape,
    value_max: u32,
    pub(crate) now: Instant,
    pub(crate) members: Vec<Member<'m>>,
    pub(crate) path: VecDeque<Packet>,
    pub(crate) past: VecDeque<Packet>,
    /// What each node last gave each stranger to prove its address with.
    tokens: [[Token; NODES]; STRANGERS],
    restarts: u8,
}

impl<'m> World<'m> {
    /// Nodes with small stores, half of them of each kind: one is as good as the other.
    pub(crate) fn new(shape: Shape, backing: &'m mut [Backing; 2]) -> Self {
        let mut backing = backing.iter_mut();
        let make_store = |limits: Limits| -> Box<dyn Store + 'm> {
            let limits = Limits { items: ITEMS, bytes: BYTES, values_per_key: 6, ..limits };
            match backing.next() {
                Some(Backing { records, blocks }) => Box::new(FixedStore::new(limits, records, blocks)),
                None => Box::new(MemoryStore::new(limits)),
            }
        };
        Self::with(shape, VALUE_MAX as u32, make_store)
    }

    /// Nodes that take values up to this length, and have room for all of them.
    pub(crate) fn of_values(shape: Shape, value_max: u32) -> Self {
        Self::with(shape, value_max, |limits| Box::new(MemoryStore::new(limits)))
    }

    fn with(shape: Shape, value_max: u32, mut make_store: impl FnMut(Limits) -> Box<dyn Store + 'm>) -> Self {
        let member = |number| {
            let id = node_id(number, 0);
            let store = make_store(Limits::new(id));
            Member::new(id, node_address(number), number as u8 + 1, &shape.make(number, value_max), store)
        };
        let mut world = Self {
            shape,
            value_max,
            now: Instant::from_micros(1_000_000),
            members: (0..shape.count()).map(member).collect(),
            path: VecDeque::with_capacity(PATH),
            past: VecDeque::with_capacity(PAST),
            tokens: [[Token::NONE; NODES]; STRANGERS],
            restarts: 0,
        };
        if shape.have_met() {
            world.meet();
        }
        world
    }

    /// Every node joins through the one before it. Only the end is checked: it is the same in every input of this shape, and
    /// scripts whose nodes have not met go through the rest.
    fn meet(&mut self) {
        for number in 1..self.members.len() {
            let (now, bootstrap) = (self.now, [node_address(number - 1)]);
            let until = now.plus_millis(5_000);
            self.members[number].start(Asked::Join, |node| node.join(now, until, &bootstrap));
            self.turn(number);
            while let Some(number) = self.deliver_next() {
                self.turn(number);
            }
        }
        self.members.iter_mut().for_each(|member| member.node().check());
    }

    /// A node by any number.
    pub(crate) fn number(&self, any: u8) -> usize {
        usize::from(any) % self.members.len()
    }

    /// Everyone who can be named: the nodes, then the strangers.
    pub(crate) fn someone(&mut self, any: u8) -> Contact {
        let number = usize::from(any) % (NODES + STRANGERS);
        match self.members.get_mut(number) {
            Some(member) => member.contact(),
            None => stranger(number % STRANGERS),
        }
    }

    pub(crate) fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// Lets a node that was touched do what it has to do, and checks it.
    pub(crate) fn drive(&mut self, number: usize) {
        self.turn(number);
        self.members[number].node().check();
    }

    /// A node's turn without a check, which is most of an input's time. Answers whether it has changed.
    fn turn(&mut self, number: usize) -> bool {
        let mut out = Vec::new();
        let changed = self.members[number].drive(self.now, &mut out);
        self.send(out);
        changed
    }

    /// Puts datagrams on the path.
    pub(crate) fn send(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            self.note_token(&packet);
            if self.path.len() >= PATH {
                self.path.pop_front();
            }
            self.path.push_back(packet);
        }
    }

    /// A stranger keeps the token that a reply brings.
    fn note_token(&mut self, packet: &Packet) {
        let stranger = (0..STRANGERS).find(|&number| stranger_address(number) == packet.to);
        let node = self.members.iter().position(|member| member.address == packet.from);
        if let (Some(stranger), Some(node), Ok(Datagram::Reply { envelope, .. })) =
            (stranger, node, Datagram::decode(&packet.bytes))
        {
            self.tokens[stranger][node] = envelope.token;
        }
    }

    pub(crate) fn token(&self, stranger: usize, node: usize) -> Token {
        self.tokens[stranger][node]
    }

    /// Takes the n-th datagram off the path.
    pub(crate) fn take(&mut self, any: u8) -> Option<Packet> {
        let count = self.path.len();
        if count == 0 { None } else { self.path.remove(usize::from(any) % count) }
    }

    /// A datagram arrives, and is remembered. Answers with who got it.
    pub(crate) fn arrive(&mut self, packet: Packet, owner: Owner) -> Option<usize> {
        if std::env::var_os("KAD_FUZZ_TRACE").is_some() {
            println!(
                "{} us {} -> {}: {:?}",
                self.now.as_micros(),
                packet.from,
                packet.to,
                Datagram::decode(&packet.bytes)
            );
        }
        let number = self.members.iter().position(|member| member.address == packet.to);
        if let Some(number) = number {
            let mut out = Vec::new();
            self.members[number].receive(self.now, packet.from, &packet.bytes, owner, &mut out);
            self.send(out);
        }
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back(packet);
        number
    }

    /// Delivers in order what is on the path and what follows from it, a millisecond each, up to a number of datagrams.
    pub(crate) fn deliver_all(&mut self, most: usize) {
        for _ in 0..most {
            match self.deliver_next() {
                Some(number) => self.drive(number),
                None if self.path.is_empty() => return,
                None => {}
            }
        }
    }

    /// Delivers the next datagram. `None` when there was none, or nobody got it.
    fn deliver_next(&mut self) -> Option<usize> {
        let packet = self.path.pop_front()?;
        self.advance(Duration::from_millis(1));
        self.arrive(packet, Owner::Willing)
    }

    /// A node starts anew, as another one if `renamed`.
    pub(crate) fn restart(&mut self, number: usize, renamed: bool) {
        self.restarts = self.restarts.wrapping_add(1);
        let id = if renamed { node_id(number, self.restarts) } else { self.members[number].node().id() };
        let seed = self.restarts.wrapping_add(100);
        let make = self.shape.make(number, self.value_max);
        self.members[number].restart(id, seed, &make);
    }

    /// The next moment at which a node has something to do.
    fn next_timeout(&mut self) -> Option<Instant> {
        self.members.iter_mut().filter_map(|member| member.node().poll_timeout()).min()
    }

    /// How all nodes are, for the message of a finding.
    fn states(&mut self) -> Vec<String> {
        let state = |member: &mut Member<'_>| {
            let (status, open) = (member.node().status(), format!("{:?}", member.ledger));
            let (at, why) = (member.node().poll_timeout(), member.node().timeout_reason());
            let Status { operations, transfers, .. } = status;
            format!("{operations} operations, {transfers} transfers, wakes at {at:?} for {why:?}: {open}")
        };
        self.members.iter_mut().map(state).collect()
    }

    /// The path heals, strangers are silent, nothing new is asked for: everything must come to an end.
    pub(crate) fn rest(&mut self) {
        // The longest life of an operation, of a transfer, of a refresh; and then some.
        let give_up = self.now.plus_millis(300_000);
        for number in 0..self.members.len() {
            self.drive(number);
        }
        for _ in 0..2_000 {
            self.deliver_all(5_000);
            assert!(self.path.is_empty(), "the path comes to rest");
            if self.members.iter_mut().all(|member| member.is_at_rest()) {
                let now = self.now;
                self.members.iter_mut().for_each(|member| member.check_rest(now));
                return;
            }
            let next = self.next_timeout().expect("what is under way has a deadline");
            self.now = self.now.max(next);
            assert!(self.now < give_up, "everything ends in time: {:?}", self.states());
            for number in 0..self.members.len() {
                if self.turn(number) {
                    self.members[number].node().check();
                }
            }
        }
        panic!("nodes wake too often: {:?}", self.states());
    }
}

/// Ids that share few and many leading bits.
fn node_id(number: usize, restarts: u8) -> NodeId {
    let mut bytes = [0x33; 32];
    bytes[0] = [0x00, 0x80, 0x03, 0xc0][number % NODES];
    bytes[31] = restarts;
    NodeId::from_bytes(bytes)
}

pub(crate) fn node_address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, number as u8, 1), 9000))
}

pub(crate) fn stranger_address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 1, number as u8, 1), 9000))
}

/// A stranger. Their ids lie between those of the nodes.
pub(crate) fn stranger(number: usize) -> Contact {
    let mut bytes = [0x44; 32];
    bytes[0] = [0x01, 0x40, 0x90, 0xf8, 0x02, 0x81][number % STRANGERS];
    Contact { id: NodeId::from_bytes(bytes), endpoint: stranger_address(number).into() }
}
