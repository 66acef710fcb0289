//! Where the node's datagrams go in this home.

use std::net::SocketAddr;

use kad_record::Recorder;
use kad_upkeep::Outlet;
use kad_wire::Digest;

use crate::socket::Socket;
use crate::tasks::Pinned;

/// The socket, the values that are not in the store, and who writes everything down.
pub(crate) struct Home<'a> {
    pinned: &'a Pinned,
    socket: &'a mut Socket,
    recorder: Option<&'a mut Recorder>,
    /// Datagrams that were sent through this.
    pub(crate) sent: u32,
}

impl<'a> Home<'a> {
    pub(crate) fn new(pinned: &'a Pinned, socket: &'a mut Socket, recorder: Option<&'a mut Recorder>) -> Self {
        Self { pinned, socket, recorder, sent: 0 }
    }
}

impl Outlet for Home<'_> {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.socket.queue(to, datagram);
        self.sent += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(to, datagram);
        }
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
