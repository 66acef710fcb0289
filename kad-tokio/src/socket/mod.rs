//! The UDP socket of a worker: batches of datagrams in, batches out.

mod all;
mod bind;
mod errors;
mod incoming;
mod locals;
mod outgoing;
mod probe;
mod refusal;
mod steering;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn_udp::UdpSocketState;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::report::SocketStats;

pub(crate) use all::Sockets;
pub(crate) use bind::{DOUBLED, Options, bind};
use errors::Trouble;
pub(crate) use incoming::{Incoming, Source};
pub(crate) use locals::{Local, Locals};
pub(crate) use outgoing::Outgoing;
use outgoing::Send;
pub use probe::{SocketProbe, probe_sockets};
pub(crate) use refusal::{Segments, payload};

/// Largest datagram that is written or, where the system does not join datagrams, received.
pub(crate) const DATAGRAM: usize = 4096;

/// How long the system may have no room for a datagram.
const SEND_WAIT: Duration = Duration::from_secs(1);

/// When to read.
#[derive(Clone, Copy)]
pub(crate) enum Read {
    /// If the runtime knows that there is something.
    WhenReady,
    /// Whatever it knows.
    Now,
}

/// A socket.
pub(crate) struct Socket {
    udp: Option<UdpSocket>,
    std: Option<std::net::UdpSocket>,
    state: UdpSocketState,
    address: SocketAddr,
    is_v6: bool,
    dual: bool,
    /// Whether the system may be asked to join and to split datagrams.
    offload: bool,
    /// How many it takes together.
    segments: Segments,
    /// Where datagrams were too large, and how many bytes are not.
    too_large: Vec<(SocketAddr, usize)>,
    /// Whether the last read left nothing.
    drained: bool,
    /// Reading goes on after this long, and not before: the system reports errors instead of datagrams.
    trouble: Trouble,
    /// What the socket broke with.
    broken: Option<io::Error>,
    #[cfg(test)]
    fault: Option<i32>,
    stats: SocketStats,
    /// What a test has the system say.
    #[cfg(test)]
    refuse: Option<fn(&Send<'_>) -> Option<io::Error>>,
}

impl Socket {
    /// Makes the socket part of the runtime that this is called in.
    pub(crate) fn attach(&mut self) -> io::Result<()> {
        if let Some(std) = self.std.take() {
            self.udp = Some(UdpSocket::from_std(std)?);
        }
        Ok(())
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it reaches IPv4, and IPv6.
    pub(crate) fn families(&self) -> (bool, bool) {
        (!self.is_v6 || self.dual, self.is_v6)
    }

    pub(crate) fn stats(&self) -> &SocketStats {
        &self.stats
    }

    /// Datagrams of one size to one address that the system takes at a time.
    pub(crate) fn segments(&self) -> Segments {
        self.segments.clone()
    }

    /// Where datagrams were too large since this was asked last, and how many bytes are not.
    pub(crate) fn take_too_large(&mut self) -> Vec<(SocketAddr, usize)> {
        std::mem::take(&mut self.too_large)
    }

    /// Datagrams that the system joins on their way in.
    fn segments_in(&self) -> usize {
        if self.offload { self.state.gro_segments() } else { 1 }
    }

    /// Returns when it is read again, if it is not read now.
    fn paused_until(&self) -> Option<Instant> {
        self.trouble.until.filter(|until| *until > Instant::now())
    }

    /// Ready when there is something to read, or the socket is broken.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &self.udp {
            Some(udp) if self.paused_until().is_none() => udp.poll_recv_ready(context).map(|ready| {
                if let Err(error) = ready {
                    self.broken.get_or_insert(error);
                }
            }),
            _ => Poll::Pending,
        }
    }

