//! Asking for hardware addresses, of many neighbours at a time.

use core::cell::RefCell;
use core::net::IpAddr;
use core::task::Context;

use embassy_net::Stack;
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, TxToken};
use embassy_sync::blocking_mutex::CriticalSectionMutex;
use heapless::Vec;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

/// Requests that wait for the driver.
const WAITING: usize = 4;

/// A request: this host's own address, and the neighbour's.
type Request = (IpAddr, IpAddr);

/// Neighbours whose hardware addresses a node wants to know, shared with the driver of its network chip.
///
/// smoltcp asks for one neighbour a second, and forgets each after a minute: a node that wants to talk to eight neighbours after
/// a quiet minute waits for eight seconds, while its requests time out. What is asked for here is sent at once. smoltcp
/// takes in the answers as if it had asked itself.
///
/// ```ignore
/// static NEIGHBOURS: Neighbours = Neighbours::new();
/// let (stack, runner) = embassy_net::new(NEIGHBOURS.driver(device), config, resources, seed);
/// let options = kad_embassy::Options { neighbours: Some(&NEIGHBOURS), ..Default::default() };
/// ```
pub struct Neighbours(CriticalSectionMutex<RefCell<Vec<Request, WAITING>>>);

impl Neighbours {
    /// Nobody is asked for.
    #[expect(clippy::new_without_default, reason = "it makes sense in a static only")]
    pub const fn new() -> Self {
        Self(CriticalSectionMutex::new(RefCell::new(Vec::new())))
    }

    /// The driver for [`embassy_net::new`]: the chip's own, which asks for neighbours besides.
    pub const fn driver<D: Driver>(&'static self, chip: D) -> NeighbourDriver<D> {
        NeighbourDriver { chip, neighbours: self }
    }

    /// Asks for a neighbour, or for the gateway on the way to an address.
    pub(crate) fn ask(&self, stack: &Stack<'static>, to: IpAddr) {
        if let Some(request) = request(stack, to) {
            // No room: there will be another datagram for it.
            let _ = self.0.lock(|waiting| waiting.borrow_mut().push(request));
        }
    }

    fn next(&self) -> Option<Request> {
        self.0.lock(|waiting| waiting.borrow_mut().pop())
    }
}

/// Who is to be asked for on the way to an address.
fn request(stack: &Stack<'static>, to: IpAddr) -> Option<Request> {
    match to {
        #[cfg(feature = "proto-ipv4")]
        IpAddr::V4(to) => {
            let config = stack.config_v4()?;
            let hop = if config.address.contains_addr(&to) { to } else { config.gateway? };
            Some((config.address.address().into(), hop.into()))
        }
        #[cfg(feature = "proto-ipv6")]
        IpAddr::V6(to) => {
            let config = stack.config_v6()?;
            let hop = if config.address.contains_addr(&to) { to } else { config.gateway? };
            Some((config.address.address().into(), hop.into()))
        }
        #[allow(unreachable_patterns, reason = "with both families there is no other")]
        _ => None,
    }
}

/// A network chip's driver that asks for neighbours besides. See [`Neighbours`].
pub struct NeighbourDriver<D> {
    chip: D,
    neighbours: &'static Neighbours,
}

impl<D: Driver> NeighbourDriver<D> {
    fn ask(&mut self, context: &mut Context<'_>) {
        let HardwareAddress::Ethernet(own) = self.chip.hardware_address() else { return };
        let own = EthernetAddress(own);
        while let Some(request) = self.neighbours.next() {
            // A chip without room is one lost packet.
            let Some(token) = self.chip.transmit(context) else { return };
            match request {
                #[cfg(feature = "proto-ipv4")]
                (IpAddr::V4(ip), IpAddr::V4(target)) => arp::request(token, own, ip, target),
                #[cfg(feature = "proto-ipv6")]
                (IpAddr::V6(ip), IpAddr::V6(target)) => ndisc::solicit(token, own, ip, target),
                _ => {}
            }
        }
    }
}

impl<D: Driver> Driver for NeighbourDriver<D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.ask(context);
        self.chip.receive(context)
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.chip.transmit(context)
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.chip.link_state(context)
    }

    fn capabilities(&self) -> Capabilities {
        self.chip.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.chip.hardware_address()
    }
}

/// Sends an Ethernet frame.
fn send(
    token: impl TxToken,
    (from, to, protocol): (EthernetAddress, EthernetAddress, EthernetProtocol),
    len: usize,
    write: impl FnOnce(&mut [u8]),
) {
    token.consume(EthernetFrame::<&[u8]>::buffer_len(len), |buffer| {
        let mut frame = EthernetFrame::new_unchecked(buffer);
        frame.set_src_addr(from);
        frame.set_dst_addr(to);
        frame.set_ethertype(protocol);
        write(frame.payload_mut());
    });
}

#[cfg(feature = "proto-ipv4")]
mod arp {
    use core::net::Ipv4Addr;

    use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr};

    use super::{EthernetAddress, EthernetProtocol, TxToken, send};

    /// Who has that address? (RFC 826)
    pub(super) fn request(token: impl TxToken, own: EthernetAddress, ip: Ipv4Addr, target: Ipv4Addr) {
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: own,
            source_protocol_addr: ip,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        let head = (own, EthernetAddress::BROADCAST, EthernetProtocol::Arp);
        send(token, head, request.buffer_len(), |payload| request.emit(&mut ArpPacket::new_unchecked(payload)));
    }
}

#[cfg(feature = "proto-ipv6")]
mod ndisc {
    use core::net::Ipv6Addr;

    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr};

    use super::{EthernetAddress, EthernetProtocol, TxToken, send};

    /// Who has that address? (RFC 4861, section 4.3)
    pub(super) fn solicit(token: impl TxToken, own: EthernetAddress, ip: Ipv6Addr, target: Ipv6Addr) {
        let solicit = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
            target_addr: target,
            lladdr: Some(smoltcp::wire::RawHardwareAddress::from(own)),
        });
        let (group, to) = solicited_node(target);
        let head = Ipv6Repr {
            src_addr: ip,
            dst_addr: group,
            next_header: IpProtocol::Icmpv6,
            payload_len: solicit.buffer_len(),
            hop_limit: 255,
        };
        let len = head.buffer_len() + solicit.buffer_len();
        send(token, (own, to, EthernetProtocol::Ipv6), len, |payload| {
            let mut packet = Ipv6Packet::new_unchecked(payload);
            head.emit(&mut packet);
            let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
            solicit.emit(&ip, &group, &mut message, &ChecksumCapabilities::default());
        });
    }

    /// The group that listens for an address (RFC 4291, section 2.7.1), and its hardware address (RFC 2464, section 7).
    fn solicited_node(target: Ipv6Addr) -> (Ipv6Addr, EthernetAddress) {
        let [.., a, b, c] = target.octets();
        let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
        (group.into(), EthernetAddress([0x33, 0x33, 0xff, a, b, c]))
    }
}
