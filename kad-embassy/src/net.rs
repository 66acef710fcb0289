//! The one module that knows embassy-net: a socket that no neighbour can block.
//!
//! smoltcp keeps a datagram for a neighbour that does not answer ARP (or neighbour discovery) at the head of its socket's
//! queue, and everything behind it waits for as long as that neighbour is gone. And it asks for one neighbour a second, so
//! that even those who are there wait for each other. In a network of nodes that come and go both are no rare events.
//!
//! Therefore the socket gets only datagrams for addresses that were heard from a moment ago, whose hardware addresses are
//! known. The first for any other address is held here until its neighbour, whom the [driver](Neighbours) asks, has
//! answered; if that takes too long, it is dropped, and nothing is sent to that address for a while unless it is heard
//! from. If the socket is blocked all the same, it is opened anew.

mod held;
mod neighbours;
mod queue;

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use heapless::Vec;
use kad_upkeep::Sent;
use kad_wire::Instant;

use crate::runner::Options;
use queue::{Offered, SendQueue};

pub use held::{HeldDatagram, held_len};
pub use neighbours::{NeighbourDriver, Neighbours};

/// Addresses whose hardware addresses are taken as known: fewer than smoltcp must remember.
const WARM: usize = 14;
/// For how many seconds they are, since they were heard from: ten less than smoltcp remembers them.
const WARMTH_SECS: u32 = 50;
/// Places for addresses that were found dead. More of them at a time only cost more questions.
const DEAD: usize = 8;
/// For how many seconds nothing is sent to an address that was found dead.
const SILENCE_SECS: u32 = 20;

/// What a link counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LinkStats {
    /// Addresses that were given up because no neighbour on the way to them answered.
    pub dead: u32,
    /// Datagrams that were not sent because their address had been given up a moment ago.
    pub suppressed: u32,
    /// Datagrams that were not sent because too many new neighbours were waited for, or because they were too large for an
    /// address that had not been heard from.
    pub crowded: u32,
    /// Datagrams that the stack refused: no route, or no address of its own.
    pub refused: u32,
    /// Times that the socket was opened anew because an address blocked it.
    pub resets: u32,
}

impl LinkStats {
    pub(crate) const fn new() -> Self {
        Self { dead: 0, suppressed: 0, crowded: 0, refused: 0, resets: 0 }
    }
}

/// Buffers of a link.
pub(crate) struct LinkBuffers {
    pub(crate) receive_meta: &'static mut [PacketMetadata],
    pub(crate) receive: &'static mut [u8],
    pub(crate) send_meta: &'static mut [PacketMetadata],
    pub(crate) send: &'static mut [u8],
    pub(crate) held: &'static mut [HeldDatagram],
    pub(crate) held_bytes: &'static mut [u8],
}

/// See the [module](self).
pub(crate) struct Link {
    stack: Stack<'static>,
    neighbours: &'static Neighbours,
    queue: SendQueue,
    held: &'static mut [HeldDatagram],
    /// Their bytes: an equal part for each.
    held_bytes: &'static mut [u8],
    port: u16,
    deadline: Duration,
    /// Addresses that were heard from, and in which second.
    warm: Vec<(IpAddr, u32), WARM>,
    /// Addresses to which nothing is sent, and until which second.
    dead: Vec<(IpAddr, u32), DEAD>,
    stats: LinkStats,
}

impl Link {
    /// A socket that is not open yet.
    pub(crate) fn new(
        stack: Stack<'static>,
        neighbours: &'static Neighbours,
        options: &Options<'_>,
        buffers: LinkBuffers,
    ) -> Self {
        let LinkBuffers { receive_meta, receive, send_meta, send, held, held_bytes } = buffers;
        Self {
            stack,
            neighbours,
            queue: SendQueue::new(UdpSocket::new(stack, receive_meta, receive, send_meta, send)),
            held,
            held_bytes,
            port: options.port,
            deadline: options.send_deadline,
            warm: Vec::new(),
            dead: Vec::new(),
            stats: LinkStats::default(),
        }
    }

    /// Opens the socket. Answers whether that went well.
    pub(crate) fn open(&mut self) -> bool {
        self.queue.open(self.port)
    }

    /// Closes the socket; what it holds is lost.
    pub(crate) fn close(&mut self) {
        self.queue.close();
        self.held.iter_mut().for_each(HeldDatagram::free);
    }

    pub(crate) const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// Notes that an address is reached.
    fn warm_up(&mut self, now: Instant, ip: IpAddr) {
        self.dead.retain(|(dead, _)| *dead != ip);
        if let Some((_, since)) = self.warm.iter_mut().find(|(warm, _)| *warm == ip) {
            *since = secs(now);
            return;
        }
        if self.warm.is_full() {
            let oldest = self.warm.iter().enumerate().min_by_key(|(_, (_, since))| *since);
            let oldest = oldest.map_or(0, |(place, _)| place);
            self.warm.swap_remove(oldest);
        }
        let _ = self.warm.push((ip, secs(now)));
    }

    fn queue(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let Some(endpoint) = endpoint(to) else { return self.refused() };
        match self.queue.offer(now, endpoint, to.ip(), datagram) {
            Offered::Taken => Sent::Done,
            Offered::Full => Sent::Full,
            Offered::Refused => self.refused(),
        }
    }

    /// Keeps a datagram until its neighbour has answered.
    fn hold(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let Some(hop) = self.neighbours.ask(&self.stack, to.ip()) else { return self.refused() };
        // A second one for the same address is most likely the first once more.
        let waits = self.held.iter().any(|held| held.goes_to(to));
        let part = self.held_part();
        let mut places = self.held.iter_mut().zip(self.held_bytes.chunks_exact_mut(part));
        let free = places.find(|(held, _)| held.is_free() && !waits);
        if !free.is_some_and(|(held, bytes)| held.hold(now, hop, to, datagram, bytes)) {
            self.stats.crowded = self.stats.crowded.wrapping_add(1);
        }
        Sent::Done
    }

