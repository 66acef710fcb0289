//! smoltcp's interface, and sockets that no neighbour blocks for long.
//!
//! smoltcp keeps a datagram for a neighbour that does not answer ARP at the head of its socket's queue, and everything
//! behind it waits for as long as that neighbour is gone. And it asks for one neighbour a second, so that even those who
//! are there wait for each other. In a network of nodes that come and go both are no rare events.
//!
//! Therefore there are several sockets on the node's port. One receives; each of the others [sends](Sender) to one address
//! at a time, and the first of these only to addresses that were heard from a moment ago. Whoever blocks one is asked for
//! from here, as often as need be; and if that is in vain, this one socket is emptied, and nothing is sent to that address
//! for a while.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use heapless::Vec;
use kad_upkeep::Sent;
use kad_wire::Instant;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr};

use crate::arp;
use crate::memory::{RECEIVE, SENDERS, Sockets};
use crate::sender::{Offered, Sender, Stuck};

/// Addresses whose hardware addresses are taken as known: fewer than smoltcp remembers.
const WARM: usize = 24;
/// For how long they are, since they were heard from: ten seconds less than smoltcp remembers them.
const WARMTH: Duration = Duration::from_secs(50);
/// How long nothing is sent to an address that was found dead, unless it is heard from.
const SILENCE: Duration = Duration::from_secs(20);
/// Places for addresses that were found dead. More of them at a time only cost more questions.
const DEAD: usize = 8;

/// Where this host is in its network.
pub struct Network {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its address, and how many of the address's bits name the network.
    pub address: (Ipv4Addr, u8),
    /// Who forwards to other networks.
    pub gateway: Option<Ipv4Addr>,
}

/// What a link counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LinkStats {
    /// Questions for neighbours that were sent besides smoltcp's own.
    pub questions: u32,
    /// Times that a socket was opened anew because an address blocked it.
    pub resets: u32,
    /// Datagrams that were not sent because their address had blocked a socket a moment ago.
    pub suppressed: u32,
    /// Datagrams that were not sent because their neighbour, or too many new ones, were waited for.
    pub crowded: u32,
    /// Datagrams that smoltcp refused.
    pub refused: u32,
}

/// Who sends a datagram.
enum Choice {
    Sender(usize),
    /// Somebody, after the next [`poll`](Link::poll).
    Later,
    Nobody,
}

/// See the [module](self).
pub(crate) struct Link {
    interface: Interface,
    sockets: SocketSet<'static>,
    receiver: SocketHandle,
    senders: [Sender; SENDERS],
    mac: EthernetAddress,
    network: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
    /// Addresses that were heard from, and until when that counts: the oldest first.
    warm: Vec<(IpAddr, Instant), WARM>,
    /// Addresses to which nothing is sent, and until when.
    dead: Vec<(IpAddr, Instant), DEAD>,
    pub(crate) stats: LinkStats,
}

impl Link {
    pub(crate) fn new<D: Device>(
        now: Instant,
        device: &mut D,
        network: &Network,
        (port, random_seed): (u16, u64),
        memory: &'static mut Sockets,
    ) -> Self {
        let (mac, gateway) = (EthernetAddress(network.mac), network.gateway);
        let network = Ipv4Cidr::new(network.address.0, network.address.1);
        let Sockets { storage, receive_meta, receive, send_meta, send } = memory;
        let mut sockets = SocketSet::new(&mut storage.init_with(|| [SocketStorage::EMPTY; _])[..]);
        // It is the first of the set: smoltcp gives a datagram to the first socket of a port.
        let receive_meta = receive_meta.init_with(|| [PacketMetadata::EMPTY; _]);
        let mut receiver = Socket::new(PacketBuffer::new(&mut receive_meta[..], &mut receive[..]), nothing());
        // See `Sender::open`.
        let _ = receiver.bind(port);
        let receiver = sockets.add(receiver);
        let send_meta = send_meta.init_with(|| [[PacketMetadata::EMPTY; _]; _]);
        let mut parts = send_meta.iter_mut().zip(send);
        let senders = core::array::from_fn(|_| {
            let buffer = parts.next().map(|(meta, bytes)| PacketBuffer::new(&mut meta[..], &mut bytes[..]));
            Sender::new(&mut sockets, Socket::new(nothing(), buffer.unwrap_or_else(nothing)), port)
        });
        Self {
            interface: interface(now, device, (mac, network, gateway), random_seed),
            sockets,
            receiver,
            senders,
            mac,
            network,
            gateway,
            warm: Vec::new(),
            dead: Vec::new(),
            stats: LinkStats::default(),
        }
    }

