//! The one module that knows embassy-net: sockets that no neighbour can block.
//!
//! smoltcp keeps a datagram for a neighbour that does not answer ARP (or neighbour discovery) at the head of its socket's
//! queue, and everything behind it waits for as long as that neighbour is gone. And it asks for one neighbour a second, so
//! that even those who are there wait for each other. In a network of nodes that come and go both are no rare events.
//!
//! Therefore datagrams for addresses that were heard from a moment ago, whose hardware addresses are known, go through one
//! socket, and the first for any other address through one of a few more, which have nothing else to do until it is gone.
//! What does not move for the send deadline is given up with its address, to which nothing is sent for a while unless it is
//! heard from.

mod lane;
mod neighbours;

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::runner::Options;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use heapless::Vec;
use kad_wire::Instant;

use lane::{Lane, Offered};

pub use neighbours::{NeighbourDriver, Neighbours};

/// Sockets for addresses that were not heard from: as many requests as a lookup sends at a time.
pub(crate) const COLD: usize = 3;
/// Bytes of the largest datagram to an address that was not heard from: a request that is no STORE.
pub const COLD_DATAGRAM: usize = 512;
/// Sockets that a node needs of its stack.
pub const SOCKETS: usize = 1 + COLD;

/// Addresses whose hardware addresses are taken as known.
const WARM: usize = 24;
/// For how long they are, since they were heard from: ten seconds less than smoltcp remembers them.
const WARMTH: Duration = Duration::from_secs(50);
/// Places for addresses that were found dead. More of them at a time only cost more send deadlines.
const DEAD: usize = 8;
/// For how long nothing is sent to an address that was found dead.
const SILENCE: Duration = Duration::from_secs(20);

/// What a link counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LinkStats {
    /// Addresses that were given up because no way to them was found in time.
    pub dead: u32,
    /// Datagrams that were not sent because their address had been given up a moment ago.
    pub suppressed: u32,
    /// Datagrams that were not sent because too many new addresses were waited for, or because they were too large for an
    /// address that had not been heard from.
    pub crowded: u32,
    /// Datagrams that the stack refused: no route, or no address of its own.
    pub refused: u32,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// It is on its way, or lost: there is nothing more to do.
    Done,
    /// Not now: ask again when the link is [ready](Link::ready), with this datagram.
    Full,
}

/// Buffers of the sockets.
pub(crate) struct SocketBuffers {
    pub(crate) receive_meta: &'static mut [PacketMetadata],
    pub(crate) receive: &'static mut [u8],
    pub(crate) send_meta: &'static mut [PacketMetadata],
    pub(crate) send: &'static mut [u8],
    pub(crate) cold: &'static mut [ColdBuffer],
}

/// The send buffer of a socket for an address that was not heard from. Opaque: made by [`EMPTY`](Self::EMPTY).
pub struct ColdBuffer {
    meta: [PacketMetadata; 1],
    bytes: [u8; COLD_DATAGRAM],
}

impl ColdBuffer {
    /// An unused buffer.
    pub const EMPTY: Self = Self { meta: [PacketMetadata::EMPTY; 1], bytes: [0; COLD_DATAGRAM] };
}

/// See the [module](self).
pub(crate) struct Link {
    stack: Stack<'static>,
    neighbours: Option<&'static Neighbours>,
    main: Lane,
    cold: Vec<Lane, COLD>,
    port: u16,
    deadline: Duration,
    warm: Vec<(IpAddr, Instant), WARM>,
    dead: Vec<(IpAddr, Instant), DEAD>,
    stats: LinkStats,
}

