//! The addresses of this host, and when they may have changed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// An address of the Internet of each family, to ask for the way there. They belong to nobody (RFC 5737, RFC 3849), and nothing is
/// sent.
const FAR_AWAY: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// What this host can be called by.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Paths {
    /// Addresses of links that are up, but those of loopback and of single links.
    addresses: BTreeSet<IpAddr>,
    /// Those of them that it calls the Internet from.
    sources: BTreeSet<IpAddr>,
}

impl Paths {
    pub(super) fn read() -> Self {
        let sources = FAR_AWAY.iter().filter_map(|(any, far)| {
            let socket = UdpSocket::bind((*any, 0)).ok()?;
            socket.connect((*far, 9)).ok()?;
            Some(socket.local_addr().ok()?.ip())
        });
        Self { addresses: addresses(), sources: sources.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.sources.is_empty()
    }

    /// Addresses that the other does not have.
    pub(super) fn without(&self, other: &Self) -> Vec<IpAddr> {
        let all = |paths: &Self| &paths.addresses | &paths.sources;
        (&all(self) - &all(other)).into_iter().collect()
    }
}

#[cfg(unix)]
fn addresses() -> BTreeSet<IpAddr> {
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;
    let Ok(all) = getifaddrs() else { return BTreeSet::new() };
    let is_up = |flags: InterfaceFlags| {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        flags.contains(up) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let address = one.address.filter(|_| is_up(one.flags))?;
        let (v4, v6) = (address.as_sockaddr_in(), address.as_sockaddr_in6());
        let ip = v4.map(|v4| IpAddr::V4(v4.ip())).or_else(|| v6.map(|v6| IpAddr::V6(v6.ip())))?;
        let is_of_link = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        // One of which it is not known yet whether another host has it cannot be used, and comes later.
        (!is_of_link && UdpSocket::bind((ip, 0)).is_ok()).then_some(ip)
    };
    all.filter_map(address).collect()
}

/// Elsewhere the addresses that the Internet is called from must do.
#[cfg(not(unix))]
fn addresses() -> BTreeSet<IpAddr> {
    BTreeSet::new()
}

/// Says when addresses, links or ways may have changed.
pub(super) enum Notices {
    #[cfg(target_os = "linux")]
    Told(linux::Netlink),
    Polled,
}

impl Notices {
    pub(super) fn new() -> Self {
        #[cfg(target_os = "linux")]
        match linux::Netlink::open() {
            Ok(netlink) => return Self::Told(netlink),
            // systemd's RestrictAddressFamilies= may not know of it.
            Err(error) => tracing::info!(%error, "no netlink: the addresses of this host are looked at now and then"),
        }
        Self::Polled
    }

    /// Waits until there may be something new.
    pub(super) async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Told(netlink) = self {
            match netlink.next().await {
                Ok(()) => return,
                Err(error) => tracing::info!(%error, "netlink broke: addresses are looked at now and then"),
            }
            *self = Self::Polled;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How often addresses are looked at where nobody says that they have changed.
const POLL: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsRawFd as _;

    use nix::libc;
    use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
    use tokio::net::unix::pipe::Receiver;

    /// Changes of links, addresses and routes (rtnetlink(7)). What they are is not read: the system is asked how it is now.
    const GROUPS: i32 = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE;

    /// What the kernel says of the network, from a socket that the runtime reads like a pipe.
    pub(in crate::host) struct Netlink(Receiver);

    impl Netlink {
        pub(super) fn open() -> io::Result<Self> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS as u32))?;
            Ok(Self(Receiver::from_owned_fd_unchecked(socket)?))
        }

        /// Waits for news, and takes all that there is.
        pub(super) async fn next(&self) -> io::Result<()> {
            let mut any = false;
            loop {
                self.0.readable().await?;
                match self.0.try_read(&mut [0; 8192]) {
                    Ok(_) => any = true,
                    // There was more than the socket holds.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && any => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_what_went_is_told_apart() {
        let paths = |last: u8| Paths { addresses: [IpAddr::from([10, 0, 0, last])].into(), ..Paths::default() };
        assert_eq!(paths(1).without(&paths(2)), [IpAddr::from([10, 0, 0, 1])]);
        assert!(paths(1).without(&paths(1)).is_empty() && Paths::default().is_empty() && !paths(1).is_empty());
        assert_eq!(Paths::read(), Paths::read());
    }
}
