//! Where the node's datagrams go in this home.

use std::net::SocketAddr;

use kad_record::Recorder;

use crate::socket::Socket;

/// The socket, and who writes down what is sent through it.
pub(crate) struct Outlet<'a> {
    socket: &'a mut Socket,
    recorder: Option<&'a mut Recorder>,
    /// Datagrams that were sent through this.
    pub(crate) sent: u32,
}

impl<'a> Outlet<'a> {
    pub(crate) fn new(socket: &'a mut Socket, recorder: Option<&'a mut Recorder>) -> Self {
        Self { socket, recorder, sent: 0 }
    }

    pub(crate) fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.socket.queue(to, datagram);
        self.sent += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(to, datagram);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.socket.is_full()
    }
}
