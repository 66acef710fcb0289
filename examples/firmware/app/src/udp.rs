//! UDP sockets and their memory.

use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use static_cell::StaticCell;

/// Bytes of a UDP datagram at the most, in one Ethernet frame with IPv4.
pub const DATAGRAM_MAX: usize = 1472;

/// What a socket notes about the `N` datagrams that it keeps at the most in each direction, whatever their size.
pub type Metadata<const N: usize> = StaticCell<[[PacketMetadata; N]; 2]>;

/// A socket that is bound to a port, or to any for port 0. Use [`udp_socket`](crate::udp_socket), which has the memory.
pub fn socket<const N: usize>(
    stack: Stack<'static>,
    port: u16,
    metadata: &'static Metadata<N>,
    rx: &'static mut [u8],
    tx: &'static mut [u8],
) -> UdpSocket<'static> {
    let [rx_metadata, tx_metadata] = metadata.init_with(|| [[PacketMetadata::EMPTY; N]; 2]);
    let mut socket = UdpSocket::new(stack, rx_metadata, rx, tx_metadata, tx);
    socket.bind(port).expect("no other socket has this port");
    socket
}

/// A UDP socket on a port, with static memory for so many datagrams in each direction, and for `rx` and `tx` bytes. Each use of it can be run once.
///
/// The buffers are variables of their own, and all zeros: so they are never on the stack, and not in flash either.
#[macro_export]
macro_rules! udp_socket {
    ($stack:expr, $port:expr, datagrams: $datagrams:expr, rx: $rx:expr, tx: $tx:expr) => {{
        use static_cell::ConstStaticCell;

        static METADATA: $crate::udp::Metadata<$datagrams> = $crate::udp::Metadata::new();
        static RX: ConstStaticCell<[u8; $rx]> = ConstStaticCell::new([0; $rx]);
        static TX: ConstStaticCell<[u8; $tx]> = ConstStaticCell::new([0; $tx]);
        $crate::udp::socket($stack, $port, &METADATA, RX.take(), TX.take())
    }};
}
