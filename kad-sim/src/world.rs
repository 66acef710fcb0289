//! A whole network in one thread, with a virtual clock.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Capacity, Config, FindOptions, OperationId, PathLimits, StartError};
use kad_store::{Limits, MemoryStore};
use kad_upkeep::Upkeep;
use kad_wire::{Contact, DeleteLock, Instant, ItemHeader, ItemType, Key, NodeId, StoreMode};
use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::enemy::{Enemy, Scheme};
use crate::member::{Buffer, Member, Outbox, Outcome, Outgoing};
use crate::network::{Link, Network, REGIONS};
use crate::queue::Queue;
use crate::trace::Trace;

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
    /// Bounds of the nodes' stores; the id is each node's own.
    pub limits: Limits,
    /// Every how many-th step all invariants of its node are checked; 0 for never.
    pub check_every: u64,
    /// Whether nodes care for the values that they hold.
    pub upkeep: bool,
}

impl Settings {
    /// The defaults of the product on a steady network, with all checks, without upkeep.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            network: Network::STEADY,
            config: Config::default(),
            capacity: Capacity::SMALL,
            limits: Limits::new(NodeId::from_bytes([0; 32])),
            check_every: 1,
            upkeep: false,
        }
    }
}

/// The IPv4 address of the first node; the others' follow.
const FIRST_ADDRESS: u32 = 0x0a00_0001;

enum What {
    Deliver { to: u32, from: SocketAddr, datagram: Vec<u8> },
    Wake(u32),
    Token(u64),
}

/// What the world did next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something among the nodes.
    Nodes,
    /// What was [planned](World::plan) under this token is due.
    Token(u64),
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

/// A place for a node, which outlives it. What every datagram needs comes first: in a large network most of the time goes into
/// waiting for memory.
#[repr(C, align(64))]
struct Place {
    member: Option<Box<Member>>,
    address: SocketAddr,
    clock: Clock,
    /// Datagrams that it has received.
    received: u64,
    link: Link,
    /// When the node is next woken, as far as it is planned.
    wake: Option<Instant>,
    /// Who answers instead of a member.
    enemy: Option<Box<Enemy>>,
    id: NodeId,
    config: Box<Config>,
}

/// A simulated network.
pub struct World {
    settings: Settings,
    now: Instant,
    /// What chance decides.
    pub dice: Dice,
    places: Vec<Place>,
    by_address: FxHashMap<SocketAddr, u32>,
    queue: Queue<What>,
    /// Where datagrams to and from addresses without a node pass.
    nowhere: Link,
    datagrams: u64,
    bytes: u64,
    steps: u64,
    /// Fingerprint of everything that is sent.
    pub trace: Trace,
    /// Every datagram that is sent, for whoever wants to see them.
    pub tap: Option<Vec<Sent>>,
    /// Which datagrams never arrive, if any.
    pub loses: Option<fn(&[u8]) -> bool>,
    outcomes: BTreeMap<(usize, OperationId), Outcome>,
    buffer: Box<Buffer>,
    outbox: Outbox,
    ended: Vec<(OperationId, Outcome)>,
}

impl World {
    /// A network without nodes.
    pub fn new(settings: Settings) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            dice: Dice::new(settings.seed),
            settings,
            places: Vec::new(),
            by_address: FxHashMap::default(),
            queue: Queue::new(),
            nowhere: Link::default(),
            datagrams: 0,
            bytes: 0,
            steps: 0,
            trace: Trace::default(),
            tap: None,
            loses: None,
            outcomes: BTreeMap::new(),
            buffer: Box::new([0; size_of::<Buffer>()]),
            outbox: Outbox::default(),
            ended: Vec::new(),
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

    /// How a node is connected from now on.
    pub fn link(&mut self, number: usize) -> &mut Link {
        &mut self.places[number].link
    }

    /// How many microseconds a datagram takes from one node to another, at least.
    pub fn way_us(&self, from: usize, to: usize) -> u64 {
        self.settings.network.delay.least_us(&self.places[from].link, &self.places[to].link)
    }

    /// Datagrams sent so far, and their bytes.
    pub fn traffic(&self) -> (u64, u64) {
        (self.datagrams, self.bytes)
    }

    /// Datagrams that a node has received since it was first added.
    pub fn received(&self, number: usize) -> u64 {
        self.places[number].received
    }

    /// A fingerprint of every datagram that was sent.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// Adds a node with a random id and an address of its own. Answers with its number.
    pub fn add(&mut self) -> usize {
        let config = self.settings.config.clone();
        self.add_with(&config)
    }

    /// Adds a node with other settings.
    pub fn add_with(&mut self, config: &Config) -> usize {
        let id = NodeId::from_bytes(self.dice.bytes());
        self.add_as(id, self.next_address(), config)
    }