    /// Returns what the socket broke with, if it did: then nothing more will come or go.
    pub(crate) fn broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Reads waiting datagrams, as many as fit, and returns whether there were any.
    pub(crate) fn receive(&mut self, incoming: &mut Incoming, read: Read) -> bool {
        incoming.clear();
        if std::mem::take(&mut self.drained) || self.paused_until().is_some() {
            return false;
        }
        let Some(udp) = self.udp.as_ref() else { return false };
        #[cfg(test)]
        let fault = self.fault;
        let mut take = || {
            #[cfg(test)]
            if let Some(errno) = fault {
                return Err(io::Error::from_raw_os_error(errno));
            }
            incoming.read(&self.state, udp)
        };
        loop {
            let read = match read {
                Read::WhenReady => udp.try_io(Interest::READABLE, &mut take),
                Read::Now => take(),
            };
            match read {
                Ok(bytes) => {
                    self.trouble = Trouble::default();
                    self.stats.bytes_in += bytes as u64;
                    if !incoming.is_full() {
                        // That was all: the runtime is told so without another call to the system. Should a datagram have come
                        // since, the system wakes it again.
                        let _ = udp.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                        self.drained = true;
                    }
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if errors::is_end_of_socket(&error) => {
                    self.broken.get_or_insert(error);
                    return false;
                }
                // What an earlier datagram ran into, on systems that report it here; or the system is short of something.
                Err(error) => {
                    tracing::debug!(%error, "receive");
                    self.stats.receive_errors += 1;
                    self.stats.receive_pauses += u64::from(self.trouble.goes_on());
                    return false;
                }
            }
        }
    }

    /// Counts datagrams that were not sent.
    fn withheld(&mut self, datagrams: usize) {
        self.stats.withheld += datagrams as u64;
    }

    /// Sends datagrams of one size to one address; one by one if the system does not take them together.
    async fn send(&mut self, send: Send<'_>) {
        let Err(error) = self.transmit(&send).await else { return };
        if send.count() == 1 {
            return self.failed(&send, &error);
        }
        self.stats.offload_refused += 1;
        let mut too_large = refusal::is_too_large(&error);
        for single in send.singly() {
            if let Err(error) = self.transmit(&single).await {
                too_large |= refusal::is_too_large(&error);
                self.failed(&single, &error);
            }
        }
        if refusal::is_no_offload(&error) && !too_large && self.segments.limit(1) {
            tracing::warn!(%error, to = %send.to, "the system does not split datagrams: from now on each is sent by itself");
        }
    }

    fn failed(&mut self, send: &Send<'_>, error: &io::Error) {
        if errors::is_end_of_socket(error) {
            let again = || error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.broken.get_or_insert_with(again);
        }
        tracing::debug!(to = %send.to, len = send.bytes.len(), %error, "send");
        self.stats.send_errors += 1;
        if refusal::is_too_large(error) {
            self.stats.too_large += 1;
            let len = send.bytes.len();
            let known = self.too_large.iter().any(|(to, bytes)| *to == send.to && *bytes < len);
            if !known {
                let bytes = payload(send.to).filter(|bytes| *bytes < len).unwrap_or(len - 1);
                self.too_large.push((send.to, bytes));
            }
        }
    }

    /// Sends, from another address of this host if the one that is wanted is gone.
    async fn transmit(&mut self, send: &Send<'_>) -> io::Result<()> {
        match self.transmit_from(send, send.from).await {
            Err(error) if send.from.is_some() && is_gone(&error) => self.transmit_from(send, None).await,
            result => result,
        }
    }

    async fn transmit_from(&mut self, send: &Send<'_>, from: Option<IpAddr>) -> io::Result<()> {
        #[cfg(test)]
        if let Some(error) = self.refuse.and_then(|refuse| refuse(send)) {
            return Err(error);
        }
        let Some(udp) = &self.udp else { return Err(io::ErrorKind::NotConnected.into()) };
        let transmit = quinn_udp::Transmit {
            destination: if self.is_v6 { mapped(send.to) } else { send.to },
            ecn: None,
            contents: send.bytes,
            segment_size: (send.count() > 1).then_some(send.segment),
            src_ip: from,
        };
        loop {
            match udp.try_io(Interest::WRITABLE, || self.state.try_send(udp.into(), &transmit)) {
                Ok(()) => {
                    self.stats.bytes_out += send.bytes.len() as u64;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stats.send_waits += 1;
                    // What it does not take in this time is lost like any datagram.
                    tokio::time::timeout(SEND_WAIT, udp.writable()).await??;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What systems say of an address to send from that this host does not have. Linux says it as if there was no way; if there is
/// none indeed, it says so again.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | InvalidInput | NetworkUnreachable)
}

/// An IPv6 socket takes IPv4 addresses in their mapped form only.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()).into(),
        v6 @ SocketAddr::V6(_) => v6,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const PIECE: usize = 200;
    const ANY: Local = Local { socket: 0, ip: None };

    /// The sockets of a node with two workers, and one that hears what they send.
    fn sockets(refuse: fn(&Send<'_>) -> Option<io::Error>) -> (Vec<Sockets>, std::net::UdpSocket) {
        let listen = &[SocketAddr::from(([127, 0, 0, 1], 0))];
        let options = Options { listen, bound: &[], workers: 2, buffer: 64 << 10, offload: true, steering: true };
        let mut sockets = bind(&options).unwrap();
        for socket in &mut sockets {
            socket.attach().unwrap();
            socket.refuse(refuse);
        }
        let hearer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        hearer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (sockets, hearer)
    }

    /// Sends datagrams of these lengths, and returns the lengths of those that arrive.
    async fn send(socket: &mut Sockets, hearer: &std::net::UdpSocket, lens: &[usize], arriving: usize) -> Vec<usize> {
        let mut queue = Outgoing::new(socket.segments());
        lens.iter().for_each(|len| queue.send(hearer.local_addr().unwrap(), ANY, &vec![0x84; *len]));
        socket.flush(&mut queue).await;
        let mut buffer = [0; 4096];
        (0..arriving).map(|_| hearer.recv(&mut buffer).unwrap()).collect()
    }

    fn system(code: i32) -> Option<io::Error> {
        Some(io::Error::from_raw_os_error(code))
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_link_that_does_not_split_is_asked_once_by_a_node() {
        let (mut sockets, hearer) = sockets(|send| if send.count() > 1 { system(nix::libc::EIO) } else { None });
        assert!(sockets[0].segments().get() > 1, "this system splits datagrams");
        let mut waiting = Outgoing::new(sockets[1].segments());
        for _ in 0..3 {
            assert_eq!(
                send(&mut sockets[0], &hearer, &[PIECE; 4], 4).await,
                [PIECE; 4],
                "what failed together is sent"
            );
        }
        assert_eq!(sockets[0].stats().offload_refused, 1, "it is not asked again");
        // Neither by another worker, and a queue that was there before.
        for _ in 0..4 {
            waiting.send(hearer.local_addr().unwrap(), ANY, &[0x84; PIECE]);
        }
        sockets[1].flush(&mut waiting).await;
        assert_eq!((sockets[1].stats().offload_refused, sockets[1].stats().send_errors), (0, 0));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_too_large_is_told_and_the_rest_of_its_group_is_sent() {
        let (mut sockets, hearer) =
            sockets(|send| if send.bytes.len() > 1000 { system(nix::libc::EMSGSIZE) } else { None });
        let arrived = send(&mut sockets[0], &hearer, &[1200, 1200, 1200, 800], 1).await;
        assert_eq!(arrived, [800]);
        let to = hearer.local_addr().unwrap();
        assert_eq!(sockets[0].take_too_large(), [(to, 1199)], "once for all of them");
        assert_eq!((sockets[0].stats().too_large, sockets[0].stats().send_errors), (3, 3));
        assert!(sockets[0].segments().get() > 1, "that is no fault of the offload");
        assert!(sockets[0].take_too_large().is_empty());
    }

    /// One worker's sockets: the first of them is the one that fails.
    fn unsteered(addresses: usize) -> (Sockets, Incoming) {
        let listen: Vec<_> = (1..=addresses).map(|last| SocketAddr::from(([127, 0, 0, last as u8], 0))).collect();
        let options =
            Options { listen: &listen, bound: &[], workers: 1, buffer: 64 << 10, offload: false, steering: false };
        let mut sockets = bind(&options).unwrap().pop().unwrap();
        sockets.attach().unwrap();
        let incoming = sockets.incoming();
        (sockets, incoming)
    }

    const OUT_OF_MEMORY: i32 = 12;

    /// A datagram waits all the time, so that the system says that there is something to read.
    #[tokio::test]
    async fn a_socket_that_cannot_be_read_is_read_less_and_less_often_and_again_when_it_can() {
        let (mut sockets, mut incoming) = unsteered(1);
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"datagram", sockets.addresses()[0]).unwrap();
        let until = Instant::now() + Duration::from_millis(400);
        sockets.fail_first(Some(OUT_OF_MEMORY));
        while Instant::now() < until {
            sockets.readable().await;
            assert!(!sockets.receive(&mut incoming, Read::WhenReady));
        }
        let (errors, pauses) = (sockets.stats().receive_errors, sockets.stats().receive_pauses);
        assert!((2..20).contains(&errors) && pauses == errors - 1, "{errors} errors, {pauses} pauses");
        assert!(sockets.broken().is_none());
        sockets.fail_first(None);
        sockets.readable().await;
        assert!(sockets.receive(&mut incoming, Read::WhenReady));
        assert!(incoming.datagrams().map(|(_, bytes)| bytes).eq([b"datagram"]));
    }

    #[tokio::test]
    async fn one_of_several_sockets_that_cannot_be_read_does_not_hold_up_the_others() {
        let (mut sockets, mut incoming) = unsteered(2);
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"lost", sockets.addresses()[0]).unwrap();
        sockets.fail_first(Some(OUT_OF_MEMORY));
        // Until its pause is the longest.
        while sockets.stats().receive_pauses < 9 {
            sockets.readable().await;
            assert!(!sockets.receive(&mut incoming, Read::WhenReady));
        }
        let (begun, errors) = (Instant::now(), sockets.stats().receive_errors);
        for _ in 0..50 {
            peer.send_to(b"datagram", sockets.addresses()[1]).unwrap();
            while !sockets.receive(&mut incoming, Read::WhenReady) {
                sockets.readable().await;
            }
            assert!(incoming.datagrams().map(|(_, bytes)| bytes).eq([b"datagram"]));
        }
        // With a pause for each it would be a dozen seconds.
        assert!(begun.elapsed() < Duration::from_secs(5) && sockets.stats().receive_errors <= errors + 10);
    }

    #[tokio::test]
    async fn a_socket_that_is_none_any_more_is_broken() {
        for errno in errors::END {
            let (mut sockets, mut incoming) = unsteered(2);
            sockets.fail_first(Some(errno));
            assert!(!sockets.receive(&mut incoming, Read::Now));
            assert_eq!(sockets.broken().and_then(|error| error.raw_os_error()), Some(errno));
        }
    }
}
