//! A whole network in one thread, with a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Capacity, Config, FindOptions, OperationId};
use kad_store::{Limits, MemoryStore};
use kad_wire::{Contact, Instant, ItemHeader, ItemType, Key, Lock, NodeId, StoreMode};

use crate::dice::Dice;
use crate::member::{Member, Outcome, Outgoing};
use crate::network::Network;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything random follows from this.
    pub seed: u64,
    /// How paths behave.
    pub network: Network,
    /// The nodes' settings.
    pub config: Config,
    /// The nodes' memory.
    pub capacity: Capacity,
    /// Whether every invariant is checked after every step.
    pub check: bool,
}

impl Settings {
    /// The defaults of the product on a steady network, with all checks.
    pub fn new(seed: u64) -> Self {
        Self { seed, network: Network::STEADY, config: Config::default(), capacity: Capacity::SMALL, check: true }
    }
}

/// Something that happens at a time; ties are broken by the order in which things were planned.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: Instant,
    number: u64,
    what: What,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver { to: usize, from: SocketAddr, datagram: Box<[u8]> },
    Wake(usize),
}

/// A datagram that was put on the path.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// By whom.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its bytes.
    pub datagram: Box<[u8]>,
}

/// A simulated network.
pub struct World {
    settings: Settings,
    now: Instant,
    dice: Dice,
    members: Vec<Option<Member>>,
    by_address: HashMap<SocketAddr, usize>,
    plans: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    /// When each member is next woken, as far as it is planned.
    wakes: Vec<Option<Instant>>,
    datagrams: u64,
    bytes: u64,
    digest: u64,
    /// Every datagram that is sent, for whoever wants to see them.
    pub tap: Option<Vec<Sent>>,
}

impl World {
    /// A network without nodes.
    pub fn new(settings: Settings) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            dice: Dice::new(settings.seed),
            settings,
            members: Vec::new(),
            by_address: HashMap::new(),
            plans: BinaryHeap::new(),
            planned: 0,
            wakes: Vec::new(),
            datagrams: 0,
            bytes: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            tap: None,
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How paths behave from now on.
    pub fn network(&mut self) -> &mut Network {
        &mut self.settings.network
    }

    /// Datagrams sent so far, and their bytes.
    pub fn traffic(&self) -> (u64, u64) {
        (self.datagrams, self.bytes)
    }

    /// A fingerprint of every datagram that was sent: when, by whom, to whom, with which bytes.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Adds a node with a random id. Answers with its number.
    pub fn add(&mut self) -> usize {
        let config = self.settings.config.clone();
        self.add_with(&config)
    }