    /// Adds a node with this id in a region.
    pub fn add_in(&mut self, id: NodeId, region: u8) -> usize {
        let config = self.settings.config.clone();
        let number = self.add_as(id, self.next_address(), &config);
        self.places[number].link.region = region;
        number
    }

    fn next_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(FIRST_ADDRESS + self.places.len() as u32), 9000))
    }

    /// Adds a node with this id at this address, which nobody else has.
    pub fn add_as(&mut self, id: NodeId, address: SocketAddr, config: &Config) -> usize {
        let number = self.places.len();
        let region = self.dice.below(REGIONS as u64) as u8;
        let (clock, link) = (Clock::default(), Link::in_region(region, id.distance(&Key::default()).leading()));
        self.places.push(Place {
            member: None,
            enemy: None,
            id,
            address,
            config: Box::new(config.clone()),
            clock,
            link,
            wake: None,
            received: 0,
        });
        self.by_address.insert(address, number as u32);
        self.revive(number, None);
        number
    }

    /// A node of this place becomes an enemy: what it was as a member is gone.
    pub fn turn(&mut self, number: usize, scheme: Scheme) {
        self.kill(number);
        self.places[number].enemy = Some(Box::new(Enemy::new(self.places[number].id, scheme)));
    }

    /// An enemy makes itself known to somebody.
    pub fn knock(&mut self, enemy: usize, whom: usize) {
        let place = &self.places[enemy];
        let knock = place.enemy.as_ref().and_then(|enemy| enemy.knock(place.config.network, &mut self.dice));
        if let Some(datagram) = knock {
            let (from, to) = (self.places[enemy].address, self.places[whom].address);
            self.send(from, Some(enemy), (to, datagram));
        }
    }

    /// Starts a node, with an empty memory.
    fn revive(&mut self, number: usize, store: Option<MemoryStore>) {
        let seed = self.dice.bytes();
        let place = &mut self.places[number];
        let limits = Limits { id: place.id, ..self.settings.limits.clone() };
        let store = store.unwrap_or_else(|| MemoryStore::new(limits));
        let mut member = Member::new(place.id, place.address, seed, &place.config, self.settings.capacity, store);
        member.clock = place.clock;
        member.upkeep = self.settings.upkeep.then(|| Box::new(Upkeep::new()));
        place.member = Some(Box::new(member));
    }

    /// How many nodes were ever added.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody was ever added.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A node, which must be alive.
    pub fn member(&mut self, number: usize) -> &mut Member {
        self.places[number].member.as_mut().expect("the node is alive")
    }

    /// Whether a node is alive.
    pub fn is_alive(&self, number: usize) -> bool {
        self.places[number].member.is_some()
    }

    /// Numbers of the nodes that are alive.
    pub fn living(&self) -> impl Iterator<Item = usize> {
        self.places.iter().enumerate().filter(|(_, place)| place.member.is_some()).map(|(number, _)| number)
    }

    /// Which node is at an address.
    pub fn at_address(&self, address: &SocketAddr) -> Option<usize> {
        // Most nodes have the address of their number.
        let number = match address {
            SocketAddr::V4(v4) => v4.ip().to_bits().wrapping_sub(FIRST_ADDRESS) as usize,
            SocketAddr::V6(_) => usize::MAX,
        };
        match self.places.get(number) {
            Some(place) if place.address == *address => Some(number),
            _ => self.by_address.get(address).map(|number| *number as usize),
        }
    }

    /// Who a node is, alive or not.
    pub fn id(&self, number: usize) -> NodeId {
        self.places[number].id
    }

    /// Who a node is, and where.
    pub fn contact(&self, number: usize) -> Contact {
        let place = &self.places[number];
        Contact { id: place.id, endpoint: place.address.into() }
    }

    /// Gives a node another clock: it must remember nothing, or be gone.
    pub fn set_clock(&mut self, number: usize, clock: Clock) {
        let place = &mut self.places[number];
        place.clock = clock;
        if let Some(member) = &mut place.member {
            member.clock = clock;
        }
    }

    /// What a node's clock shows.
    pub fn shown(&self, number: usize) -> Instant {
        self.places[number].clock.shows(self.now)
    }

    /// A node is gone, without a word. Answers with what it held.
    pub fn kill(&mut self, number: usize) -> Option<MemoryStore> {
        let place = &mut self.places[number];
        place.wake = None;
        let member = place.member.take()?;
        let of_node = (number, OperationId::from_bits(0))..=(number, OperationId::from_bits(u32::MAX));
        self.outcomes.extract_if(of_node, |_, _| true).for_each(drop);
        Some(member.store)
    }

    /// A node that was gone comes back, as who it was and where it was: with what it held, if that survived, and without
    /// any contact.
    pub fn restart(&mut self, number: usize, store: Option<MemoryStore>) {
        self.kill(number);
        self.revive(number, store);
    }

    /// A node begins to hand over and to leave. It is gone when that is done, or at the latest after this time.
    pub fn leave(&mut self, number: usize, within: Duration) {
        let until = self.shown(number) + within;
        if let Some(upkeep) = &mut self.member(number).upkeep {
            upkeep.leave(until);
            self.drive(number);
        } else {
            self.kill(number);
        }
    }

    /// Plans that the owner of this world is told of a token after some time.
    pub fn plan(&mut self, after: Duration, token: u64) {
        self.queue.plan(self.now + after, What::Token(token));
    }

    /// Puts a datagram on the path, as if `from` had sent it.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.send(from, self.at_address(&from), (to, datagram.into()));
    }

    fn send(&mut self, from: SocketAddr, sender: Option<usize>, (to, datagram): Outgoing) {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        self.trace.note(self.now, from, to, &datagram);
        if let Some(tap) = &mut self.tap {
            tap.push(Sent { at: self.now, from, to, datagram: datagram[..].into() });
        }
        if let Some(sender) = sender {
            self.places[sender].link.wrote(self.now, to);
        }
        if self.loses.is_some_and(|loses| loses(&datagram)) {
            return;
        }
        let Some(to) = self.at_address(&to) else { return };
        let arrivals = {
            let (network, dice, len) = (&self.settings.network, &mut self.dice, datagram.len());
            let (sender, receiver) = match sender {
                Some(sender) => match self.places.get_disjoint_mut([sender, to]) {
                    Ok([sender, receiver]) => (&mut sender.link, &mut receiver.link),
                    // To itself: that reaches nobody.
                    Err(_) => return,
                },
                None => (&mut self.nowhere, &mut self.places[to].link),
            };
            network.arrivals(self.now, dice, sender, receiver, len)
        };
        let mut arrivals = arrivals.peekable();
        let mut datagram = Some(datagram);
        while let Some(at) = arrivals.next() {
            let copy = if arrivals.peek().is_some() { datagram.clone() } else { datagram.take() };
            self.queue.plan(at, What::Deliver { to: to as u32, from, datagram: copy.unwrap_or_default() });
        }
    }

    fn send_all(&mut self, number: usize) {
        let from = self.places[number].address;
        // Sending fills no outbox: the vector comes back empty, and its memory is used again.
        let mut sent = std::mem::take(&mut self.outbox.sent);
        let mut refused = Vec::new();
        for (to, datagram) in sent.drain(..) {
            let largest = self.places[number].link.refuses(datagram.len());
            refused.extend(largest.map(|largest| (to, largest)));
            self.send(from, Some(number), (to, datagram));
        }
        self.outbox.sent = sent;
        if !refused.is_empty() {
            self.refuse(number, &refused);
        }
    }

    /// Tells a node which of its datagrams were too large for its link.
    fn refuse(&mut self, number: usize, refused: &[(SocketAddr, usize)]) {
        let shown = self.shown(number);
        let Some(member) = &mut self.places[number].member else { return };
        for (to, largest) in refused {
            let out = u16::try_from(*largest).ok();
            member.node().path_takes(shown, *to, PathLimits { out, into: None });
        }
        self.drive(number);
    }

    /// Lets a node do what it has to do, and plans when it is woken next.
    pub fn drive(&mut self, number: usize) {
        let shown = self.shown(number);
        self.steps += 1;
        let check = self.settings.check_every > 0 && self.steps.is_multiple_of(self.settings.check_every);
        let Some(member) = &mut self.places[number].member else { return };
        let wake = member.drive(shown, &mut self.buffer, &mut self.outbox, &mut self.ended);
        if check {
            member.node().check();
        }
        let left = member.upkeep.as_ref().is_some_and(|upkeep| upkeep.has_left());
        self.send_all(number);
        for (operation, outcome) in self.ended.drain(..) {
            self.outcomes.insert((number, operation), outcome);
        }
        if left {
            self.kill(number);
        } else {
            self.plan_wake(number, wake);
        }
    }

    fn plan_wake(&mut self, number: usize, shown: Option<Instant>) {
        let now = self.now;
        let place = &mut self.places[number];
        let Some(shown) = shown else { return };
        let at = place.clock.is_reached(shown).max(now);
        if place.wake.is_none_or(|planned| at < planned || planned <= now) {
            place.wake = Some(at);
            self.queue.plan(at, What::Wake(number as u32));
        }
    }

    /// Does the next thing, if it is not after `until`.
    pub fn step(&mut self, until: Instant) -> Option<Step> {
        let (at, what) = self.queue.next(until)?;
        self.now = at;
        match what {
            What::Deliver { to, from, datagram } => {
                self.deliver(to as usize, from, &datagram);
                self.outbox.spare.push(datagram);
            }
            What::Wake(number) => {
                let place = &mut self.places[number as usize];
                if place.wake.is_some_and(|planned| planned <= at) {
                    place.wake = None;
                    self.drive(number as usize);
                }
            }
            What::Token(token) => return Some(Step::Token(token)),
        }
        Some(Step::Nodes)
    }

    fn deliver(&mut self, to: usize, from: SocketAddr, datagram: &[u8]) {
        let shown = self.shown(to);
        let place = &mut self.places[to];
        if let Some(enemy) = &place.enemy {
            enemy.receive(from, datagram, &mut self.dice, &mut self.outbox.sent);
            self.send_all(to);
            return;
        }
        let Some(member) = &mut place.member else { return };
        if place.link.lets_in(self.now, from) {
            place.received += 1;
            member.receive(shown, (from, datagram), &mut self.buffer, &mut self.outbox);
            self.drive(to);
        }
    }

    /// Lets time pass. Tokens that become due are lost.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until).is_some() {}
        self.now = until;
    }

    /// Time passes until `until`, in which nothing is planned any more.
    pub fn arrive_at(&mut self, until: Instant) {
        self.now = self.now.max(until);
    }

    /// Starts an operation on a node, at the time that its clock shows.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn try_start(
        &mut self,
        number: usize,
        mut command: impl FnMut(&mut kad_core::Node<'_>, Instant) -> Result<OperationId, StartError>,
    ) -> Result<OperationId, StartError> {
        let shown = self.shown(number);
        let operation = self.member(number).start(|node| command(node, shown))?;
        self.drive(number);
        Ok(operation)
    }

    /// Starts an operation on a node that has a place for it.
    pub fn start(
        &mut self,
        number: usize,
        command: impl FnMut(&mut kad_core::Node<'_>, Instant) -> Result<OperationId, StartError>,
    ) -> OperationId {
        self.try_start(number, command).expect("the story asks for no more than fits")
    }

    /// The next operation that has ended, of whatever node.
    pub fn next_outcome(&mut self) -> Option<(usize, OperationId, Outcome)> {
        let ((number, operation), outcome) = self.outcomes.pop_first()?;
        Some((number, operation, outcome))
    }

    /// Lets time pass until an operation has ended.
    pub fn finish(&mut self, number: usize, operation: OperationId) -> Outcome {
        let give_up = self.now.plus_millis(600_000);
        loop {
            if let Some(outcome) = self.outcomes.remove(&(number, operation)) {
                return outcome;
            }
            assert!(self.step(give_up).is_some(), "an operation never ended");
        }
    }

    /// A node joins through others. Answers with how many nodes answered.
    pub fn join(&mut self, number: usize, bootstrap: &[usize]) -> usize {
        let operation = self.start_join(number, bootstrap);
        let answered = self.finish(number, operation).copies;
        self.member(number).has_joined |= answered > 0;
        answered
    }

    /// A node starts to join through others.
    pub fn start_join(&mut self, number: usize, bootstrap: &[usize]) -> OperationId {
        let addresses: Vec<_> = bootstrap.iter().map(|&other| self.places[other].address).collect();
        self.start(number, |node, now| node.join(now, now.plus_millis(30_000), &addresses))
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
        self.try_store(number, key, value, ttl).expect("the story asks for no more than fits")
    }

    /// A node starts to publish a value, if it has a place for it.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn try_store(
        &mut self,
        number: usize,
        key: Key,
        value: &[u8],
        ttl: Duration,
    ) -> Result<OperationId, StartError> {
        let ttl_ms = u32::try_from(ttl.as_millis()).expect("a lifetime of at most seven days");
        self.try_publish(number, key, ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value), value)
    }

    /// A node starts to publish a value whose header is known, if it has a place for it.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn try_publish(
        &mut self,
        number: usize,
        key: Key,
        header: ItemHeader,
        value: &[u8],
    ) -> Result<OperationId, StartError> {
        let shown = self.shown(number);
        self.member(number).publish(shown, &key, &header, value);
        let items = [(key, header)];
        self.try_start(number, |node, now| node.store(now, now.plus_millis(30_000), StoreMode::Publish, 0, &items))
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
        living.sort_by_key(|&number| self.id(number).distance(&target));
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
            } else {
                world.member(number).has_joined = true;
            }
        }
        world.run_for(Duration::from_secs(60));
        world
    }
}
