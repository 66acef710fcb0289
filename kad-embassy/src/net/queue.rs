//! The socket's send queue, which only ever holds datagrams for one address: so it is known who blocks it.

use core::net::IpAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use embassy_net::IpEndpoint;
use embassy_net::udp::{SendError, UdpSocket};
use kad_wire::Instant;

/// What became of a datagram.
pub(crate) enum Offered {
    Taken,
    /// The queue is full, or holds another address's.
    Full,
    /// No route, no own address, or too large for the queue.
    Refused,
}

/// See the [module](self).
pub(crate) struct SendQueue {
    pub(crate) socket: UdpSocket<'static>,
    /// The address that the queue holds datagrams for, and when the queue last moved.
    queued: Option<(IpAddr, Instant)>,
    /// Whether it had no room when it was last asked.
    full: bool,
}

impl SendQueue {
    pub(crate) const fn new(socket: UdpSocket<'static>) -> Self {
        Self { socket, queued: None, full: false }
    }

    pub(crate) fn open(&mut self, port: u16) -> bool {
        self.socket.is_open() || self.socket.bind(port).is_ok()
    }

    /// Closes the socket; what it holds is lost.
    pub(crate) fn close(&mut self) {
        self.socket.close();
        (self.queued, self.full) = (None, false);
    }

    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.queued.map(|(_, since)| since)
    }

    /// Queues a datagram.
    pub(crate) fn offer(&mut self, now: Instant, to: IpEndpoint, ip: IpAddr, datagram: &[u8]) -> Offered {
        if self.queued.is_some_and(|(queued, _)| queued != ip) && !self.is_drained() {
            return Offered::Full;
        }
        let sent = self.socket.poll_send_to(datagram, to, &mut Context::from_waker(Waker::noop()));
        match sent {
            Poll::Ready(Ok(())) => {
                // There is room again: it moves.
                let moved = core::mem::replace(&mut self.full, false);
                let since = self.queued.filter(|_| !moved).map_or(now, |(_, since)| since);
                self.queued = Some((ip, since));
                Offered::Taken
            }
            Poll::Pending => {
                self.full = true;
                self.queued.get_or_insert((ip, now));
                Offered::Full
            }
            Poll::Ready(Err(SendError::NoRoute | SendError::SocketNotBound | SendError::PacketTooLarge)) => {
                Offered::Refused
            }
        }
    }

    pub(crate) fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()> {
        pin!(self.socket.flush()).poll(context)
    }

    /// Whether everything has gone out.
    fn is_drained(&mut self) -> bool {
        let drained = self.poll_drained(&mut Context::from_waker(Waker::noop())).is_ready();
        if drained {
            (self.queued, self.full) = (None, false);
        }
        drained
    }

    /// The address whose datagrams have not moved for the deadline.
    pub(crate) fn stuck(&mut self, now: Instant, deadline: Duration) -> Option<IpAddr> {
        let (ip, since) = self.queued?;
        (now >= since + deadline && !self.is_drained()).then_some(ip)
    }
}
