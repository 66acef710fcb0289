//! A local network in one process: embassy-net stacks on a switch, their tasks polled by hand, and a clock that stands still
//! unless it is moved. The same seed gives the same run.

#![allow(dead_code, unreachable_pub, reason = "not every test uses everything")]

use std::collections::VecDeque;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use embassy_net::{Config as NetConfig, Ipv4Cidr, Ipv6Cidr, Stack, StackResources, StaticConfigV4, StaticConfigV6};
use embassy_net_driver_channel as channel;
use embassy_time::MockDriver;
use kad_core::{Config, NodeId};
use kad_embassy::{Client, Dht, Neighbours, Options, Parts, Place, Runner};
use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits};

pub const MTU: usize = 1514;
/// Frames that a network chip holds, as the emulated board's does.
pub const NIC_FRAMES: usize = 7;
/// How long a frame is on the wire.
const WIRE: Duration = Duration::from_micros(200);
/// How often a host looks at its chip.
const STEP: Duration = Duration::from_millis(1);
pub const PORT: u16 = 4570;
/// Bytes of a small node's largest datagram.
pub const SMALL: usize = 704;

kad_core::block! {
    /// A node of the test network.
    pub struct Block {
        rows: 8,
        contacts_per_row: 9,
        operations: 4,
        candidates_per_operation: 12,
        items_per_operation: 8,
        transfers: 4,
        arena: 2 * 16_384,
    }
}

kad_embassy::space! {
    /// Its buffers.
    pub struct Space {
        calls: 2,
        found_per_call: 16_384,
        receive: 6,
        send: 2,
    }
}

kad_embassy::space! {
    /// The same with small datagrams.
    pub struct SmallSpace {
        calls: 2,
        found_per_call: 16_384,
        receive: 6,
        send: 2,
        datagram: SMALL,
        held: 2,
    }
}

/// Whether a task wants to be polled.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waker: Waker,
    over: bool,
}

impl Task {
    fn new(future: impl Future<Output = ()> + 'static) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self { future: Box::pin(future), waker: Waker::from(flag.clone()), flag, over: false }
    }

    fn poll(&mut self) -> bool {
        if self.over || !self.flag.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        self.over = self.future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
        true
    }
}

/// A host's end of its cable.
struct Port {
    rx: channel::RxRunner<'static, MTU>,
    tx: channel::TxRunner<'static, MTU>,
    plugged: bool,
    datagrams: usize,
    /// Bytes of the longest of them.
    longest: usize,
}

/// Which addresses the network uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// How a node differs from the others.
#[derive(Clone, Debug)]
pub struct Shape {
    pub config: Config,
    pub send_deadline: Duration,
    pub bootstrap: bool,
    /// Whether its datagrams are [small](SMALL).
    pub small: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            config: Config { k: 8, value_max: 16_384, ..Config::default() },
            send_deadline: Options::default().send_deadline,
            bootstrap: true,
            small: false,
        }
    }
}

impl Shape {
    fn options<'a>(&self, host: usize, bootstrap: &'a [SocketAddr]) -> Options<'a> {
        Options {
            port: PORT,
            bootstrap: if self.bootstrap && host > 0 { bootstrap } else { &[] },
            nic_frames: NIC_FRAMES as u16,
            send_deadline: self.send_deadline,
            ..Options::default()
        }
    }
}

/// The network. Only one at a time: the clock is everybody's.
pub struct Lan {
    family: Family,
    ports: Vec<Port>,
    tasks: Vec<Vec<Task>>,
    /// Frames on the wire: when they arrive, at which port.
    wire: VecDeque<(Duration, usize, Vec<u8>)>,
    /// One frame in so many is lost; 0 for none.
    pub loss: u64,
    random: fastrand::Rng,
    elapsed: Duration,
    /// Frames that came to a chip that was full.
    pub overrun: usize,
    pub frames: usize,
    _clock: MutexGuard<'static, ()>,
}

static CLOCK: Mutex<()> = Mutex::new(());