    /// Receives and sends frames, and gives up what does not move. Answers whether a frame came.
    pub(crate) fn poll<D: Device>(&mut self, now: Instant, device: &mut D) -> bool {
        let time = smoltcp_time(now);
        let mut heard = false;
        self.interface.poll_maintenance(time);
        // No more than the socket has room for: the rest waits in the device until the node has read these.
        for _ in 0..RECEIVE {
            let received = self.interface.poll_ingress_single(time, device, &mut self.sockets);
            if received == PollIngressSingleResult::None {
                break;
            }
            heard = true;
        }
        while self.interface.poll_egress(time, device, &mut self.sockets) == PollResult::SocketStateChanged {}
        // What still waits then waits for a neighbour, unless the device has no room.
        let busy = device.transmit(time).is_none();
        for index in 0..SENDERS {
            match self.senders[index].watch(now, &mut self.sockets, busy) {
                Some(Stuck::Ask(ip)) => self.ask(now, device, ip),
                Some(Stuck::Dead(ip)) => self.give_up(now, ip),
                None => {}
            }
        }
        heard
    }

    /// Asks for the neighbour on the way to an address.
    fn ask<D: Device>(&mut self, now: Instant, device: &mut D, ip: IpAddr) {
        let IpAddr::V4(to) = ip else { return };
        let hop = if self.network.contains_addr(&to) { Some(to) } else { self.gateway };
        if let Some(hop) = hop {
            self.stats.questions = self.stats.questions.wrapping_add(1);
            arp::ask(smoltcp_time(now), device, (self.mac, self.network.address()), hop);
        }
    }

    fn give_up(&mut self, now: Instant, ip: IpAddr) {
        self.stats.resets = self.stats.resets.wrapping_add(1);
        push(&mut self.dead, (ip, now + SILENCE));
    }

    /// When [`poll`](Self::poll) has something to do, if no frame comes before.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        let interface = self.interface.poll_at(smoltcp_time(now), &self.sockets);
        let interface = interface.map(|at| Instant::from_micros(at.total_micros().unsigned_abs()));
        self.senders.iter().filter_map(Sender::next).chain(interface).min()
    }

    /// Who sends to an address: nobody, if that would mean to wait for a neighbour. The datagram is lost then, and the node
    /// sends it once more.
    fn choose(&self, now: Instant, ip: IpAddr) -> Choice {
        if let Some(place) = self.senders.iter().position(|sender| sender.holds_for(ip)) {
            return if self.senders[place].is_stuck() { Choice::Nobody } else { Choice::Sender(place) };
        }
        let is_warm = self.warm.iter().any(|(warm, until)| *warm == ip && now < *until);
        let first = if is_warm { 0 } else { 1 };
        let senders = &self.senders[first..];
        match senders.iter().position(Sender::is_free) {
            Some(place) => Choice::Sender(first + place),
            None if senders.iter().all(Sender::is_stuck) => Choice::Nobody,
            None => Choice::Later,
        }
    }
}

impl kad_upkeep::Link for Link {
    fn receive<T>(&mut self, now: Instant, take: impl FnOnce(SocketAddr, &[u8]) -> T) -> Option<T> {
        let (datagram, meta) = self.sockets.get_mut::<Socket<'_>>(self.receiver).recv().ok()?;
        let from = SocketAddr::from(meta.endpoint);
        let taken = take(from, datagram);
        let ip = from.ip();
        self.dead.retain(|(dead, _)| *dead != ip);
        self.warm.retain(|(warm, _)| *warm != ip);
        push(&mut self.warm, (ip, now + WARMTH));
        Some(taken)
    }

    fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let ip = to.ip();
        if self.dead.iter().any(|(dead, until)| *dead == ip && now < *until) {
            self.stats.suppressed = self.stats.suppressed.wrapping_add(1);
            return Sent::Done;
        }
        let offered = match self.choose(now, ip) {
            Choice::Sender(place) => self.senders[place].offer(now, &mut self.sockets, to, datagram),
            Choice::Later => Offered::Full,
            Choice::Nobody => {
                self.stats.crowded = self.stats.crowded.wrapping_add(1);
                return Sent::Done;
            }
        };
        match offered {
            Offered::Taken => Sent::Done,
            Offered::Full => Sent::Full,
            Offered::Refused => {
                self.stats.refused = self.stats.refused.wrapping_add(1);
                Sent::Done
            }
        }
    }
}

/// Adds an entry to a list; the oldest makes room.
fn push<const N: usize>(list: &mut Vec<(IpAddr, Instant), N>, entry: (IpAddr, Instant)) {
    if list.is_full() {
        list.remove(0);
    }
    let _ = list.push(entry);
}

fn interface<D: Device>(
    now: Instant,
    device: &mut D,
    (mac, network, gateway): (EthernetAddress, Ipv4Cidr, Option<Ipv4Addr>),
    random_seed: u64,
) -> Interface {
    let mut config = Config::new(mac.into());
    config.random_seed = random_seed;
    let mut interface = Interface::new(config, device, smoltcp_time(now));
    // There is room for at least one of each.
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::Ipv4(network));
    });
    if let Some(gateway) = gateway {
        let _ = interface.routes_mut().add_default_ipv4_route(gateway);
    }
    interface
}

/// The buffer of a socket's other direction.
fn nothing() -> PacketBuffer<'static> {
    PacketBuffer::new(&mut [][..], &mut [][..])
}

fn smoltcp_time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
