//! Where the node's datagrams go in this home.

use std::net::SocketAddr;

use kad_upkeep::Outlet;
use kad_wire::Digest;

use crate::socket::Socket;
use crate::tasks::Pinned;

/// The socket, and the values that are not in the store.
pub(crate) struct Home<'a> {
    pub(crate) pinned: &'a Pinned,
    pub(crate) socket: &'a mut Socket,
}

impl Outlet for Home<'_> {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.socket.queue(to, datagram);
    }

    fn aside(&mut self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        self.pinned.read(digest, offset, out)
    }

    fn is_full(&self) -> bool {
        self.socket.is_full()
    }

    fn hole_unfilled(&mut self) {
        self.socket.hole_unfilled();
    }
}
