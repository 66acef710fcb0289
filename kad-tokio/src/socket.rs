//! The UDP socket: batches of datagrams in, a queue of datagrams out.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Type};
use tokio::net::UdpSocket;

use crate::error::StartError;
use crate::report::SocketStats;

/// Largest datagram that is received.
pub(crate) const DATAGRAM: usize = 4096;
/// Datagrams that are queued before they are sent.
const QUEUE: usize = 64;

/// A socket and what waits to be sent through it.
pub(crate) struct Socket {
    udp: Option<UdpSocket>,
    std: Option<std::net::UdpSocket>,
    address: SocketAddr,
    is_v6: bool,
    dual: bool,
    stats: SocketStats,
    /// Queued datagrams, one after the other.
    bytes: Vec<u8>,
    queue: Vec<(SocketAddr, usize)>,
}

impl Socket {
    /// Opens the socket. It becomes part of a runtime only in [`attach`](Self::attach), on the thread that will use it.
    pub(crate) fn bind(listen: SocketAddr, buffer: usize) -> Result<Self, StartError> {
        let bind = || -> io::Result<Self> {
            let socket = socket2::Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
            let dual = matches!(listen.ip(), IpAddr::V6(ip) if ip.is_unspecified());
            if listen.is_ipv6() {
                socket.set_only_v6(!dual)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&listen.into())?;
            // The system grants what it allows; what that was is read back.
            let _ = socket.set_recv_buffer_size(buffer);
            let _ = socket.set_send_buffer_size(buffer);
            let stats = SocketStats {
                receive_buffer: socket.recv_buffer_size()?,
                send_buffer: socket.send_buffer_size()?,
                ..SocketStats::default()
            };
            if stats.receive_buffer < buffer {
                tracing::warn!(
                    granted = stats.receive_buffer,
                    wanted = buffer,
                    "the receive buffer is smaller than asked for: sysctl -w net.core.rmem_max={buffer}"
                );
            }
            let std = std::net::UdpSocket::from(socket);
            let address = std.local_addr()?;
            let (bytes, queue) = (Vec::new(), Vec::with_capacity(QUEUE));
            Ok(Self { udp: None, std: Some(std), address, is_v6: listen.is_ipv6(), dual, stats, bytes, queue })
        };
        bind().map_err(|source| StartError::Bind { address: listen, source })
    }

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

    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.udp {
            Some(udp) => udp.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads a datagram, if there is one.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let udp = self.udp.as_ref()?;
        loop {
            match udp.try_recv_from(buffer) {
                Ok((len, from)) => {
                    self.stats.bytes_in += len as u64;
                    return Some((len, from));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What an earlier datagram ran into, on systems that report it here.
                Err(error) => {
                    tracing::debug!(%error, "receive");
                    self.stats.receive_errors += 1;
                    return None;
                }
            }
        }
    }

    /// Queues a datagram.
    pub(crate) fn queue(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.queue.push((to, datagram.len()));
    }

    /// Whether enough is queued to be sent now.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE
    }

    /// Drops everything that is queued.
    pub(crate) fn withhold(&mut self) {
        self.stats.withheld += self.queue.len() as u64;
        self.queue.clear();
        self.bytes.clear();
    }

    /// Sends everything that is queued, and waits where the system has no room.
    pub(crate) async fn flush(&mut self) {
        let Some(udp) = &self.udp else { return };
        let mut start = 0;
        for (to, len) in self.queue.drain(..) {
            let to = if self.is_v6 { mapped(to) } else { to };
            let datagram = &self.bytes[start..start + len];
            start += len;
            match udp.send_to(datagram, to).await {
                Ok(sent) => self.stats.bytes_out += sent as u64,
                Err(error) => {
                    tracing::debug!(%to, %error, "send");
                    self.stats.send_errors += 1;
                }
            }
        }
        self.bytes.clear();
    }
}

/// An IPv6 socket takes IPv4 addresses in their mapped form only.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 @ SocketAddr::V6(_) => v6,
    }
}