impl Link {
    /// Sockets that are not open yet.
    pub(crate) fn new(stack: Stack<'static>, options: &Options<'_>, buffers: SocketBuffers) -> Self {
        let SocketBuffers { receive_meta, receive, send_meta, send, cold } = buffers;
        let main = Lane::new(UdpSocket::new(stack, receive_meta, receive, send_meta, send));
        // A datagram that comes goes to the first socket of its port: the others only send.
        let cold = cold.iter_mut().map(|ColdBuffer { meta, bytes }| {
            Lane::new(UdpSocket::new(stack, &mut [], &mut [], &mut meta[..], &mut bytes[..]))
        });
        Self {
            stack,
            neighbours: options.neighbours,
            main,
            cold: cold.take(COLD).collect(),
            port: options.port,
            deadline: options.send_deadline,
            warm: Vec::new(),
            dead: Vec::new(),
            stats: LinkStats::default(),
        }
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut Lane> {
        core::iter::once(&mut self.main).chain(&mut self.cold)
    }

    /// Opens the sockets. Answers whether that went well.
    pub(crate) fn open(&mut self) -> bool {
        let port = self.port;
        self.lanes().all(|lane| lane.open(port))
    }

    /// Closes the sockets; what they hold is lost.
    pub(crate) fn close(&mut self) {
        self.lanes().for_each(Lane::close);
    }

    pub(crate) const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// Hands a datagram that has come to `take`, without copying it. The stack is locked meanwhile.
    pub(crate) fn receive<R>(&mut self, now: Instant, take: impl FnOnce(SocketAddr, &[u8]) -> R) -> Option<R> {
        let (mut taken, mut heard) = (None, None);
        {
            let received = pin!(self.main.socket.recv_from_with(|datagram, meta| {
                let from = socket_address(meta.endpoint)?;
                heard = Some(from.ip());
                taken = Some(take(from, datagram));
                Some(())
            }));
            let _ = received.poll(&mut Context::from_waker(Waker::noop()));
        }
        if let Some(ip) = heard {
            self.dead.retain(|(dead, _)| *dead != ip);
            self.warm_up(now, ip);
        }
        taken
    }

    /// Notes that an address was reached.
    fn warm_up(&mut self, now: Instant, ip: IpAddr) {
        if let Some((_, since)) = self.warm.iter_mut().find(|(warm, _)| *warm == ip) {
            *since = now;
            return;
        }
        if self.warm.is_full() {
            let oldest = self.warm.iter().enumerate().min_by_key(|(_, (_, since))| *since);
            let oldest = oldest.map_or(0, |(place, _)| place);
            self.warm.swap_remove(oldest);
        }
        let _ = self.warm.push((ip, now));
    }

    /// Sends a datagram.
    pub(crate) fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let ip = to.ip();
        self.handle_timeout(now);
        if self.dead.iter().any(|(dead, _)| *dead == ip) {
            self.stats.suppressed = self.stats.suppressed.wrapping_add(1);
            return Sent::Done;
        }
        let Some(endpoint) = endpoint(to) else { return self.refused() };
        let is_warm = self.warm.iter().any(|(warm, since)| *warm == ip && now < *since + WARMTH);
        if !is_warm {
            return self.send_cold(now, endpoint, ip, datagram);
        }
        match self.main.offer(now, endpoint, ip, datagram) {
            Offered::Taken => Sent::Done,
            Offered::Full => Sent::Full,
            Offered::Refused => self.refused(),
        }
    }

    fn send_cold(&mut self, now: Instant, endpoint: IpEndpoint, ip: IpAddr, datagram: &[u8]) -> Sent {
        if let Some(neighbours) = self.neighbours {
            neighbours.ask(&self.stack, ip);
        }
        let place = self.cold.iter().position(|lane| lane.waits_for(ip));
        let place = place.or_else(|| self.cold.iter().position(Lane::is_free));
        let lane = place.and_then(|place| self.cold.get_mut(place));
        match lane.map(|lane| lane.offer(now, endpoint, ip, datagram)) {
            Some(Offered::Taken) => Sent::Done,
            Some(Offered::Refused) if datagram.len() <= COLD_DATAGRAM => self.refused(),
            _ => {
                self.stats.crowded = self.stats.crowded.wrapping_add(1);
                Sent::Done
            }
        }
    }

    fn refused(&mut self) -> Sent {
        self.stats.refused = self.stats.refused.wrapping_add(1);
        Sent::Done
    }

    /// When something that does not move is given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let first = self.cold.iter().find_map(Lane::waits_since);
        let since = self.main.waits_since().into_iter().chain(first).min();
        since.map(|since| since + self.deadline)
    }

    /// Looks at what has gone out, and gives up what has not moved for too long.
    ///
    /// smoltcp asks for one neighbour a second, and serves its sockets in order: the first that waits gets its turn, and the
    /// others may only wait for that one. Their time begins when they are first.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.dead.retain(|(_, until)| now < *until);
        let (port, deadline) = (self.port, self.deadline);
        let (mut drained, mut stuck) = (Vec::<IpAddr, SOCKETS>::new(), Vec::<IpAddr, SOCKETS>::new());
        let mut is_first = true;
        for (place, lane) in self.lanes().enumerate() {
            if let Some(ip) = lane.take_drained() {
                let _ = drained.push(ip);
                continue;
            }
            if place > 0 && !lane.is_free() && !core::mem::replace(&mut is_first, false) {
                lane.restart(now);
            }
            if let Some(ip) = lane.stuck(now, deadline) {
                lane.close();
                lane.open(port);
                let _ = stuck.push(ip);
            }
        }
        drained.into_iter().for_each(|ip| self.warm_up(now, ip));
        stuck.into_iter().for_each(|ip| self.give_up(now, ip));
    }

    fn give_up(&mut self, now: Instant, ip: IpAddr) {
        crate::logs::debug!("no way to a neighbour is found");
        self.stats.dead = self.stats.dead.wrapping_add(1);
        self.warm.retain(|(warm, _)| *warm != ip);
        if self.dead.is_full() {
            self.dead.remove(0);
        }
        let _ = self.dead.push((ip, now + SILENCE));
    }

    /// Waits until there is a datagram to receive, or, if `drained` is wanted, until the send queue is empty.
    pub(crate) async fn ready(&mut self, receive: bool, drained: bool) {
        poll_fn(|context| {
            let received = receive && self.main.socket.poll_recv_ready(context).is_ready();
            let drained = drained && self.main.poll_drained(context).is_ready();
            if received || drained { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
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
