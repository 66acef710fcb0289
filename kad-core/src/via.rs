//! Through which of its own addresses a node heard somebody, and where it must answer from.

use core::net::SocketAddr;

/// Names one of the node's own addresses, as its owner numbers them: a socket, and where that listens on several addresses,
/// one of these. The node does not look into it. It remembers through which one it heard somebody, and hands it back with
/// what it sends there, because others answer only the address that they know and routers pass only answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Via(pub u8);

impl Via {
    /// Whichever the system chooses; the only one of a node with one address.
    pub const ANY: Self = Self(0);
}

/// Where a datagram came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The source address of the datagram.
    pub address: SocketAddr,
    /// The address of this node that it was sent to.
    pub via: Via,
}

impl From<SocketAddr> for Sender {
    fn from(address: SocketAddr) -> Self {
        Self { address, via: Via::ANY }
    }
}
