//! A kad node on plain smoltcp: no executor, no thread, no allocator. A super-loop calls [`Plain::poll`], which says when
//! to call it again.
//!
//! To be copied: see the README. [`memory`] is the only file that every firmware changes.

#![no_std]
#![forbid(unsafe_code)]

mod arp;
mod link;
pub mod memory;
mod sender;

use core::net::SocketAddr;
use core::time::Duration;

use kad_core::{ConfigError, FindOptions, Node, NodeId, Status};
use kad_store::{FixedStore, Limits, Store, Usage};
use kad_upkeep::{Driver, Exchange, FullNode, Request, Role as _};
use kad_wire::{Instant, Key};
use smoltcp::phy::Device;

use link::Link;
use memory::{CONFIG, Memory, RECEIVE, REJOIN};

pub use kad_upkeep::{Copies, Error, Outcome, Receipt, StoreOptions};
pub use link::{LinkStats, Network};

/// Bootstrap addresses that a node keeps.
pub const BOOTSTRAP: usize = 4;
/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How long handing over may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// The one call that this node has a place for.
const CALL: usize = 0;
/// Rounds of receiving and sending in one [`poll`](Plain::poll): whoever floods this node must not keep the super-loop from
/// everything else.
const ROUNDS: usize = 16;

/// What a node is made of.
pub struct Parts<'a> {
    /// Who it is.
    pub id: NodeId,
    /// From a source of entropy, and never used twice: nonces and tokens follow from it.
    pub seed: &'a [u8; 32],
    /// The UDP port.
    pub port: u16,
    /// Where the network is reached: at most [`BOOTSTRAP`] addresses. None for the first node of a network.
    pub bootstrap: &'a [SocketAddr],
    /// A `static`.
    pub memory: &'static mut Memory,
}

/// A node, its store and its sockets.
pub struct Plain {
    driver: Driver<'static, Node<'static>, FixedStore<'static>, FullNode<BOOTSTRAP>>,
    exchange: Exchange<'static, Link>,
}

impl Plain {
    /// A node that is about to join its network.
    ///
    /// # Errors
    /// When the configuration does not fit the memory, or the seed is all zeros.
    pub fn new<D: Device>(
        now: Instant,
        device: &mut D,
        network: &Network,
        parts: Parts<'_>,
    ) -> Result<Self, ConfigError> {
        let Parts { id, seed, port, bootstrap, memory } = parts;
        let config = kad_core::Config { receive_window: receive_window(device), ..CONFIG };
        let node = Node::new(id, &config, seed, memory.block.memory())?;
        let store = FixedStore::new(Limits::new(id), &mut memory.records, &mut memory.blocks);
        let [random, ..] = seed.as_chunks().0 else { return Err(ConfigError::ZeroSeed) };
        let link = Link::new(now, device, network, (port, u64::from_le_bytes(*random)), &mut memory.sockets);
        let role = FullNode::new(&node, bootstrap, REJOIN);
        let driver = Driver::new(node, store, role, &mut memory.calls, &mut memory.found);
        Ok(Self { driver, exchange: Exchange::new(link, &mut memory.datagram) })
    }

    /// Does everything that can be done now. Answers when to call it again, if no frame comes and nothing is asked for
    /// before; `None`: not until then. Calling it more often does no harm.
    ///
    /// The clock never goes back.
    pub fn poll<D: Device>(&mut self, now: Instant, device: &mut D) -> Option<Instant> {
        for _ in 0..ROUNDS {
            let heard = self.exchange.link.poll(now, device);
            self.driver.turn(now);
            if !self.exchange.run(now, &mut self.driver, &()) && !heard {
                return [self.driver.next_wake(), self.exchange.link.next(now)].into_iter().flatten().min();
            }
        }
        Some(now)
    }

    /// Stores a value here, where it is republished until it expires, and on the nodes nearest to the key: begins with it,
    /// and [`outcome`](Self::outcome) says what came of it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call goes on, [`Error::Closed`], [`Error::TooLarge`], [`Error::Lifetime`],
    /// [`Error::Refused`]: nothing was stored.
    pub fn put(&mut self, now: Instant, key: Key, value: &[u8], options: &StoreOptions) -> Result<(), Error> {
        self.may_begin()?;
        let header = self.driver.publish(now, &key, value, options)?;
        self.driver.begin(Request::Store { key, header, copies: options.copies }, now + CALL_LIMIT).map(drop)
    }

    /// Looks for a value, here first: begins with it, and [`outcome`](Self::outcome) says what came of it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call goes on, [`Error::Closed`].
    pub fn get(&mut self, now: Instant, key: Key) -> Result<(), Error> {
        self.may_begin()?;
        let options = FindOptions::FIRST;
        let call = self.driver.begin(Request::Find { key, options }, now + CALL_LIMIT)?;
        if self.driver.find_here(now, call, key, options) {
            self.driver.finish(call, Ok(Outcome::Found));
        }
        Ok(())
    }

    fn may_begin(&self) -> Result<(), Error> {
        match (self.driver.role().is_leaving(), self.driver.is_free(CALL)) {
            (true, _) => Err(Error::Closed),
            (_, false) => Err(Error::Busy),
            _ => Ok(()),
        }
    }

    /// Begins to leave the network: what is held is handed over, and then goodbye is said. A call that goes on ends with
    /// [`Error::Closed`].
    pub fn leave(&mut self, now: Instant) {
        self.driver.leave(now, now + LEAVE_LIMIT);
    }

    /// Returns whether the node has left: it need not be polled any more.
    pub fn has_left(&self) -> bool {
        self.driver.role().has_left()
    }

    /// Returns what came of the last call, once.
    pub fn outcome(&mut self, now: Instant) -> Option<Result<Outcome, Error>> {
        let outcome = self.driver.outcome(CALL)?;
        self.driver.end_call(now, CALL);
        Some(outcome)
    }

    /// Returns the value that the last call has found. `None` after a find: there is none.
    pub fn found(&self) -> Option<&[u8]> {
        self.driver.values(CALL).next().map(|(_, bytes)| bytes)
    }

    /// Returns the node's own figures.
    pub fn status(&mut self) -> Status {
        self.driver.with_node(|node| node.status())
    }

    /// Returns how much its store holds.
    pub fn usage(&mut self) -> Usage {
        self.driver.store().usage()
    }

    /// Returns what its sockets counted.
    pub fn link_stats(&self) -> LinkStats {
        self.exchange.link.stats
    }
}

/// Datagrams that may be on their way to this node because it asked for them: as many as the socket holds, and two thirds of
/// what the device does if it says so. The rest is for what nobody asked for.
fn receive_window<D: Device>(device: &D) -> u16 {
    let frames = device.capabilities().max_burst_size.map_or(usize::MAX, |frames| frames - frames / 3);
    u16::try_from(frames.min(RECEIVE)).unwrap_or(u16::MAX).max(1)
}
