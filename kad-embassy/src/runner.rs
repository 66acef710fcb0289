//! The task that runs a node.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_time::Timer;
use kad_core::{Config, Memory, Node, NodeId};
use kad_store::Store;
use kad_upkeep::{Driver, Exchange, FullNode, Joined};
use kad_wire::Instant;

use crate::error::StartError;
use crate::handle::Dht;
use crate::logs;
use crate::net::{Link, Neighbours};
use crate::shared::{BOOTSTRAP, CallSlot, Shared};
use crate::space::{Buffers, Place};

/// Longest sleep: nothing is due, but a timer must have some time.
const LONGEST_SLEEP_US: u64 = 3_600_000_000;

/// What a node is made of.
pub struct Parts<'a> {
    /// Who it is.
    pub id: NodeId,
    /// Its settings. What depends on the socket is lowered to what the buffers hold: `receive_max` and `receive_window`.
    pub config: &'a Config,
    /// From a source of entropy, and never used twice: nonces and tokens follow from it.
    pub seed: &'a [u8; 32],
    /// The node's memory: a `static` [`block!`](kad_core::block).
    pub memory: Memory<'static>,
    /// What it remembers.
    pub store: &'static mut dyn Store,
    /// The adapter's memory: a `static` [`space!`](crate::space).
    pub buffers: Buffers,
}

/// What an owner decides about the adapter.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The UDP port. 9000 if not set, as for daemons.
    pub port: u16,
    /// Where the network is reached: at most [`BOOTSTRAP`](crate::BOOTSTRAP) addresses. None for the first node of a
    /// network.
    pub bootstrap: &'a [SocketAddr],
    /// Frames of the largest size that the network chip holds while nobody reads it. No transfer asks for more at a time.
    pub nic_frames: u16,
    /// How long the socket may be blocked before it is opened anew.
    pub send_deadline: Duration,
    /// How often a node that knows others joins through its bootstrap addresses again, give or take a quarter.
    pub rejoin_interval: Duration,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            port: 9000,
            bootstrap: &[],
            nic_frames: u16::MAX,
            send_deadline: Duration::from_millis(1500),
            rejoin_interval: Duration::from_secs(600),
        }
    }
}

/// Makes a node that shares its [place](Place) with its handles, and the [neighbours](Neighbours) with the driver of its
/// network chip: spawn [`Runner::run`] as a task of the same executor.
///
/// # Errors
/// [`StartError`].
pub fn start(
    place: &'static Place,
    stack: Stack<'static>,
    neighbours: &'static Neighbours,
    parts: Parts<'_>,
    options: &Options<'_>,
) -> Result<(Dht, Runner), StartError> {
    let Assembly { node, store, calls, found, exchange } = assemble(stack, neighbours, parts, options)?;
    let role = FullNode::<BOOTSTRAP>::new(&node, options.bootstrap, options.rejoin_interval);
    let driver = Driver::new(node, store, role, calls, found);
    let shared: &'static RefCell<_> = place.shared.init(RefCell::new(Shared::new(driver)));
    Ok((Dht::new(shared), Runner { stack, shared, exchange: place.exchange.init(exchange) }))
}

/// A node and what it works with.
pub(crate) struct Assembly {
    pub(crate) node: Node<'static>,
    pub(crate) store: &'static mut dyn Store,
    pub(crate) calls: &'static mut [CallSlot],
    pub(crate) found: &'static mut [u8],
    /// Open.
    pub(crate) exchange: Exchange<'static, Link>,
}

