//! The UDP socket of a worker: batches of datagrams in, batches out.

mod bind;
mod incoming;
mod outgoing;
mod probe;
mod steering;

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::UdpSocketState;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::report::SocketStats;

pub(crate) use bind::{DOUBLED, Options, bind};
pub(crate) use incoming::{Incoming, Source};
pub(crate) use outgoing::Outgoing;
use outgoing::Send;
pub use probe::{SocketProbe, probe_sockets};

/// Largest datagram that is written or, where the system does not join datagrams, received.
pub(crate) const DATAGRAM: usize = 4096;

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
    /// Whether the last read left nothing.
    drained: bool,
    stats: SocketStats,
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
    pub(crate) fn segments(&self) -> usize {
        if self.offload { self.state.max_gso_segments() } else { 1 }
    }

    /// Where this socket's datagrams are read to: memory that is taken for as long as they are looked at.
    pub(crate) fn incoming(&self) -> Incoming {
        Incoming::new(if self.offload { self.state.gro_segments() } else { 1 })
    }

    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.udp {
            Some(udp) => udp.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads what there is, as much as fits, and says whether that was anything.
    pub(crate) fn receive(&mut self, incoming: &mut Incoming) -> bool {
        incoming.clear();
        if std::mem::take(&mut self.drained) {
            return false;
        }
        let Some(udp) = self.udp.as_ref() else { return false };
        loop {
            match udp.try_io(Interest::READABLE, || incoming.read(&self.state, udp)) {
                Ok(bytes) => {
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
                // What an earlier datagram ran into, on systems that report it here.
                Err(error) => {
                    tracing::debug!(%error, "receive");
                    self.stats.receive_errors += 1;
                    return false;
                }
            }
        }
    }

    /// Drops everything that is queued.
    pub(crate) fn withhold(&mut self, queue: &mut Outgoing) {
        self.stats.withheld += queue.len() as u64;
        queue.clear();
    }

    /// Sends everything that is queued, and waits where the system has no room.
    pub(crate) async fn flush(&mut self, queue: &mut Outgoing) {
        for send in queue.sends() {
            self.send(send).await;
        }
        queue.clear();
    }

    /// Sends datagrams of one size to one address; one by one if the system does not take them together.
    async fn send(&mut self, send: Send<'_>) {
        let Err(error) = self.transmit(&send).await else { return };
        if send.count() == 1 {
            return self.failed(&send, &error);
        }
        self.stats.offload_refused += 1;
        for single in send.singly() {
            if let Err(error) = self.transmit(&single).await {
                self.failed(&single, &error);
            }
        }
    }

    fn failed(&mut self, send: &Send<'_>, error: &io::Error) {
        tracing::debug!(to = %send.to, len = send.bytes.len(), %error, "send");
        self.stats.send_errors += 1;
    }

    async fn transmit(&mut self, send: &Send<'_>) -> io::Result<()> {
        let Some(udp) = &self.udp else { return Err(io::ErrorKind::NotConnected.into()) };
        let transmit = quinn_udp::Transmit {
            destination: if self.is_v6 { mapped(send.to) } else { send.to },
            ecn: None,
            contents: send.bytes,
            segment_size: (send.count() > 1).then_some(send.segment),
            src_ip: send.from,
        };
        loop {
            match udp.try_io(Interest::WRITABLE, || self.state.try_send(udp.into(), &transmit)) {
                Ok(()) => {
                    self.stats.bytes_out += send.bytes.len() as u64;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stats.send_waits += 1;
                    udp.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// An IPv6 socket takes IPv4 addresses in their mapped form only.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()).into(),
        v6 @ SocketAddr::V6(_) => v6,
    }
}
