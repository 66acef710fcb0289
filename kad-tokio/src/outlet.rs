//! Where the node's datagrams go in this home.

use std::net::SocketAddr;

use kad_core::{Transmit, Via};
use kad_record::Recorder;

use crate::socket::{Local, Outgoing, Source};

/// A queue of datagrams, and who writes down what goes there.
pub(crate) struct Outlet<'a> {
    queue: &'a mut Outgoing,
    recorder: Option<&'a mut Recorder>,
    /// Datagrams that were sent through this.
    pub(crate) sent: u32,
}

impl<'a> Outlet<'a> {
    pub(crate) fn new(queue: &'a mut Outgoing, recorder: Option<&'a mut Recorder>) -> Self {
        Self { queue, recorder, sent: 0 }
    }

    /// Sends the answer to a datagram.
    pub(crate) fn answer(&mut self, source: Source, via: Via, datagram: &[u8]) {
        self.queue.answer(source, datagram);
        self.note(source.from, via, datagram);
    }

    /// Sends what the node has to send.
    pub(crate) fn send(&mut self, transmit: &Transmit, local: Local, datagram: &[u8]) {
        self.queue.send(transmit.to, local, datagram);
        self.note(transmit.to, transmit.via, datagram);
    }

    fn note(&mut self, to: SocketAddr, via: Via, datagram: &[u8]) {
        self.sent += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(to, via, datagram);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}