/// Checks the parts, and puts them together.
pub(crate) fn assemble(
    stack: Stack<'static>,
    neighbours: &'static Neighbours,
    parts: Parts<'_>,
    options: &Options<'_>,
) -> Result<Assembly, StartError> {
    let Parts { id, config, seed, memory, store, buffers } = parts;
    if !buffers.are_enough() {
        return Err(StartError::Buffers);
    }
    if !neighbours.has_driver() {
        return Err(StartError::Neighbours);
    }
    let window = u16::try_from(buffers.receive_window()).unwrap_or(u16::MAX);
    let config = Config {
        ipv4: config.ipv4 && cfg!(feature = "proto-ipv4"),
        ipv6: config.ipv6 && cfg!(feature = "proto-ipv6"),
        receive_max: config.receive_max.min(buffers.datagram.len()),
        receive_window: config.receive_window.min(window).min(share_of(options.nic_frames)),
        ..config.clone()
    };
    let node = Node::new(id, &config, seed, memory)?;
    let (calls, found, datagram, buffers) = buffers.split();
    let mut link = Link::new(stack, neighbours, options, buffers);
    if !link.open() {
        return Err(StartError::Port);
    }
    Ok(Assembly { node, store, calls, found, exchange: Exchange::new(link, datagram) })
}

/// Frames of a network chip that transfers may fill: two thirds. The rest is for what nobody asked for.
const fn share_of(nic_frames: u16) -> u16 {
    let share = nic_frames - nic_frames / 3;
    if share == 0 { 1 } else { share }
}

/// What the clock shows.
pub(crate) fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros().saturating_add(1))
}

/// Waits until an instant of the clock.
pub(crate) fn sleep_until(now: Instant, at: Option<Instant>) -> Timer {
    let micros = at.map_or(LONGEST_SLEEP_US, |at| at.micros_since(now).min(LONGEST_SLEEP_US));
    Timer::after(embassy_time::Duration::from_micros(micros))
}

/// Runs a node: everything that it does happens in [`run`](Self::run).
pub struct Runner {
    stack: Stack<'static>,
    shared: &'static RefCell<Shared>,
    /// In its place, so that futures which hold the runner stay small.
    exchange: &'static mut Exchange<'static, Link>,
}

impl Runner {
    /// Waits until the stack has an address, joins the network, serves it, and ends when the node has
    /// [left](Dht::leave).
    pub async fn run(mut self) {
        self.stack.wait_config_up().await;
        while !self.shared.borrow().driver.role().has_left() {
            let (now, next) = self.turn();
            select(ready(self.exchange, now, next), changed(self.shared)).await;
        }
        // A caller that waits for it is told.
        self.shared.borrow_mut().driver.turn(now());
        close(self.exchange);
    }

    /// Does everything that can be done now. Returns when that was, and when there is more to do if nothing happens.
    fn turn(&mut self) -> (Instant, Option<Instant>) {
        let shared = &mut *self.shared.borrow_mut();
        let now = now();
        self.exchange.link.handle_timeout(now);
        self.exchange.run_until_idle(now, &mut shared.driver, &());
        shared.link = *self.exchange.link.stats();
        if let Some(joined) = shared.driver.role_mut().take_joined() {
            log_join(joined);
        }
        (now, shared.driver.next_wake())
    }
}

fn log_join(joined: Joined) {
    match joined {
        Joined { answered: 0, contacts: 0 } => logs::warning!("no bootstrap node answers"),
        Joined { answered: 0, .. } => logs::debug!("no bootstrap node answers, but others are known"),
        Joined { answered, .. } => logs::info!("joined: {} nodes answered", answered),
    }
}

/// Waits until there is something to receive, or room for what waits, or it is time.
pub(crate) async fn ready(exchange: &mut Exchange<'static, Link>, now: Instant, next: Option<Instant>) {
    let blocked = exchange.is_blocked();
    let next = next.into_iter().chain(exchange.link.next_deadline()).min();
    select(exchange.link.ready(!blocked, blocked), sleep_until(now, next)).await;
}

/// Closes the link; what waits is lost.
pub(crate) fn close(exchange: &mut Exchange<'static, Link>) {
    exchange.link.close();
    exchange.clear();
}

/// Waits until a handle has something for the node.
async fn changed(shared: &RefCell<Shared>) {
    let mut asked = false;
    poll_fn(|context| {
        if core::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        shared.borrow_mut().runner.register(context.waker());
        Poll::Pending
    })
    .await;
}
