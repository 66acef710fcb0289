//! A kad node on plain smoltcp: no executor, no thread, no allocator. A super-loop calls [`Plain::poll`], which says when
//! to call it again.
//!
//! To be copied: see the README. [`memory`] is the only file that every firmware changes.

#![no_std]
#![forbid(unsafe_code)]

mod arp;
mod call;
mod home;
mod link;
pub mod memory;
mod sender;

use core::net::SocketAddr;

use kad_core::{ConfigError, Node, NodeId, Status};
use kad_store::{FixedStore, Limits, Store, Usage};
use kad_upkeep::Response;
use kad_wire::{Instant, Key};
use smoltcp::phy::Device;

use home::Home;
use link::{Link, Sent};
use memory::{CONFIG, Memory, RECEIVE};

pub use call::{Error, Outcome};
pub use home::BOOTSTRAP;
pub use link::{LinkStats, Network};

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
    home: Home,
    link: Link,
    /// Where every datagram is written that this node sends.
    buffer: &'static mut [u8],
    /// Length of the datagram in the buffer that the sockets had no room for, and to whom it goes.
    unsent: Option<(SocketAddr, usize)>,
    /// What is left of the answer to a datagram that came.
    response: Option<(SocketAddr, Response)>,
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
        let home = Home::new(node, store, bootstrap, &mut memory.found);
        Ok(Self { home, link, buffer: &mut memory.datagram, unsent: None, response: None })
    }

    /// Does everything that can be done now. Answers when to call it again, if no frame comes and nothing is asked for
    /// before; `None`: not until then. Calling it more often does no harm.
    ///
    /// The clock never goes back.
    pub fn poll<D: Device>(&mut self, now: Instant, device: &mut D) -> Option<Instant> {
        for _ in 0..ROUNDS {
            let heard = self.link.poll(now, device);
            self.home.turn(now);
            if !self.exchange(now) && !heard {
                return [self.home.next(), self.link.next(now)].into_iter().flatten().min();
            }
        }
        Some(now)
    }

    /// Receives and sends until there is nothing more to do, or the sockets have no room. Answers whether there was anything.
    fn exchange(&mut self, now: Instant) -> bool {
        let mut moved = false;
        loop {
            if let Some((to, len)) = self.unsent {
                if self.link.send(now, to, self.buffer.get(..len).unwrap_or_default()) == Sent::Full {
                    return moved;
                }
                moved = true;
            }
            self.unsent = self.next_response(now);
            if self.unsent.is_none() {
                moved |= self.receive(now);
                if self.response.is_none() {
                    self.unsent = self.home.transmit(now, self.buffer);
                    if self.unsent.is_none() {
                        return moved;
                    }
                }
            }
        }
    }

    fn next_response(&mut self, now: Instant) -> Option<(SocketAddr, usize)> {
        let (to, mut response) = self.response.take()?;
        let len = self.home.respond(now, &mut response, self.buffer)?;
        self.response = Some((to, response));
        Some((to, len))
    }

    /// Takes in datagrams until one is answered, or there is none. Answers whether there was one.
    fn receive(&mut self, now: Instant) -> bool {
        let (home, buffer) = (&mut self.home, &mut *self.buffer);
        let mut any = false;
        while let Some((from, response)) =
            self.link.receive(now, |from, datagram| (from, home.receive(now, (from, datagram), buffer)))
        {
            any = true;
            if !response.is_over() {
                self.response = Some((from, response));
                break;
            }
        }
        any
    }

    /// Stores a value here, where it is republished until it expires, and on the nodes nearest to the key: begins with it,
    /// and [`outcome`](Self::outcome) says what came of it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call goes on, [`Error::Leaving`], [`Error::TooLarge`], [`Error::Refused`].
    pub fn put(&mut self, now: Instant, key: Key, value: &[u8]) -> Result<(), Error> {
        self.home.put(now, key, value)
    }

    /// Looks for a value, here first: begins with it, and [`outcome`](Self::outcome) says what came of it.
    ///
    /// # Errors
    /// [`Error::Busy`] while another call goes on, [`Error::Leaving`].
    pub fn get(&mut self, now: Instant, key: Key) -> Result<(), Error> {
        self.home.get(now, key)
    }

    /// Begins to leave the network: what is held is handed over, and then goodbye is said. A call that goes on is forgotten.
    pub fn leave(&mut self, now: Instant) {
        self.home.leave(now);
    }

    /// Whether the node has left: it need not be polled any more.
    pub fn has_left(&self) -> bool {
        self.home.has_left()
    }

    /// What came of the last call, once.
    pub fn outcome(&mut self) -> Option<Outcome> {
        self.home.call.take_outcome()
    }

    /// The value that the last call has found.
    pub fn found(&self) -> &[u8] {
        self.home.call.found()
    }

    /// The node's own figures.
    pub fn status(&self) -> Status {
        self.home.node.status()
    }

    /// How much its store holds.
    pub fn usage(&self) -> Usage {
        self.home.store.usage()
    }

    /// What its sockets counted.
    pub fn link_stats(&self) -> LinkStats {
        self.link.stats
    }
}

/// Datagrams that may be on their way to this node because it asked for them: as many as the socket holds, and two thirds of
/// what the device does if it says so. The rest is for what nobody asked for.
fn receive_window<D: Device>(device: &D) -> u16 {
    let frames = device.capabilities().max_burst_size.map_or(usize::MAX, |frames| frames - frames / 3);
    u16::try_from(frames.min(RECEIVE)).unwrap_or(u16::MAX).max(1)
}
