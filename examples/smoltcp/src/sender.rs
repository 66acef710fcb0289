//! A socket that only sends, and holds datagrams for one address at a time: so it is known who blocks it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use kad_wire::Instant;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{SendError, Socket};

/// How often the neighbour that blocks a socket is asked for: a question may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long a socket may stand still. A neighbour that is there has answered by then.
const DEADLINE: Duration = Duration::from_millis(400);

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offered {
    Taken,
    /// No room.
    Full,
    /// smoltcp does not send such a thing.
    Refused,
}

/// What is to be done about a socket that stands still.
pub(crate) enum Stuck {
    /// Ask for the neighbour on the way to this address.
    Ask(IpAddr),
    /// Take this address for dead: what waited for it is lost.
    Dead(IpAddr),
}

/// What a socket holds.
struct Queued {
    ip: IpAddr,
    bytes: usize,
    /// When it last moved.
    since: Instant,
    ask_at: Instant,
    /// Whether its neighbour is waited for.
    stuck: bool,
}

/// See the [module](self).
pub(crate) struct Sender {
    socket: SocketHandle,
    port: u16,
    queued: Option<Queued>,
}

impl Sender {
    /// Adds a socket to the set.
    pub(crate) fn new(sockets: &mut SocketSet<'static>, socket: Socket<'static>, port: u16) -> Self {
        let mut sender = Self { socket: sockets.add(socket), port, queued: None };
        sender.open(sockets);
        sender
    }

    fn open(&mut self, sockets: &mut SocketSet<'static>) {
        // A closed socket can be bound to any port but 0, which sends nothing: that is counted as refused.
        let _ = sockets.get_mut::<Socket<'_>>(self.socket).bind(self.port);
    }

    pub(crate) const fn is_free(&self) -> bool {
        self.queued.is_none()
    }

    pub(crate) fn holds_for(&self, ip: IpAddr) -> bool {
        self.queued.as_ref().is_some_and(|queued| queued.ip == ip)
    }

    /// Whether it waits for a neighbour.
    pub(crate) fn is_stuck(&self) -> bool {
        self.queued.as_ref().is_some_and(|queued| queued.stuck)
    }

    /// Takes a datagram for the address that others wait for, or for any if there are none.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'static>,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Offered {
        // The node knows that there is no IPv6 here.
        let SocketAddr::V4(address) = to else { return Offered::Refused };
        let socket = sockets.get_mut::<Socket<'_>>(self.socket);
        match socket.send_slice(datagram, address) {
            Ok(()) => {
                let bytes = socket.send_queue();
                let ip = to.ip();
                let queued = self.queued.get_or_insert(Queued { ip, bytes, since: now, ask_at: now, stuck: false });
                queued.bytes = bytes;
                Offered::Taken
            }
            Err(SendError::BufferFull) => Offered::Full,
            Err(SendError::Unaddressable) => Offered::Refused,
        }
    }

    /// To be called when smoltcp has sent what it can send: as much as the device took, if that is `busy`.
    pub(crate) fn watch(&mut self, now: Instant, sockets: &mut SocketSet<'static>, busy: bool) -> Option<Stuck> {
        let queued = self.queued.as_mut()?;
        let (ip, bytes) = (queued.ip, sockets.get::<Socket<'_>>(self.socket).send_queue());
        if bytes == 0 {
            self.queued = None;
            return None;
        }
        if bytes < queued.bytes || busy {
            (queued.bytes, queued.since) = (bytes, now);
        }
        if busy {
            return None;
        }
        queued.stuck = true;
        if now >= queued.since + DEADLINE {
            self.reopen(sockets);
            return Some(Stuck::Dead(ip));
        }
        (now >= queued.ask_at).then(|| {
            queued.ask_at = now + ASK_AGAIN;
            Stuck::Ask(ip)
        })
    }

    /// Opens the socket anew; what it holds is lost.
    fn reopen(&mut self, sockets: &mut SocketSet<'static>) {
        sockets.get_mut::<Socket<'_>>(self.socket).close();
        // The set remembers for up to a second that this socket waits for a neighbour, but not once it was taken out. It
        // comes back to its old place, behind the socket that receives.
        let socket = sockets.remove(self.socket);
        self.socket = sockets.add(socket);
        self.open(sockets);
        self.queued = None;
    }

    /// When there is something to [watch](Self::watch), if nothing moves before.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queued.as_ref().map(|queued| queued.ask_at.min(queued.since + DEADLINE))
    }
}
