//! Where a node that listens on some addresses can send to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use kad_wire::{Endpoint, Scope};

/// Why a node cannot send to an address from what it listens on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// The address is IPv6, and the node listens on IPv4 only.
    Ipv6,
    /// The address is IPv4, and the node listens on IPv6 only.
    Ipv4,
    /// The address is elsewhere, and the node listens on loopback only.
    Loopback,
    /// The address is link-local, and does not say on which link.
    Zone,
    /// The address is none that anything can be sent to: without a port, multicast, reserved.
    Unusable,
}

impl Unreachable {
    /// Returns why a node that listens on these addresses cannot send to another one; `None` if it can, for all that follows
    /// from the addresses.
    pub fn check(listen: &[SocketAddr], to: SocketAddr) -> Option<Self> {
        let mut why = None;
        for listen in listen {
            match check_one(*listen, to) {
                None => return None,
                // What says more: the family is right at least.
                Some(reason) => why = Some(if reason == Self::Loopback { reason } else { why.unwrap_or(reason) }),
            }
        }
        why
    }

    /// Returns what to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Ipv6 => "listen on IPv6 too: --listen [::]:PORT takes both families",
            Self::Ipv4 => {
                "listen on IPv4 too: --listen 0.0.0.0:PORT besides the IPv6 address, or [::]:PORT alone for both"
            }
            Self::Loopback => {
                "listen on an address of the network: --listen 0.0.0.0:PORT for all of IPv4, [::]:PORT for both families"
            }
            Self::Zone => "name the interface: [fe80::1%eth0]:PORT",
            Self::Unusable => "correct the address",
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv6 => "the address is IPv6, and the node listens on IPv4 only",
            Self::Ipv4 => "the address is IPv4, and the node listens on IPv6 only",
            Self::Loopback => "the address is on another host, and the node listens on loopback only",
            Self::Zone => "the address is link-local, and does not say on which interface",
            Self::Unusable => "nothing can be sent to such an address",
        })
    }
}

/// Looks up `address:port` or `name:port`. The zone of a link-local address may be the name of an interface:
/// `[fe80::1%eth0]:9000`.
///
/// # Errors
/// What the resolver says.
pub async fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    match zoned(name) {
        Some(place) => Ok(tokio::net::lookup_host(place).await?.collect()),
        None => Ok(tokio::net::lookup_host(name).await?.collect()),
    }
}

/// The parts of an address with a zone, which the system's resolver knows and the standard library's parser does not.
fn zoned(name: &str) -> Option<(&str, u16)> {
    let (host, port) = name.strip_prefix('[')?.split_once("]:")?;
    Some((host, port.parse().ok()?)).filter(|_| host.contains('%'))
}

/// Whether a socket on this address takes IPv4 too.
pub(crate) fn is_dual(listen: SocketAddr) -> bool {
    matches!(listen.ip(), IpAddr::V6(ip) if ip.is_unspecified())
}

/// Why a socket on one address cannot send to another one.
pub(crate) fn check_one(listen: SocketAddr, to: SocketAddr) -> Option<Unreachable> {
    let (from, to) = (Endpoint::from(listen), Endpoint::from(to));
    let to_v4 = to.is_v4();
    if from.is_v4() && !to_v4 {
        return Some(Unreachable::Ipv6);
    }
    if to_v4 && !from.is_v4() && !is_dual(listen) {
        return Some(Unreachable::Ipv4);
    }
    if !to.is_usable() {
        let zone = to.port != 0 && !to_v4 && to.scope() == Scope::Link;
        return Some(if zone { Unreachable::Zone } else { Unreachable::Unusable });
    }
    let elsewhere = !listen.ip().is_unspecified() && from.scope() == Scope::Loopback && to.scope() != Scope::Loopback;
    elsewhere.then_some(Unreachable::Loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &[&str], to: &str) -> Option<Unreachable> {
        let listen: Vec<_> = listen.iter().map(|text| text.parse().unwrap()).collect();
        Unreachable::check(&listen, to.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_may_name_its_interface() {
        let all: Vec<_> = ["[fe80::1%1]:9000", "[fe80::1%lo]:9000"].to_vec();
        for name in all.into_iter().take(if cfg!(target_os = "linux") { 2 } else { 1 }) {
            let found = resolve(name).await.unwrap();
            assert!(found.iter().all(|address| address.to_string() == "[fe80::1%1]:9000"), "{name}: {found:?}");
        }
        assert_eq!(resolve("127.0.0.1:9").await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
        assert!(resolve("[fe80::1%no-such-link]:9000").await.is_err());
    }

    #[test]
    fn what_cannot_be_reached_is_known_from_the_addresses() {
        const V4: &str = "9.9.9.9:9000";
        const V6: &str = "[2600::9]:9000";
        assert_eq!(check(&["0.0.0.0:9000"], V6), Some(Unreachable::Ipv6));
        assert_eq!(check(&["[2600::1]:9000"], V4), Some(Unreachable::Ipv4));
        assert_eq!(check(&["127.0.0.1:9000"], V4), Some(Unreachable::Loopback));
        assert_eq!(check(&["[::1]:9000", "0.0.0.0:9000"], V6), Some(Unreachable::Loopback));
        assert_eq!(check(&["127.0.0.1:9000"], V6), Some(Unreachable::Ipv6));
        assert_eq!(check(&["[::]:9000"], "[fe80::1]:9000"), Some(Unreachable::Zone));
        assert_eq!(check(&["[::]:9000"], "224.0.0.1:9000"), Some(Unreachable::Unusable));
        for (listen, to) in [
            (&["[::]:9000"][..], V4),
            (&["[::]:9000"], V6),
            (&["[::]:9000"], "[fe80::1%2]:9000"),
            (&["0.0.0.0:9000"], V4),
            (&["0.0.0.0:9000"], "127.0.0.1:9000"),
            (&["127.0.0.1:9000"], "127.0.0.1:9001"),
            (&["10.0.0.1:9000"], "127.0.0.1:9001"),
            (&["127.0.0.1:9000", "10.0.0.1:9000"], V4),
            (&["0.0.0.0:9000", "[2600::1]:9000"], V6),
        ] {
            assert_eq!(check(listen, to), None, "{listen:?} to {to}");
        }
    }
}
