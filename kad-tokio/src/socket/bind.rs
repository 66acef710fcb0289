//! Opening the sockets of a node: one for each of its workers, all on one port.

use std::io;
use std::net::SocketAddr;

use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, Type};

use super::refusal::Segments;
use super::{Socket, Sockets, Trouble, steering};
use crate::error::StartError;
use crate::reach::is_dual;
use crate::report::SocketStats;

/// How sockets are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// On which addresses.
    pub(crate) listen: &'a [SocketAddr],
    /// Sockets that are bound already to one of them, to use instead of new ones: on each address one, or one for each worker.
    pub(crate) bound: &'a [std::net::UdpSocket],
    /// How many on each.
    pub(crate) workers: usize,
    /// Bytes of each one's buffers to ask for.
    pub(crate) buffer: usize,
    /// Whether the system may be asked to join and to split datagrams.
    pub(crate) offload: bool,
    /// Whether the system may be asked to spread datagrams over the sockets.
    pub(crate) steering: bool,
}

/// Opens the sockets of all workers. They become part of a runtime only in [`Sockets::attach`], on the threads that will use
/// them.
pub(crate) fn bind(options: &Options<'_>) -> Result<Vec<Sockets>, StartError> {
    let mut workers: Vec<_> = (0..options.workers).map(|_| Vec::new()).collect();
    let segments = Segments::new(usize::MAX);
    for (place, &address) in options.listen.iter().enumerate() {
        let sockets = bind_one(address, options, &segments).map_err(|source| StartError::Bind { address, source })?;
        if let Some(first) = sockets.first().filter(|_| place == 0) {
            warn_if_clamped(options.buffer, first.stats());
        }
        workers.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
    }
    Ok(workers.into_iter().map(Sockets::new).collect())
}

/// Opens the sockets on one address, one for each worker.
pub(super) fn bind_one(listen: SocketAddr, options: &Options<'_>, segments: &Segments) -> io::Result<Vec<Socket>> {
    open_all(listen, options)?.into_iter().map(|socket| finish(socket, listen, options, segments)).collect()
}

/// The sockets. Where the system does not bring each worker what is its own, they are all one, and workers pass it on.
fn open_all(listen: SocketAddr, options: &Options<'_>) -> io::Result<Vec<socket2::Socket>> {
    let mut sockets = Vec::new();
    for bound in options.bound {
        if bound.local_addr()? == listen {
            let socket = socket2::Socket::from(bound.try_clone()?);
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
    }
    let bound = sockets.len();
    if bound > 1 && bound != options.workers {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "of several sockets on one address each has a worker"));
    }
    if sockets.is_empty() {
        let first = open(listen)?;
        // Without this option yet: a port that another node has is not shared with it, but refused.
        first.bind(&listen.into())?;
        sockets.push(first);
    }
    if options.workers == 1 {
        sockets.truncate(1);
        return Ok(sockets);
    }
    if options.steering {
        match steering::join(&mut sockets, options.workers, open) {
            Ok(()) => return Ok(sockets),
            // What the system brings to the others would be lost.
            Err(error) if options.bound.len() > 1 => return Err(error),
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

fn finish(
    socket: socket2::Socket,
    listen: SocketAddr,
    options: &Options<'_>,
    segments: &Segments,
) -> io::Result<Socket> {
    // The system grants what it allows; what that was is read back. A service manager may have been allowed more.
    let fresh = options.bound.is_empty();
    if fresh || socket.recv_buffer_size()? / DOUBLED < options.buffer {
        let _ = socket.set_recv_buffer_size(options.buffer);
    }
    if fresh || socket.send_buffer_size()? / DOUBLED < options.buffer {
        let _ = socket.set_send_buffer_size(options.buffer);
    }
    let stats = SocketStats {
        receive_buffer: socket.recv_buffer_size()? / DOUBLED,
        send_buffer: socket.send_buffer_size()? / DOUBLED,
        buffer_wanted: options.buffer,
        ..SocketStats::default()
    };
    let is_dual = is_dual(listen) && !socket.only_v6().unwrap_or(false);
    let std = std::net::UdpSocket::from(socket);
    let address = std.local_addr()?;
    let state = UdpSocketState::new((&std).into())?;
    steering::simplify(&std, address.ip(), options.offload);
    let is_v6 = address.is_ipv6();
    let offload = options.offload;
    segments.limit(if offload { state.max_gso_segments() } else { 1 });
    let segments = segments.clone();
    Ok(Socket {
        udp: None,
        std: Some(std),
        state,
        address,
        is_v6,
        dual: is_dual,
        offload,
        segments,
        too_large: Vec::new(),
        drained: false,
        trouble: Trouble::default(),
        broken: None,
        stats,
        #[cfg(test)]
        refuse: None,
        #[cfg(test)]
        fault: None,
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