impl Lan {
    pub fn new(family: Family, seed: u64) -> Self {
        let clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
        MockDriver::get().reset();
        Self {
            family,
            ports: Vec::new(),
            tasks: Vec::new(),
            wire: VecDeque::new(),
            loss: 0,
            random: fastrand::Rng::with_seed(seed),
            elapsed: Duration::ZERO,
            overrun: 0,
            frames: 0,
            _clock: clock,
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub fn address(&self, host: usize) -> SocketAddr {
        let number = host as u16 + 1;
        match self.family {
            Family::V4 => (Ipv4Addr::new(10, 0, 0, number as u8), PORT).into(),
            Family::V6 => (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number), PORT).into(),
        }
    }

    /// Adds a host with a network stack.
    pub fn host(&mut self) -> (usize, Stack<'static>, &'static Neighbours) {
        let host = self.ports.len();
        let state = Box::leak(Box::new(channel::State::<MTU, NIC_FRAMES, 4>::new()));
        let hardware = [2, 0, 0, 0, 0, host as u8 + 1];
        let (runner, device) = channel::new(state, channel::driver::HardwareAddress::Ethernet(hardware));
        let neighbours: &'static Neighbours = Box::leak(Box::new(Neighbours::new()));
        let (link, rx, tx) = runner.split();
        link.set_link_state(channel::driver::LinkState::Up);
        let net = match self.address(host) {
            SocketAddr::V4(address) => NetConfig::ipv4_static(StaticConfigV4 {
                address: Ipv4Cidr::new(*address.ip(), 24),
                gateway: None,
                dns_servers: Default::default(),
            }),
            SocketAddr::V6(address) => NetConfig::ipv6_static(StaticConfigV6 {
                address: Ipv6Cidr::new(*address.ip(), 64),
                gateway: None,
                dns_servers: Default::default(),
            }),
        };
        let resources = Box::leak(Box::new(StackResources::<1>::new()));
        let (stack, mut net_runner) = embassy_net::new(neighbours.driver(device), net, resources, host as u64 + 1);
        self.ports.push(Port { rx, tx, plugged: true, datagrams: 0, longest: 0 });
        self.tasks.push(vec![Task::new(async move { net_runner.run().await })]);
        (host, stack, neighbours)
    }

    /// Adds a node; its task is [run](Self::run_node) by the network.
    pub fn node(&mut self, shape: &Shape) -> (usize, Dht) {
        let (host, dht, runner) = self.assembled(shape);
        self.tasks[host].push(Task::new(runner.run()));
        (host, dht)
    }

    fn assembled(&mut self, shape: &Shape) -> (usize, Dht, Runner) {
        let (host, stack, neighbours) = self.host();
        let bootstrap = [self.address(0)];
        let options = shape.options(host, &bootstrap);
        let place: &'static Place = Box::leak(Box::new(Place::new()));
        let (dht, runner) =
            kad_embassy::start(place, stack, neighbours, parts(host, shape), &options).expect("it fits");
        (host, dht, runner)
    }

    /// Adds a client that runs only when it is called.
    pub fn client(&mut self, shape: &Shape) -> Client {
        let (host, stack, neighbours) = self.host();
        let bootstrap = [self.address(0)];
        let options = shape.options(host, &bootstrap);
        Client::new(stack, neighbours, parts(host, shape), &options).expect("it fits")
    }

    /// UDP datagrams that a host has sent.
    pub fn datagrams_sent_by(&self, host: usize) -> usize {
        self.ports[host].datagrams
    }

    /// Bytes of the longest UDP datagram that a host has sent.
    pub fn longest_sent_by(&self, host: usize) -> usize {
        self.ports[host].longest
    }

    /// Lets a task run beside the others.
    pub fn spawn(&mut self, host: usize, future: impl Future<Output = ()> + 'static) {
        self.tasks[host].push(Task::new(future));
    }

    /// Whether the node's task has ended.
    pub fn has_ended(&self, host: usize) -> bool {
        self.tasks[host][1].over
    }

    /// Pulls a host's cable, or plugs it in again.
    pub fn plug(&mut self, host: usize, plugged: bool) {
        self.ports[host].plugged = plugged;
    }

    /// Runs everything until a future is ready, or panics when that takes longer than `limit` of the network's own time.
    pub fn run_for<T>(&mut self, limit: Duration, future: impl Future<Output = T>) -> T {
        let (mut future, until) = (Box::pin(future), self.elapsed + limit);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
            assert!(self.elapsed < until, "not done after {limit:?}");
            self.settle();
            self.step();
        }
    }

