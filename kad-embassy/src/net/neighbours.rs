//! Asking for hardware addresses, of many neighbours at a time.

use core::cell::RefCell;
use core::net::IpAddr;
use core::task::{Context, Poll};

use embassy_net::Stack;
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::CriticalSectionMutex;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Vec;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

/// Questions that wait for the driver, and answers that wait for the node.
const WAITING: usize = 8;

/// A question: this host's own address, and the neighbour's.
type Question = (IpAddr, IpAddr);

/// The neighbours that a node talks to, shared with the driver of its network chip.
///
/// smoltcp asks for one neighbour a second, and forgets each after a minute: a node that wants to talk to eight neighbours
/// after a quiet minute would wait for eight seconds, while its requests time out. What is asked for here is sent at once,
/// and answers are noticed. smoltcp takes them in as if it had asked itself.
///
/// ```ignore
/// static NEIGHBOURS: Neighbours = Neighbours::new();
/// let (stack, runner) = embassy_net::new(NEIGHBOURS.driver(device), config, resources, seed);
/// let (dht, node) = kad_embassy::start(&PLACE, stack, &NEIGHBOURS, parts, &options)?;
/// ```
pub struct Neighbours(CriticalSectionMutex<RefCell<Inner>>);

struct Inner {
    questions: Vec<Question, WAITING>,
    answers: Vec<IpAddr, WAITING>,
    waker: WakerRegistration,
    has_driver: bool,
}

impl Neighbours {
    /// Nobody is asked for.
    #[expect(clippy::new_without_default, reason = "it makes sense in a static only")]
    pub const fn new() -> Self {
        Self(CriticalSectionMutex::new(RefCell::new(Inner {
            questions: Vec::new(),
            answers: Vec::new(),
            waker: WakerRegistration::new(),
            has_driver: false,
        })))
    }

    /// The driver for [`embassy_net::new`]: the chip's own, which asks for neighbours besides.
    pub fn driver<D: Driver>(&'static self, chip: D) -> NeighbourDriver<D> {
        self.with(|inner| inner.has_driver = true);
        NeighbourDriver { chip, neighbours: self }
    }

    fn with<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        self.0.lock(|inner| look(&mut inner.borrow_mut()))
    }

    pub(crate) fn has_driver(&self) -> bool {
        self.with(|inner| inner.has_driver)
    }

    /// Asks for the neighbour on the way to an address, and says which that is.
    pub(crate) fn ask(&self, stack: &Stack<'static>, to: IpAddr) -> Option<IpAddr> {
        let question = question(stack, to)?;
        self.with(|inner| {
            if !inner.questions.contains(&question) {
                // No room: it will be asked again.
                let _ = inner.questions.push(question);
            }
        });
        Some(question.1)
    }

    fn next_question(&self) -> Option<Question> {
        self.with(|inner| inner.questions.pop())
    }

    /// The next neighbour that has said where it is.
    pub(crate) fn next_answer(&self) -> Option<IpAddr> {
        self.with(|inner| inner.answers.pop())
    }

    /// Waits until there is an answer.
    pub(crate) fn poll_answer(&self, context: &Context<'_>) -> Poll<()> {
        self.with(|inner| {
            if inner.answers.is_empty() {
                inner.waker.register(context.waker());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }

    fn answered(&self, ip: IpAddr) {
        self.with(|inner| {
            if !inner.answers.contains(&ip) {
                // No room: smoltcp knows it all the same.
                let _ = inner.answers.push(ip);
            }
            inner.waker.wake();
        });
    }
}

/// Who is to be asked for on the way to an address.
fn question(stack: &Stack<'static>, to: IpAddr) -> Option<Question> {
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
        while let Some(question) = self.neighbours.next_question() {
            // A chip without room is one lost packet.
            let Some(token) = self.chip.transmit(context) else { return };
            match question {
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
        = Heard<D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.ask(context);
        let (received, transmit) = self.chip.receive(context)?;
        Some((Heard { frame: received, neighbours: self.neighbours }, transmit))
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

/// A frame that has come, of which it is noticed who says where it is.
pub struct Heard<T> {
    frame: T,
    neighbours: &'static Neighbours,
}

impl<T: RxToken> RxToken for Heard<T> {
    fn consume<R, F>(self, take: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        self.frame.consume(|frame| {
            if let Some(ip) = answer(frame) {
                self.neighbours.answered(ip);
            }
            take(frame)
        })
    }
}

/// Who says in this frame where it is.
fn answer(frame: &[u8]) -> Option<IpAddr> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        #[cfg(feature = "proto-ipv4")]
        EthernetProtocol::Arp => arp::answer(frame.payload()),
        #[cfg(feature = "proto-ipv6")]
        EthernetProtocol::Ipv6 => ndisc::answer(frame.payload()),
        _ => None,
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
    use core::net::{IpAddr, Ipv4Addr};

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

    /// The sender of a request or an answer: smoltcp learns from both.
    pub(super) fn answer(payload: &[u8]) -> Option<IpAddr> {
        let packet = ArpPacket::new_checked(payload).ok()?;
        let ArpRepr::EthernetIpv4 { source_protocol_addr, .. } = ArpRepr::parse(&packet).ok()? else { return None };
        Some(source_protocol_addr.into())
    }
}

#[cfg(feature = "proto-ipv6")]
mod ndisc {
    use core::net::{IpAddr, Ipv6Addr};

    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscRepr};

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

    /// The sender of an advertisement.
    pub(super) fn answer(payload: &[u8]) -> Option<IpAddr> {
        let packet = Ipv6Packet::new_checked(payload).ok()?;
        if packet.next_header() != IpProtocol::Icmpv6 {
            return None;
        }
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        let spoken = [Icmpv6Message::NeighborAdvert, Icmpv6Message::NeighborSolicit].contains(&message.msg_type());
        spoken.then_some(packet.src_addr().into())
    }

    /// The group that listens for an address (RFC 4291, section 2.7.1), and its hardware address (RFC 2464, section 7).
    fn solicited_node(target: Ipv6Addr) -> (Ipv6Addr, EthernetAddress) {
        let [.., a, b, c] = target.octets();
        let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
        (group.into(), EthernetAddress([0x33, 0x33, 0xff, a, b, c]))
    }
}
