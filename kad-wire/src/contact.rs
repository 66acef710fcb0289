//! Addresses of nodes: endpoints and their scopes, contacts, and lists of contacts.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::key::NodeId;
use crate::limits::CONTACT_LEN;

/// A UDP address as on the wire: 16 bytes of IP (IPv4 as `::ffff:a.b.c.d`, RFC 4291, section 2.5.5.2) and a port.
///
/// Made from a [`SocketAddr`]; an IPv4 address and its mapped IPv6 form are equal. The scope id of a link-local IPv6 address is kept
/// in four bytes of the address that are zero on the wire, so the same address on two links is two endpoints. Flow labels and
/// other scope ids are dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// The IP address, IPv4 mapped.
    pub ip: [u8; 16],
    /// The UDP port.
    pub port: u16,
}

/// The first bytes of a mapped IPv4 address.
const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Endpoint {
    /// No address.
    pub const UNSPECIFIED: Self = Self { ip: [0; 16], port: 0 };

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ip: *reader.array()?, port: u16::from_le_bytes(*reader.array()?) })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.bytes(&self.ip)?;
        writer.bytes(&self.port.to_le_bytes())
    }

    /// Returns the IP address, not mapped if it is IPv4.
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from_octets(self.ip).to_canonical()
    }

    /// Returns whether this is an IPv4 address.
    pub fn is_v4(&self) -> bool {
        self.ip.starts_with(&V4_MAPPED)
    }

    /// Returns whether a node may keep this address and send to it: it has a port, and is not unspecified, multicast, broadcast,
    /// reserved, nor link-local IPv6 on an unknown link.
    pub fn is_usable(&self) -> bool {
        let [.., first_of_v4, _, _, _] = self.ip;
        let ip = if self.is_v4() {
            (1..224).contains(&first_of_v4)
        } else {
            let ip = Ipv6Addr::from_octets(self.ip);
            !(ip.is_unspecified() || ip.is_multicast() || (ip.is_unicast_link_local() && self.link() == 0))
        };
        ip && self.port != 0
    }

    /// Returns whether the address is usable and of [global](Scope::Global) scope.
    pub fn is_global(&self) -> bool {
        self.is_usable() && self.scope() == Scope::Global
    }

    /// Returns the scope of the address.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.ip)
    }

    /// Returns whether to send this address to a node at `peer`: it is usable and its scope is at least the peer's. A link-local IPv6
    /// address is only for peers on the same link.
    pub fn is_for(&self, peer: &Self) -> bool {
        peer.audience().may_know(self)
    }

    /// Returns what decides which addresses a node at this one may be told of, to ask it of many.
    pub fn audience(&self) -> Audience {
        Audience { scope: self.scope(), link: self.link() }
    }

    /// Returns this address as received from a node at `peer`: a link-local IPv6 address is on the peer's link. `None`: the peer
    /// should not have sent it, so ignore it.
    pub fn named_by(&self, peer: &Self) -> Option<Self> {
        let meant = if self.is_link_local_v6() { self.on_link(peer.link()) } else { *self };
        meant.is_for(peer).then_some(meant)
    }

    /// Returns the address as on the wire: without the number of this host's link.
    #[must_use]
    pub fn without_link(&self) -> Self {
        if self.is_link_local_v6() { self.on_link(0) } else { *self }
    }

    fn is_link_local_v6(&self) -> bool {
        let [a, b, ..] = self.ip;
        a == 0xfe && b & 0xc0 == 0x80
    }

    /// Returns the link of a link-local IPv6 address, as the system numbers it; 0 if it is unknown, and for all other addresses.
    fn link(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.ip;
        if self.is_link_local_v6() { u32::from_be_bytes([a, b, c, d]) } else { 0 }
    }

    /// Returns this link-local IPv6 address on a link. Bits 10 to 63 of such an address are zero (RFC 4291, section 2.5.6).
    fn on_link(&self, link: u32) -> Self {
        let [a, _, _, _, _, _, _, _, host @ ..] = self.ip;
        let [l0, l1, l2, l3] = link.to_be_bytes();
        let [h0, h1, h2, h3, h4, h5, h6, h7] = host;
        Self { ip: [a, 0x80, 0, 0, l0, l1, l2, l3, h0, h1, h2, h3, h4, h5, h6, h7], port: self.port }
    }
}