    /// Bytes that each of the datagrams may have that wait.
    fn held_part(&self) -> usize {
        self.held_bytes.len().checked_div(self.held.len()).unwrap_or(0).max(1)
    }

    fn refused(&mut self) -> Sent {
        self.stats.refused = self.stats.refused.wrapping_add(1);
        Sent::Done
    }

    /// When something that does not move is given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let blocked = self.queue.waits_since().map(|since| since + self.deadline);
        self.held.iter().filter_map(HeldDatagram::next).chain(blocked).min()
    }

    /// Sends what its neighbours have answered for, and gives up what does not move.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.dead.retain(|(_, until)| secs(now) < *until);
        while let Some(hop) = self.neighbours.next_answer() {
            self.release(now, hop);
        }
        for place in 0..self.held.len() {
            let Some(held) = self.held.get_mut(place) else { break };
            if let Some(ip) = held.ask_again(now) {
                self.neighbours.ask(&self.stack, ip);
            } else if let Some(ip) = held.take_vain(now) {
                self.give_up(now, ip);
            }
        }
        if let Some(ip) = self.queue.stuck(now, self.deadline) {
            self.stats.resets = self.stats.resets.wrapping_add(1);
            self.queue.close();
            self.queue.open(self.port);
            self.give_up(now, ip);
        }
    }

    /// A neighbour has answered: what waits for it may go.
    fn release(&mut self, now: Instant, hop: IpAddr) {
        let part = self.held_part();
        for place in 0..self.held.len() {
            let Some(held) = self.held.get_mut(place) else { return };
            let Some((to, len)) = held.waiting_for(hop) else { continue };
            let bytes = self.held_bytes.chunks_exact(part).nth(place).unwrap_or_default();
            let datagram = bytes.get(..len).unwrap_or_default();
            let offered = endpoint(to).map(|endpoint| self.queue.offer(now, endpoint, to.ip(), datagram));
            // No room is one lost packet: from now on the address is known.
            if !matches!(offered, Some(Offered::Taken)) {
                self.stats.crowded = self.stats.crowded.wrapping_add(1);
            }
            held.free();
            self.warm_up(now, to.ip());
        }
    }

    fn give_up(&mut self, now: Instant, ip: IpAddr) {
        crate::logs::debug!("no way to a neighbour is found");
        self.stats.dead = self.stats.dead.wrapping_add(1);
        self.warm.retain(|(warm, _)| *warm != ip);
        if self.dead.is_full() {
            self.dead.remove(0);
        }
        let _ = self.dead.push((ip, secs(now).saturating_add(SILENCE_SECS)));
    }

    /// Waits until there is a datagram to receive, or a neighbour has answered, or, if `drained` is wanted, until the send
    /// queue is empty.
    pub(crate) async fn ready(&mut self, receive: bool, drained: bool) {
        poll_fn(|context| {
            let received = receive && self.queue.socket.poll_recv_ready(context).is_ready();
            let drained = drained && self.queue.poll_drained(context).is_ready();
            let answered = self.neighbours.poll_answer(context).is_ready();
            if received || drained || answered { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl kad_upkeep::Link for Link {
    /// The stack is locked meanwhile.
    fn receive<T>(&mut self, now: Instant, take: impl FnOnce(SocketAddr, &[u8]) -> T) -> Option<T> {
        let (mut taken, mut heard) = (None, None);
        {
            let received = pin!(self.queue.socket.recv_from_with(|datagram, meta| {
                let from = socket_address(meta.endpoint)?;
                heard = Some(from.ip());
                taken = Some(take(from, datagram));
                Some(())
            }));
            let _ = received.poll(&mut Context::from_waker(Waker::noop()));
        }
        if let Some(ip) = heard {
            self.warm_up(now, ip);
        }
        taken
    }

    fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let ip = to.ip();
        self.handle_timeout(now);
        if self.dead.iter().any(|(dead, _)| *dead == ip) {
            self.stats.suppressed = self.stats.suppressed.wrapping_add(1);
            return Sent::Done;
        }
        let is_warm =
            self.warm.iter().any(|(warm, since)| *warm == ip && secs(now) < since.saturating_add(WARMTH_SECS));
        if is_warm { self.queue(now, to, datagram) } else { self.hold(now, to, datagram) }
    }
}

/// Seconds of the node's clock: 136 years fit, and half as much room is needed.
fn secs(now: Instant) -> u32 {
    u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

/// `None` for a family that this stack does not speak.
fn endpoint(address: SocketAddr) -> Option<IpEndpoint> {
    let ip = match address.ip() {
        #[cfg(feature = "proto-ipv4")]
        IpAddr::V4(ip) => IpAddress::Ipv4(ip),
        #[cfg(feature = "proto-ipv6")]
        IpAddr::V6(ip) => IpAddress::Ipv6(ip),
        #[allow(unreachable_patterns, reason = "with both families there is no other")]
        _ => return None,
    };
    Some(IpEndpoint::new(ip, address.port()))
}

fn socket_address(endpoint: IpEndpoint) -> Option<SocketAddr> {
    let ip = match endpoint.addr {
        #[cfg(feature = "proto-ipv4")]
        IpAddress::Ipv4(ip) => IpAddr::V4(ip),
        #[cfg(feature = "proto-ipv6")]
        IpAddress::Ipv6(ip) => IpAddr::V6(ip),
        #[allow(unreachable_patterns, reason = "with both families there is no other")]
        _ => return None,
    };
    Some(SocketAddr::new(ip, endpoint.port))
}
