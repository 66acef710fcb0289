//! All sockets of a worker: one for each address that the node listens on.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::task::Poll;

use super::refusal::Segments;
use super::{Incoming, Local, Outgoing, Read, Socket};
use crate::reach::check_one;
use crate::report::SocketStats;

/// The sockets, in the order of the addresses.
pub(crate) struct Sockets {
    all: Vec<Socket>,
    /// Which is read next: none waits for another for ever.
    next: usize,
}

impl Sockets {
    pub(super) fn new(all: Vec<Socket>) -> Self {
        Self { all, next: 0 }
    }

    /// Makes the sockets part of the runtime that this is called in.
    pub(crate) fn attach(&mut self) -> io::Result<()> {
        self.all.iter_mut().try_for_each(Socket::attach)
    }

    /// The addresses, which are the same for all workers.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().map(Socket::local_addr).collect()
    }

    /// Whether they reach IPv4, and IPv6.
    pub(crate) fn families(&self) -> (bool, bool) {
        self.all.iter().map(Socket::families).fold((false, false), |all, one| (all.0 | one.0, all.1 | one.1))
    }

    /// What they counted together.
    pub(crate) fn stats(&self) -> SocketStats {
        let mut stats = self.all.iter().map(|socket| *socket.stats());
        let mut all = stats.next().unwrap_or_default();
        stats.for_each(|other| all.add(&other));
        all
    }

    /// Bytes of the smallest receive buffer that the system granted.
    pub(crate) fn smallest_buffer(&self) -> usize {
        self.all.iter().map(|socket| socket.stats().receive_buffer).min().unwrap_or(0)
    }

    /// Datagrams of one size to one address that the system takes at a time.
    pub(crate) fn segments(&self) -> Segments {
        self.all.first().map(Socket::segments).unwrap_or_default()
    }

    /// Where datagrams were too large since this was asked last, and how many bytes are not.
    pub(crate) fn take_too_large(&mut self) -> Vec<(SocketAddr, usize)> {
        self.all.iter_mut().flat_map(Socket::take_too_large).collect()
    }

    /// Where datagrams are read to: memory that is taken for as long as they are looked at.
    pub(crate) fn incoming(&self) -> Incoming {
        Incoming::new(self.all.iter().map(Socket::segments_in).max().unwrap_or(1))
    }

    /// Waits until there is something to read, or one of them is broken.
    pub(crate) async fn readable(&mut self) {
        let pause = self.all.iter().filter_map(Socket::paused_until).min();
        let readable = poll_fn(|context| {
            let mut ready = self.all.iter_mut().map(|socket| socket.poll_readable(context)).filter(Poll::is_ready);
            ready.next().unwrap_or(Poll::Pending)
        });
        match pause {
            // One that is not read now is read then.
            Some(until) => drop(tokio::time::timeout_at(until.into(), readable).await),
            None => readable.await,
        }
    }

    /// Returns what one of them broke with, if it did: then nothing more will come or go there.
    pub(crate) fn broken(&mut self) -> Option<io::Error> {
        self.all.iter_mut().find_map(Socket::broken)
    }

    /// Reads the datagrams that wait at one of the sockets, as many as fit, and returns whether there were any.
    pub(crate) fn receive(&mut self, incoming: &mut Incoming, read: Read) -> bool {
        for _ in 0..self.all.len() {
            let place = self.next % self.all.len();
            self.next = place + 1;
            if self.all[place].receive(incoming, read) {
                incoming.came_to(place as u8);
                return true;
            }
        }
        false
    }

    /// Drops everything that is queued.
    pub(crate) fn withhold(&mut self, queue: &mut Outgoing) {
        if let Some(first) = self.all.first_mut() {
            first.withheld(queue.len());
        }
        queue.clear();
    }

    /// Sends everything that is queued, and waits where the system has no room.
    pub(crate) async fn flush(&mut self, queue: &mut Outgoing) {
        for send in queue.sends() {
            if let Some(socket) = self.all.get_mut(usize::from(send.socket)) {
                socket.send(send).await;
            }
        }
        queue.clear();
    }

    /// Makes the system refuse what this says.
    #[cfg(test)]
    pub(super) fn refuse(&mut self, refuse: fn(&super::Send<'_>) -> Option<io::Error>) {
        self.all.iter_mut().for_each(|socket| socket.refuse = Some(refuse));
    }

    /// Makes the first of them fail when it is read.
    #[cfg(test)]
    pub(super) fn fail_first(&mut self, errno: Option<i32>) {
        self.all[0].fault = errno;
    }

    /// From where to send to an address of which nothing else is known: from a socket that reaches it, and of several from the
    /// one that the system would choose.
    pub(crate) fn choose(&self, to: SocketAddr) -> Local {
        let able = || self.all.iter().enumerate().filter(|(_, socket)| check_one(socket.local_addr(), to).is_none());
        let place = match able().count() {
            0 => 0,
            1 => able().next().map_or(0, |(place, _)| place),
            _ => {
                let source = source_for(to);
                let at = |ip: IpAddr| Some(ip.to_canonical()) == source;
                let there = able().find(|(_, socket)| at(socket.local_addr().ip()));
                let anywhere = || able().find(|(_, socket)| socket.local_addr().ip().is_unspecified());
                there.or_else(anywhere).or_else(|| able().next()).map_or(0, |(place, _)| place)
            }
        };
        Local { socket: place as u8, ip: None }
    }
}

/// The address of this host from which the system sends to another one, if there is a way.
fn source_for(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Options, bind};
    use super::*;

    fn sockets(listen: &[SocketAddr]) -> Sockets {
        let options = Options { listen, bound: &[], workers: 1, buffer: 64 << 10, offload: true, steering: true };
        let mut sockets = bind(&options).unwrap().remove(0);
        sockets.attach().unwrap();
        sockets
    }

    #[tokio::test]
    async fn what_is_to_leave_from_an_address_that_is_gone_leaves_from_another() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut sockets = sockets(&["0.0.0.0:0".parse().unwrap()]);
        let gone = Local { socket: 0, ip: Some("203.0.113.1".parse().unwrap()) };
        let mut queue = Outgoing::new(Segments::new(1));
        queue.send(receiver.local_addr().unwrap(), gone, b"late");
        sockets.flush(&mut queue).await;
        assert_eq!((receiver.recv(&mut [0; 9]).unwrap(), sockets.stats().send_errors), (4, 0));
    }

    #[tokio::test]
    async fn each_of_several_sockets_is_read_and_named() {
        let mut sockets = sockets(&["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()]);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addresses = sockets.addresses();
        for (place, address) in addresses.iter().enumerate() {
            sender.send_to(&[place as u8], address).unwrap();
        }
        let (mut incoming, mut came) = (sockets.incoming(), Vec::new());
        while came.len() < 2 {
            sockets.readable().await;
            while sockets.receive(&mut incoming, Read::WhenReady) {
                came.extend(incoming.datagrams().map(|(source, bytes)| (source.socket, bytes[0])));
            }
        }
        came.sort_unstable();
        assert_eq!(came, [(0, 0), (1, 1)]);
        assert_eq!(sockets.choose("127.0.0.9:9".parse().unwrap()).socket, 0);
    }
}