/// The scope of an address, from the narrowest to the widest (cf. RFC 4007).
///
/// An address is useful only to nodes in its scope. So a node sends a peer only addresses whose scope is at least that of the peer's
/// address, and ignores others that it receives from the peer: see [`Endpoint::is_for`] and [`Endpoint::named_by`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// This host: `127.0.0.0/8`, `::1`.
    Loopback,
    /// One link: `169.254.0.0/16`, `fe80::/10`.
    Link,
    /// A private network: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918), `100.64.0.0/10` (RFC 6598), `fc00::/7`
    /// (RFC 4193), and the ranges for special purposes (RFC 6890).
    Private,
    /// The Internet.
    Global,
}

/// What a node must be sent addresses for: see [`Endpoint::is_for`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Audience {
    scope: Scope,
    link: u32,
}

impl Audience {
    /// Returns whether to send an address to this node.
    pub fn may_know(&self, address: &Endpoint) -> bool {
        let in_scope = || match address.link() {
            // The narrowest scope is within every other.
            0 => self.scope == Scope::Loopback || address.scope() >= self.scope,
            link => link == self.link,
        };
        address.is_usable() && in_scope()
    }
}

impl Scope {
    fn of(ip: &[u8; 16]) -> Self {
        if ip.starts_with(&V4_MAPPED) {
            let [.., a, b, c, _] = *ip;
            match (a, b, c) {
                (127, ..) => Self::Loopback,
                (169, 254, _) => Self::Link,
                (10, ..) | (192, 168, _) | (100, 64..=127, _) | (172, 16..=31, _) => Self::Private,
                // Documentation, benchmarks, protocol assignments: used in labs.
                (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => Self::Private,
                _ => Self::Global,
            }
        } else {
            let [a, b, c, d, ..] = *ip;
            match (a, b, c, d) {
                _ if Ipv6Addr::from_octets(*ip).is_loopback() => Self::Loopback,
                (0xfe, 0x80..=0xbf, ..) => Self::Link,
                (0x20, 0x01, 0x0d, 0xb8) => Self::Private,
                // Global unicast, and the well-known prefix of IPv4 translators (RFC 6052).
                (0x20..=0x3f, ..) | (0, 0x64, 0xff, 0x9b) => Self::Global,
                _ => Self::Private,
            }
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let endpoint = Self { ip: ip.octets(), port: address.port() };
        match address {
            SocketAddr::V6(v6) if endpoint.is_link_local_v6() => endpoint.on_link(v6.scope_id()),
            _ => endpoint,
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint.without_link().ip() {
            IpAddr::V6(ip) if endpoint.link() != 0 => SocketAddrV6::new(ip, endpoint.port, 0, endpoint.link()).into(),
            ip => Self::new(ip, endpoint.port),
        }
    }
}

impl From<(Ipv4Addr, u16)> for Endpoint {
    fn from((ip, port): (Ipv4Addr, u16)) -> Self {
        SocketAddr::from((ip, port)).into()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::from(*self), f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's id and address: the Kademlia paper's triple of IP address, UDP port and node id (section 2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Contact {
    /// The node's id.
    pub id: NodeId,
    /// Its address.
    pub endpoint: Endpoint,
}

impl Contact {
    fn read(row: &[u8; CONTACT_LEN]) -> Self {
        let mut reader = Reader::new(row);
        let mut contact = Self::default();
        if let (Ok(id), Ok(endpoint)) = (reader.array(), Endpoint::read(&mut reader)) {
            contact = Self { id: NodeId::from_bytes(*id), endpoint };
        }
        contact
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        // In one bounds check: most of the bytes that a server writes are contacts.
        let (id, endpoint) = writer.array::<CONTACT_LEN>()?.split_first_chunk_mut()?;
        let (ip, port) = endpoint.split_first_chunk_mut()?;
        *id = *self.id.as_bytes();
        *ip = self.endpoint.ip;
        if self.endpoint.is_link_local_v6() {
            *ip = self.endpoint.without_link().ip;
        }
        *port.first_chunk_mut()? = self.endpoint.port.to_le_bytes();
        Some(())
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.endpoint)
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A list of contacts in a datagram. Contacts are decoded as they are read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Contacts<'a> {
    rows: &'a [[u8; CONTACT_LEN]],
}

impl<'a> Contacts<'a> {
    /// Returns the list in `bytes`; `None` if they are not a whole number of contacts.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.as_chunks() {
            (rows, []) => Some(Self { rows }),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.rows.as_flattened()
    }

    /// Returns the number of contacts.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the contacts in the order of the datagram.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Contact> + 'a {
        self.rows.iter().map(Contact::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv4_address_and_its_mapped_form_are_one_endpoint() {
        assert_eq!(endpoint("192.0.2.7:9000"), endpoint("[::ffff:192.0.2.7]:9000"));
        assert_eq!(endpoint("192.0.2.7:9000").to_string(), "192.0.2.7:9000");
        assert!(endpoint("[::ffff:192.0.2.7]:9000").is_v4());
    }

    #[test]
    fn martians_are_not_usable() {
        for text in ["0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "240.0.0.1:1", "127.0.0.1:0"] {
            assert!(!endpoint(text).is_usable(), "{text}");
        }
        for text in ["[::]:1", "[ff02::1]:1", "[fe80::1]:1", "[::ffff:0.0.0.0]:1"] {
            assert!(!endpoint(text).is_usable(), "{text}");
        }
        for text in ["127.0.0.1:1", "10.0.0.1:1", "[::1]:1", "[fd00::1]:1", "[fe80::1%7]:1", "8.8.8.8:53"] {
            assert!(endpoint(text).is_usable(), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_the_open_internet_are_global() {
        for text in ["127.0.0.1:1", "10.0.0.1:1", "100.64.0.1:1", "[::1]:1", "[fd00::1]:1", "[2001:db8::1]:1"] {
            assert!(!endpoint(text).is_global(), "{text}");
        }
        assert!(endpoint("8.8.8.8:53").is_global() && endpoint("[2600::1]:53").is_global());
    }

    /// Addresses of each scope, from the narrowest to the widest.
    const SCOPES: [(Scope, &[&str]); 4] = [
        (Scope::Loopback, &["127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]),
        (Scope::Link, &["169.254.169.254:1"]),
        (
            Scope::Private,
            &[
                "10.0.0.1:1",
                "172.31.0.1:1",
                "192.168.1.1:1",
                "100.64.0.1:1",
                "100.127.9.9:1",
                "[fc00::1]:1",
                "[fdff::1]:1",
            ],
        ),
        (Scope::Global, &["8.8.8.8:1", "172.32.0.1:1", "100.128.0.1:1", "[2600::1]:1", "[64:ff9b::808:808]:1"]),
    ];

    #[test]
    fn an_address_is_sent_and_accepted_only_in_its_scope() {
        for (of_peer, peers) in SCOPES {
            for (scope, addresses) in SCOPES {
                for (peer, address) in
                    peers.iter().flat_map(|peer| addresses.iter().map(move |address| (*peer, *address)))
                {
                    let (peer, address) = (endpoint(peer), endpoint(address));
                    assert_eq!((peer.scope(), address.scope()), (of_peer, scope), "{peer}, {address}");
                    assert_eq!(address.is_for(&peer), scope >= of_peer, "{address} to {peer}");
                    assert_eq!(address.named_by(&peer), (scope >= of_peer).then_some(address), "{address} by {peer}");
                }
            }
        }
    }

    #[test]
    fn a_link_local_address_is_of_its_link_alone() {
        let (here, there, peer) = (endpoint("[fe80::1%7]:1"), endpoint("[fe80::1%8]:1"), endpoint("[fe80::2%7]:2"));
        assert_ne!(here, there);
        assert_eq!(SocketAddr::from(here).to_string(), "[fe80::1%7]:1");
        assert!(here.is_for(&peer) && !there.is_for(&peer) && !here.is_for(&endpoint("[::1]:1")));
        assert!(endpoint("10.0.0.1:1").is_for(&peer) && !endpoint("[::1]:1").is_for(&peer));
        // On the wire it has no link; a reader puts it on the link of the sender, also if the sender has written another.
        let mut bytes = [0; CONTACT_LEN];
        let contact = Contact { id: NodeId::from_bytes([1; 32]), endpoint: here };
        contact.write(&mut Writer::new(&mut bytes)).unwrap();
        let read = Contact::read(&bytes).endpoint;
        assert_eq!((read, read.is_usable()), (endpoint("[fe80::1]:1"), false));
        for named in [read, there] {
            assert_eq!(named.named_by(&peer), Some(here));
            assert!(
                ["8.8.8.8:1", "10.0.0.1:1", "127.0.0.1:1"].iter().all(|by| named.named_by(&endpoint(by)).is_none())
            );
        }
    }
}