    /// Lets time go by.
    pub fn pass(&mut self, span: Duration) {
        let until = self.elapsed + span;
        while self.elapsed < until {
            self.settle();
            self.step();
        }
    }

    fn step(&mut self) {
        self.elapsed += STEP;
        MockDriver::get().advance(embassy_time::Duration::from_micros(STEP.as_micros() as u64));
        self.deliver();
    }

    /// Polls every task that wants it, until none does.
    fn settle(&mut self) {
        loop {
            let mut any = false;
            for task in self.tasks.iter_mut().flatten() {
                any |= task.poll();
            }
            self.collect();
            if !any {
                return;
            }
        }
    }

    /// Takes what the hosts send.
    fn collect(&mut self) {
        for from in 0..self.ports.len() {
            while let Some(frame) = self.ports[from].tx.try_tx_buf() {
                let frame = frame.to_vec();
                self.ports[from].tx.tx_done();
                self.frames += 1;
                // IPv4, UDP.
                if frame[12..14] == [8, 0] && frame[23] == 17 {
                    self.ports[from].datagrams += 1;
                    self.ports[from].longest = self.ports[from].longest.max(frame.len() - (14 + 20 + 8));
                }
                let lost = self.loss > 0 && self.random.u64(0..self.loss) == 0;
                if self.ports[from].plugged && !lost {
                    self.switch(from, &frame);
                }
            }
        }
    }

    fn switch(&mut self, from: usize, frame: &[u8]) {
        let to_all = frame[0] & 1 == 1;
        for to in 0..self.ports.len() {
            let hit = to_all || frame[..6] == [2, 0, 0, 0, 0, to as u8 + 1];
            if hit && to != from {
                self.wire.push_back((self.elapsed + WIRE, to, frame.to_vec()));
            }
        }
    }

    fn deliver(&mut self) {
        while self.wire.front().is_some_and(|(at, ..)| *at <= self.elapsed) {
            let Some((_, to, frame)) = self.wire.pop_front() else { return };
            let port = &mut self.ports[to];
            if !port.plugged {
                continue;
            }
            match port.rx.try_rx_buf() {
                Some(buffer) => {
                    buffer[..frame.len()].copy_from_slice(&frame);
                    port.rx.rx_done(frame.len());
                }
                None => self.overrun += 1,
            }
        }
    }
}

/// What a node of the test network is made of.
pub fn parts(host: usize, shape: &Shape) -> Parts<'_> {
    let id = NodeId::from_bytes(*kad_core::Key::hash([host as u8 + 1]).as_bytes());
    let seed: &'static [u8; 32] = Box::leak(Box::new([host as u8 + 1; 32]));
    let records: &'static mut [FixedRecord] = Box::leak(vec![FixedRecord::EMPTY; 32].into_boxed_slice());
    let blocks: &'static mut [FixedBlock] = Box::leak(vec![FixedBlock::EMPTY; 512].into_boxed_slice());
    let store = Box::leak(Box::new(FixedStore::new(Limits::new(id), records, blocks)));
    let memory = Box::leak(Box::new(Block::EMPTY)).memory();
    let buffers = match shape.small {
        true => Box::leak(Box::new(SmallSpace::EMPTY)).buffers(),
        false => Box::leak(Box::new(Space::EMPTY)).buffers(),
    };
    Parts { id, config: &shape.config, seed, memory, store, buffers }
}
