//! The source of an item: the prefix of the address that sent it. A store shares its capacity out by source.

use kad_wire::Endpoint;

/// The prefix of the address that sent an item, as long as one party is likely to have for itself: the /24 of a public IPv4
/// address, the /48 of a public IPv6 address. In private ranges each host is a source, since a whole local network has one
/// prefix there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Source(pub(crate) [u8; 8]);

/// The first byte of a source: a host of a private range, a prefix of IPv4, a prefix of IPv6.
const PRIVATE: u8 = 1;
const V4: u8 = 4;
const V6: u8 = 6;

impl Source {
    /// The source of this node's own items.
    pub(crate) const NONE: Self = Self([0; 8]);

    /// Returns the source that an address belongs to; [`NONE`](Self::NONE) for an unspecified address.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        if *endpoint == Endpoint::UNSPECIFIED {
            return Self::NONE;
        }
        let ip = &endpoint.ip;
        Self(match (endpoint.is_global(), endpoint.is_v4()) {
            (true, true) => [V4, ip[12], ip[13], ip[14], 0, 0, 0, 0],
            (true, false) => [V6, ip[0], ip[1], ip[2], ip[3], ip[4], ip[5], 0],
            // Two hosts whose folded addresses are equal share what one host would have, which harms no other source.
            (false, _) => {
                let folded = |at: usize| ip[at] ^ ip[at + 8];
                [PRIVATE, folded(1), folded(2), folded(3), folded(4), folded(5), folded(6), folded(7)]
            }
        })
    }

    /// Returns the wide prefix that contains this one: the /16 of an IPv4 address, the /32 of an IPv6 address. Returns a host of
    /// a private range unchanged.
    pub(crate) fn wide(self) -> Self {
        let [kind, a, b, c, d, ..] = self.0;
        match kind {
            V4 => Self([kind, a, b, 0, 0, 0, 0, 0]),
            V6 => Self([kind, a, b, c, d, 0, 0, 0]),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, SocketAddr};

    use super::*;

    fn source(ip: &str) -> Source {
        Source::of(&SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 9000).into())
    }

    #[test]
    fn public_addresses_count_by_prefix_in_two_tiers() {
        assert_eq!(source("8.8.8.8"), source("8.8.8.9"));
        assert_ne!(source("8.8.8.8"), source("8.8.9.8"));
        assert_eq!(source("8.8.8.8").wide(), source("8.8.9.8").wide());
        assert_ne!(source("8.8.8.8").wide(), source("8.9.8.8").wide());
        assert_eq!(source("2a00:1:2:3::1"), source("2a00:1:2:4::1"));
        assert_ne!(source("2a00:1:2:3::1"), source("2a00:1:3:3::1"));
        assert_eq!(source("2a00:1:2:3::1").wide(), source("2a00:1:3:3::1").wide());
        assert_ne!(source("2a00:1:2:3::1").wide(), source("2a00:2:2:3::1").wide());
    }

    #[test]
    fn each_host_of_a_private_range_is_a_source_of_its_own() {
        for (one, other) in [("10.0.0.1", "10.0.0.2"), ("192.168.1.1", "192.168.1.2"), ("fd00::1", "fd00::2")] {
            assert_ne!(source(one), source(other));
            assert_ne!(source(one).wide(), source(other).wide());
        }
        assert_eq!(Source::of(&Endpoint::UNSPECIFIED), Source::NONE);
    }
}
