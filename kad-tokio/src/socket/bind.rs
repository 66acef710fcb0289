//! Opening the sockets of a node: one for each of its workers, all on one port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, Type};

use super::refusal::Segments;
use super::{Socket, steering};
use crate::error::StartError;
use crate::report::SocketStats;

/// How sockets are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    /// How many.
    pub(crate) workers: usize,
    /// Bytes of each one's buffers to ask for.
    pub(crate) buffer: usize,
    /// Whether the system may be asked to join and to split datagrams.
    pub(crate) offload: bool,
    /// Whether the system may be asked to spread datagrams over the sockets.
    pub(crate) steering: bool,
}

/// Opens sockets on one port. They become part of a runtime only in [`Socket::attach`], on the threads that will use them.
pub(crate) fn bind(options: &Options) -> Result<Vec<Socket>, StartError> {
    let opened = open_all(options).and_then(|sockets| {
        let (mut opened, segments) = (Vec::new(), Segments::new(usize::MAX));
        for socket in sockets {
            opened.push(finish(socket, options, &segments)?);
        }
        if let Some(first) = opened.first() {
            warn_if_clamped(options.buffer, first.stats());
        }
        Ok(opened)
    });
    opened.map_err(|source| StartError::Bind { address: options.listen, source })
}

/// The sockets. Where the system does not bring each worker what is its own, they are all one, and workers pass it on.
fn open_all(options: &Options) -> io::Result<Vec<socket2::Socket>> {
    let first = open(options.listen)?;
    // Without this option yet: a port that another node has is not shared with it, but refused.
    first.bind(&options.listen.into())?;
    let mut sockets = vec![first];
    if options.workers == 1 {
        return Ok(sockets);
    }
    if options.steering {
        match steering::join(&mut sockets, options.workers, open) {
            Ok(()) => return Ok(sockets),
            Err(error) => tracing::warn!(%error, "the system does not spread datagrams over workers"),
        }
    }
    sockets.truncate(1);
    for _ in 1..options.workers {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok(sockets)
}

fn open(listen: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(!is_dual(listen))?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether a socket on this address takes IPv4 too.
fn is_dual(listen: SocketAddr) -> bool {
    matches!(listen.ip(), IpAddr::V6(ip) if ip.is_unspecified())
}

fn finish(socket: socket2::Socket, options: &Options, segments: &Segments) -> io::Result<Socket> {
    // The system grants what it allows; what that was is read back.
    let _ = socket.set_recv_buffer_size(options.buffer);
    let _ = socket.set_send_buffer_size(options.buffer);
    let stats = SocketStats {
        receive_buffer: socket.recv_buffer_size()? / DOUBLED,
        send_buffer: socket.send_buffer_size()? / DOUBLED,
        buffer_wanted: options.buffer,
        ..SocketStats::default()
    };
    let std = std::net::UdpSocket::from(socket);
    let address = std.local_addr()?;
    let state = UdpSocketState::new((&std).into())?;
    steering::simplify(&std, address.ip(), options.offload);
    let (is_v6, dual) = (address.is_ipv6(), is_dual(options.listen));
    let offload = options.offload;
    segments.limit(if offload { state.max_gso_segments() } else { 1 });
    let segments = segments.clone();
    Ok(Socket {
        udp: None,
        std: Some(std),
        state,
        address,
        is_v6,
        dual,
        offload,
        segments,
        too_large: Vec::new(),
        drained: false,
        stats,
        #[cfg(test)]
        refuse: None,
    })
}

/// Linux shows twice the size that was asked for, for what it keeps besides the bytes.
pub(crate) const DOUBLED: usize = if cfg!(target_os = "linux") { 2 } else { 1 };

fn warn_if_clamped(wanted: usize, stats: &SocketStats) {
    let granted = stats.receive_buffer;
    if granted < wanted {
        tracing::warn!(
            granted,
            wanted,
            "the socket's receive buffer is smaller than asked for: sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}"
        );
    }
}