    /// Adds a node with other settings.
    pub fn add_with(&mut self, config: &Config) -> usize {
        let (id, seed) = (NodeId::from_bytes(self.dice.bytes()), self.dice.bytes());
        let number = self.members.len();
        let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + number as u32), 9000));
        let store = MemoryStore::new(Limits::new(id));
        let member = Member::new(id, address, seed, config, self.settings.capacity, store);
        self.by_address.insert(address, number);
        self.members.push(Some(member));
        self.wakes.push(None);
        number
    }

    /// A node, which must be alive.
    pub fn member(&mut self, number: usize) -> &mut Member {
        self.members[number].as_mut().expect("the node is alive")
    }

    /// Numbers of the nodes that are alive.
    pub fn living(&self) -> impl Iterator<Item = usize> {
        self.members.iter().enumerate().filter(|(_, member)| member.is_some()).map(|(number, _)| number)
    }

    /// Who a node is, and where.
    pub fn contact(&mut self, number: usize) -> Contact {
        let member = self.member(number);
        Contact { id: member.node().id(), endpoint: member.address.into() }
    }

    /// A node is gone, without a word.
    pub fn kill(&mut self, number: usize) {
        if let Some(member) = self.members[number].take() {
            self.by_address.remove(&member.address);
        }
        self.wakes[number] = None;
    }

    fn plan(&mut self, at: Instant, what: What) {
        self.planned += 1;
        self.plans.push(Reverse(Planned { at, number: self.planned, what }));
    }

    /// Puts a datagram on the path, as if `from` had sent it.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.send(from, (to, datagram.into()));
    }

    fn send(&mut self, from: SocketAddr, (to, datagram): Outgoing) {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        self.note(from, to, &datagram);
        if let Some(tap) = &mut self.tap {
            tap.push(Sent { at: self.now, from, to, datagram: datagram.clone() });
        }
        let Some(&to) = self.by_address.get(&to) else { return };
        for at in self.settings.network.arrivals(self.now, &mut self.dice) {
            self.plan(at, What::Deliver { to, from, datagram: datagram.clone() });
        }
    }

    /// Takes a datagram into the fingerprint (FNV-1a over everything that matters).
    fn note(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        take(&self.now.as_micros().to_le_bytes());
        for address in [from, to] {
            let endpoint = kad_wire::Endpoint::from(address);
            take(&endpoint.ip);
            take(&endpoint.port.to_le_bytes());
        }
        take(datagram);
    }

    /// Lets a node do what it has to do, and plans when it is woken next.
    fn drive(&mut self, number: usize, mut out: Vec<Outgoing>) {
        let now = self.now;
        let Some(member) = &mut self.members[number] else { return };
        let wake = member.drive(now, &mut out);
        if self.settings.check {
            member.node().check();
        }
        let address = member.address;
        for outgoing in out {
            self.send(address, outgoing);
        }
        if let Some(at) = wake
            && self.wakes[number].is_none_or(|planned| at < planned || planned <= now)
        {
            self.wakes[number] = Some(at);
            self.plan(at.max(now), What::Wake(number));
        }
    }

    /// Does the next thing, if it is not after `until`. Answers whether there was one.
    fn step(&mut self, until: Instant) -> bool {
        if self.plans.peek().is_none_or(|Reverse(next)| next.at > until) {
            return false;
        }
        let Some(Reverse(Planned { at, what, .. })) = self.plans.pop() else { return false };
        self.now = at;
        match what {
            What::Deliver { to, from, datagram } => {
                let mut out = Vec::new();
                if let Some(member) = &mut self.members[to] {
                    member.receive(at, from, &datagram, &mut out);
                    self.drive(to, out);
                }
            }
            What::Wake(number) => {
                if self.wakes[number].is_some_and(|planned| planned <= at) {
                    self.wakes[number] = None;
                    self.drive(number, Vec::new());
                }
            }
        }
        true
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Starts an operation on a node.
    pub fn start(
        &mut self,
        number: usize,
        mut command: impl FnMut(&mut kad_core::Node<'_>, Instant) -> Result<OperationId, kad_core::StartError>,
    ) -> OperationId {
        let now = self.now;
        let operation = self.member(number).start(|node| command(node, now));
        self.drive(number, Vec::new());
        operation
    }

    /// Lets time pass until an operation has ended.
    pub fn finish(&mut self, number: usize, operation: OperationId) -> Outcome {
        let give_up = self.now.plus_millis(600_000);
        loop {
            if let Some(outcome) = self.member(number).outcomes.remove(&operation) {
                return outcome;
            }
            assert!(self.step(give_up), "an operation never ended");
        }
    }

    /// A node joins through others. Answers with how many nodes answered.
    pub fn join(&mut self, number: usize, bootstrap: &[usize]) -> usize {
        let addresses: Vec<_> = bootstrap.iter().map(|&other| self.member(other).address).collect();
        let operation = self.start(number, |node, now| node.join(now, now.plus_millis(30_000), &addresses));
        self.finish(number, operation).copies
    }

    /// A node looks for the nodes nearest to a target.
    pub fn find_node(&mut self, number: usize, target: Key) -> Outcome {
        let operation = self.start(number, |node, now| node.find_node(now, now.plus_millis(30_000), target));
        self.finish(number, operation)
    }

    /// A node publishes a value.
    pub fn store(&mut self, number: usize, key: Key, value: &[u8], ttl: Duration) -> Outcome {
        let operation = self.start_store(number, key, value, ttl);
        self.finish(number, operation)
    }

    /// A node starts to publish a value.
    pub fn start_store(&mut self, number: usize, key: Key, value: &[u8], ttl: Duration) -> OperationId {
        let now = self.now;
        let ttl_ms = u32::try_from(ttl.as_millis()).expect("a lifetime of at most seven days");
        let header = ItemHeader::publish(&key, ItemType::RAW, Lock::NONE, ttl_ms, value);
        self.member(number).publish(now, &key, &header, value);
        let items = [(key, header)];
        self.start(number, |node, now| node.store(now, now.plus_millis(30_000), StoreMode::Publish, 0, &items))
    }

    /// A node looks for values over the network, not in its own store.
    pub fn find(&mut self, number: usize, key: Key, options: FindOptions) -> (Vec<(ItemHeader, Vec<u8>)>, Outcome) {
        let operation = self.start(number, |node, now| node.find_value(now, now.plus_millis(30_000), key, options));
        let outcome = self.finish(number, operation);
        (self.member(number).found.remove(&operation).unwrap_or_default(), outcome)
    }

    /// The living nodes nearest to a point: the truth.
    pub fn nearest(&mut self, target: Key, count: usize) -> Vec<usize> {
        let mut living: Vec<_> = self.living().collect();
        living.sort_by_key(|&number| self.contact(number).id.distance(&target));
        living.truncate(count);
        living
    }

    /// A network of `count` nodes that have joined one after the other, each through a random earlier one.
    pub fn grown(settings: Settings, count: usize) -> Self {
        let mut world = Self::new(settings);
        for number in 0..count {
            world.add();
            if number > 0 {
                let bootstrap = world.dice.below(number as u64) as usize;
                let joined = (0..10).any(|_| world.join(number, &[bootstrap]) > 0);
                assert!(joined, "node {number} cannot join");
            }
        }
        world.run_for(Duration::from_secs(60));
        world
    }
}
