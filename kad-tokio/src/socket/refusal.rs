//! What the system says when it does not send something.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
pub(crate) use linux::payload;
#[cfg(target_os = "linux")]
use linux::{NO_OFFLOAD, TOO_LARGE};
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::payload;
#[cfg(not(target_os = "linux"))]
use portable::{NO_OFFLOAD, TOO_LARGE};

/// Most datagrams that the system takes at a time: one number for all sockets and queues of a node, because what one of them
/// learns is true of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments(Arc<AtomicUsize>);

impl Segments {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(most)))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// No more than this from now on. Returns whether it was more.
    pub(crate) fn limit(&self, most: usize) -> bool {
        self.0.fetch_min(most, Ordering::Relaxed) > most
    }
}

/// Whether a datagram is larger than what the link, or the path as the system knows it, carries.
pub(super) fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| TOO_LARGE.contains(&code))
}

/// Whether the system, or a driver of its, does not split datagrams, whatever it had said before.
pub(super) fn is_no_offload(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| NO_OFFLOAD.contains(&code))
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::net::SocketAddr;

    /// Nodes find out by themselves what does not arrive.
    pub(super) const TOO_LARGE: [i32; 0] = [];
    pub(super) const NO_OFFLOAD: [i32; 0] = [];

    pub(crate) fn payload(_: SocketAddr) -> Option<usize> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use nix::libc;
    use nix::sys::socket::{getsockopt, sockopt};

    pub(super) const TOO_LARGE: [i32; 1] = [libc::EMSGSIZE];
    /// Drivers say the first; older systems the second of segments that are larger than the path.
    pub(super) const NO_OFFLOAD: [i32; 2] = [libc::EIO, libc::EINVAL];

    /// Bytes of IPv4 and UDP headers.
    const HEADERS: usize = 28;

    /// Bytes that a datagram to an address can have, as the system knows: from its link, and from routers that have sent ICMP.
    /// `None` for IPv6, where every path carries the largest datagrams of a node.
    pub(crate) fn payload(to: SocketAddr) -> Option<usize> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if !to.is_ipv4() {
            return None;
        }
        // Only a connected socket has a path to ask for. It sends nothing.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(to).ok()?;
        let mtu = usize::try_from(getsockopt(&socket, sockopt::IpMtu).ok()?).ok()?;
        mtu.checked_sub(HEADERS)
    }

    #[cfg(test)]
    mod tests {
        use super::payload;

        #[test]
        fn the_system_tells_what_a_path_carries() {
            assert!(payload(([127, 0, 0, 1], 9).into()).is_some_and(|bytes| bytes > 1232));
            assert!(payload("[::ffff:127.0.0.1]:9".parse().unwrap()).is_some());
            assert_eq!(payload("[::1]:9".parse().unwrap()), None);
        }
    }
}
