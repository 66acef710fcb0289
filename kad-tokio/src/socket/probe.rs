//! What the system grants to the sockets of a node, without a node.

use std::net::SocketAddr;

use super::bind::bind_one;
use super::refusal::Segments;
use super::{Options, steering};
use crate::error::StartError;

/// What the system granted to sockets like those of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketProbe {
    /// Sockets on the port: one for each worker.
    pub workers: usize,
    /// Bytes that the system granted as receive buffer of each, counted as they are asked for.
    pub receive_buffer: usize,
    /// Bytes that it granted as send buffer of each.
    pub send_buffer: usize,
    /// Datagrams that one call can send: 1 where the system does not split them (UDP GSO).
    pub segments_out: usize,
    /// Datagrams that it joins on their way in: 1 where it does not (UDP GRO).
    pub segments_in: usize,
    /// Whether it brings each worker the replies that are its own; otherwise workers pass them on.
    pub steered: bool,
}

/// Opens the sockets that a node with these settings would have, in the same way, reads what was granted, and closes them.
///
/// # Errors
/// [`StartError::Bind`] if the address is taken, or none of this host.
pub fn probe_sockets(listen: SocketAddr, workers: usize, buffer: usize) -> Result<SocketProbe, StartError> {
    let (all, workers) = (&[listen][..], workers.max(1));
    let options = Options { listen: all, bound: &[], workers, buffer, offload: true, steering: true };
    let sockets = bind_one(listen, &options, &Segments::new(usize::MAX))
        .map_err(|source| StartError::Bind { address: listen, source })?;
    let stats = sockets.first().map(|socket| *socket.stats()).unwrap_or_default();
    let first = sockets.first();
    Ok(SocketProbe {
        workers: sockets.len(),
        receive_buffer: stats.receive_buffer,
        send_buffer: stats.send_buffer,
        segments_out: first.map_or(1, |socket| socket.segments().get()),
        segments_in: first.map_or(1, |socket| socket.state.gro_segments()),
        steered: first.and_then(|socket| socket.std.as_ref()).is_some_and(steering::is_spread),
    })
}

#[cfg(test)]
mod tests {
    use super::probe_sockets;
    use crate::error::StartError;

    #[test]
    fn what_is_granted_is_read_back_and_given_back() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(matches!(probe_sockets(address, 1, 4096), Err(StartError::Bind { .. })));
        drop(taken);
        for _ in 0..2 {
            let probe = probe_sockets(address, 2, 64 << 10).unwrap();
            assert_eq!(probe.workers, 2);
            assert!(probe.receive_buffer >= 64 << 10 && probe.segments_out >= 1 && probe.segments_in >= 1, "{probe:?}");
        }
    }
}
