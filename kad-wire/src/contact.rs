//! Where a node is: endpoints, contacts, and lists of them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::key::NodeId;
use crate::limits::CONTACT_LEN;

/// A UDP address in the one form that the wire knows: 16 bytes of IP (IPv4 as `::ffff:a.b.c.d`) and a port.
///
/// Built from a [`SocketAddr`], which makes an IPv4 address and its mapped IPv6 form equal. Flow label and scope are
/// dropped: an address that needs a scope is not [usable](Self::is_usable) for anybody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// The IP address, IPv4 mapped.
    pub ip: [u8; 16],
    /// The UDP port.
    pub port: u16,
}

/// What an IPv4 address begins with in its mapped form.
const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Endpoint {
    /// No address at all.
    pub const UNSPECIFIED: Self = Self { ip: [0; 16], port: 0 };

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ip: *reader.array()?, port: u16::from_le_bytes(*reader.array()?) })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.bytes(&self.ip)?;
        writer.bytes(&self.port.to_le_bytes())
    }

    /// The address with IPv4 as such.
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from_octets(self.ip).to_canonical()
    }

    /// Whether this is an IPv4 address.
    pub fn is_v4(&self) -> bool {
        self.ip.starts_with(&V4_MAPPED)
    }

    /// Whether a node may keep this address and tell it to others: it has a port and is neither unspecified, multicast,
    /// broadcast, reserved nor link-local IPv6 (which means nothing without a scope).
    pub fn is_usable(&self) -> bool {
        let [.., first_of_v4, _, _, _] = self.ip;
        let ip = if self.is_v4() {
            (1..224).contains(&first_of_v4)
        } else {
            let ip = Ipv6Addr::from_octets(self.ip);
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local())
        };
        ip && self.port != 0
    }

    /// Whether the address is one of the open Internet's: usable, and neither loopback, private, shared (RFC 6598),
    /// link-local, documentation nor unique-local.
    pub fn is_global(&self) -> bool {
        let ip = match self.ip() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                let shared = a == 100 && b & 0xc0 == 64;
                !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_documentation() || shared)
            }
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                !(ip.is_loopback() || ip.is_unique_local() || (a == 0x2001 && b == 0xdb8))
            }
        };
        ip && self.is_usable()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip(), endpoint.port)
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

/// A node and where it is reached: what the paper calls a triple of IP address, port and node id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Contact {
    /// Who.
    pub id: NodeId,
    /// Where.
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
        // In one go: most of what a server writes is contacts.
        let (id, endpoint) = writer.array::<CONTACT_LEN>()?.split_first_chunk_mut()?;
        let (ip, port) = endpoint.split_first_chunk_mut()?;
        *id = *self.id.as_bytes();
        *ip = self.endpoint.ip;
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

/// A list of contacts as it stands in a datagram: nothing is copied until one is read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Contacts<'a> {
    rows: &'a [[u8; CONTACT_LEN]],
}

impl<'a> Contacts<'a> {
    /// The list that fills `bytes`, if they are a whole number of contacts.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.as_chunks() {
            (rows, []) => Some(Self { rows }),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.rows.as_flattened()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The contacts, in the order of the datagram.
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
        for text in ["127.0.0.1:1", "10.0.0.1:1", "[::1]:1", "[fd00::1]:1", "8.8.8.8:53"] {
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
}
