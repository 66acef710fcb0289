//! Two nodes on a cable, with a clock of the test's own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use kad_example_smoltcp::memory::{Memory, VALUE_MAX};
use kad_example_smoltcp::{Copies, Error, Network, Outcome, Parts, Plain, StoreOptions};

use kad_wire::{Instant, Key, NodeId};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};

/// How often the super-loop goes round, and how often a device has sent a frame.
const STEP: Duration = Duration::from_millis(1);
const SIZES: [usize; 3] = [0, 64, VALUE_MAX];
const STORE: StoreOptions = StoreOptions { copies: Copies::All, ..StoreOptions::DEFAULT };

/// Frames on their way to somebody.
type Line = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// A network chip with room for one frame to send, and for two that came.
struct Port {
    incoming: Line,
    outgoing: Line,
    is_busy: bool,
}

struct Frame(Vec<u8>);
struct Room<'a>(&'a mut Port);

impl Device for Port {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Frame, Room<'_>)> {
        if self.is_busy {
            return None;
        }
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Frame(frame), Room(self)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        (!self.is_busy).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities.max_burst_size = Some(2);
        capabilities
    }
}

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.is_busy = true;
        let mut line = self.0.outgoing.borrow_mut();
        if line.len() < 2 {
            line.push_back(frame);
        }
        result
    }
}

/// A host on the cable: 10.0.0.1 or 10.0.0.2.
struct Host {
    plain: Plain,
    port: Port,
}

impl Host {
    fn new(now: Instant, number: u8, (incoming, outgoing): (&Line, &Line), bootstrap: &[&str]) -> Self {
        let mut port = Port { incoming: incoming.clone(), outgoing: outgoing.clone(), is_busy: false };
        let address = Ipv4Addr::new(10, 0, 0, number);
        let network = Network { mac: [2, 0, 0, 0, 0, number], address: (address, 24), gateway: None };
        let bootstrap: Vec<SocketAddr> = bootstrap.iter().map(|address| address.parse().expect("an address")).collect();
        let parts = Parts {
            id: NodeId::from_bytes([number; 32]),
            seed: &[number; 32],
            port: 4570,
            bootstrap: &bootstrap,
            memory: Box::leak(Box::new(Memory::new())),
        };
        let plain = Plain::new(now, &mut port, &network, parts).expect("the profile makes sense");
        Self { plain, port }
    }

    fn poll(&mut self, now: Instant) {
        self.port.is_busy = false;
        self.plain.poll(now, &mut self.port);
    }
}

/// The cable, and the first host, which waits for the other one.
struct World {
    now: Instant,
    lines: (Line, Line),
    hosts: Vec<Host>,
}

impl World {
    fn new() -> Self {
        let (now, lines) = (Instant::from_micros(1), (Line::default(), Line::default()));
        let first = Host::new(now, 1, (&lines.0, &lines.1), &[]);
        Self { now, lines, hosts: vec![first] }
    }

    fn connect(&mut self, bootstrap: &[&str]) {
        self.hosts.push(Host::new(self.now, 2, (&self.lines.1, &self.lines.0), bootstrap));
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        for host in &mut self.hosts {
            host.poll(self.now);
        }
    }

    /// What comes of the last call of a host, and after how long.
    fn outcome(&mut self, host: usize) -> (Result<Outcome, Error>, Duration) {
        let begin = self.now;
        loop {
            if let Some(outcome) = self.hosts[host].plain.outcome(self.now) {
                return (outcome, self.now.saturating_since(begin));
            }
            self.step();
        }
    }

    fn put(&mut self, host: usize, name: &str, value: &[u8]) -> Result<Outcome, Error> {
        self.hosts[host].plain.put(self.now, Key::hash(name), value, &STORE).expect("begins");
        self.outcome(host).0
    }

    fn get(&mut self, host: usize, name: &str) -> (Result<Outcome, Error>, Duration) {
        self.hosts[host].plain.get(self.now, Key::hash(name)).expect("begins");
        self.outcome(host)
    }
}

fn value(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

/// Nodes that hold a value that was stored, and of these the other ones.
fn copies(stored: Result<Outcome, Error>) -> (u8, u8) {
    match stored {
        Ok(Outcome::Stored(receipt)) => (receipt.copies, receipt.elsewhere),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_go_both_ways_through_small_devices() {
    let mut world = World::new();
    for len in SIZES {
        // It is the first of its network, and was given none to join.
        assert_eq!(copies(world.put(0, &format!("first-{len}"), &value(len))), (1, 0));
    }
    world.connect(&["10.0.0.1:4570"]);
    for len in SIZES {
        assert_eq!(world.get(1, &format!("first-{len}")).0, Ok(Outcome::Found), "{len}");
        assert_eq!(world.hosts[1].plain.found(), Some(&value(len)[..]));
    }
    for len in SIZES {
        assert_eq!(copies(world.put(1, &format!("second-{len}"), &value(len))), (2, 1));
        assert_eq!(world.get(0, &format!("second-{len}")).0, Ok(Outcome::Found), "{len}");
        assert_eq!(world.hosts[0].plain.found(), Some(&value(len)[..]));
    }
    assert_eq!(world.get(1, "nothing").0, Ok(Outcome::Found));
    assert_eq!(world.hosts[1].plain.found(), None);
    for host in &world.hosts {
        // A device that has no room is no neighbour that does not answer.
        let link = host.plain.link_stats();
        assert_eq!((link.resets, link.crowded, link.refused), (0, 0, 0), "{link:?}");
    }
}

#[test]
fn neighbours_that_are_not_there_hold_nobody_up() {
    let mut world = World::new();
    assert_eq!(copies(world.put(0, "name", &value(VALUE_MAX))), (1, 0));
    world.connect(&["10.0.0.97:4570", "10.0.0.98:4570", "10.0.0.99:4570", "10.0.0.1:4570"]);
    let (outcome, took) = world.get(1, "name");
    let link = world.hosts[1].plain.link_stats();
    println!("{took:?} {link:?}");
    assert_eq!(outcome, Ok(Outcome::Found));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(link.resets + link.crowded >= 3, "each of the three was waited for: {link:?}");
}

#[test]
fn one_call_at_a_time_and_none_after_leaving() {
    let mut world = World::new();
    world.connect(&["10.0.0.1:4570"]);
    let (now, key) = (world.now, Key::hash("name"));
    let plain = &mut world.hosts[1].plain;
    assert_eq!(
        plain.put(now, key, &value(VALUE_MAX + 1), &STORE),
        Err(Error::TooLarge { len: VALUE_MAX + 1, max: VALUE_MAX })
    );
    plain.get(now, key).expect("begins");
    assert_eq!(plain.get(now, key), Err(Error::Busy));
    assert_eq!(world.outcome(1).0, Ok(Outcome::Found));
    assert_eq!(world.hosts[1].plain.found(), None);

    assert_eq!(copies(world.put(1, "kept", b"value")), (2, 1));
    world.hosts[1].plain.leave(world.now);
    assert_eq!(world.hosts[1].plain.get(world.now, key), Err(Error::Closed));
    while !world.hosts[1].plain.has_left() {
        world.step();
    }
    world.hosts.truncate(1);
    // Its last words are still on the cable.
    world.step();
    world.step();
    assert_eq!(world.get(0, "kept").0, Ok(Outcome::Found));
    assert_eq!(world.hosts[0].plain.status().contacts, 0, "it said goodbye");
}
