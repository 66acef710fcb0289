//! UDP sockets and their memory.

use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use static_cell::StaticCell;

/// Bytes of a UDP datagram at the most, in one Ethernet frame with IPv4.
pub const DATAGRAM_MAX: usize = 1472;

/// Datagrams that a socket keeps in each direction, whatever their size.
const DATAGRAMS: usize = 16;

/// What a socket notes about the datagrams that it keeps.
pub type Metadata = StaticCell<[[PacketMetadata; DATAGRAMS]; 2]>;

/// A socket that is bound to a port, or to any for port 0. Use [`udp_socket`](crate::udp_socket), which has the memory.
pub fn socket(
    stack: Stack<'static>,
    port: u16,
    metadata: &'static Metadata,
    rx: &'static mut [u8],
    tx: &'static mut [u8],
) -> UdpSocket<'static> {
    let [rx_metadata, tx_metadata] = metadata.init_with(|| [[PacketMetadata::EMPTY; DATAGRAMS]; 2]);
    let mut socket = UdpSocket::new(stack, rx_metadata, rx, tx_metadata, tx);
    socket.bind(port).expect("no other socket has this port");
    socket
}

/// A UDP socket on a port, with static memory for `rx` and `tx` bytes. Each use of it can be run once.
///
/// The buffers are variables of their own, and all zeros: so they are never on the stack, and not in flash either.
#[macro_export]
macro_rules! udp_socket {
    ($stack:expr, $port:expr, rx: $rx:expr, tx: $tx:expr) => {{
        use static_cell::ConstStaticCell;

        static METADATA: $crate::udp::Metadata = $crate::udp::Metadata::new();
        static RX: ConstStaticCell<[u8; $rx]> = ConstStaticCell::new([0; $rx]);
        static TX: ConstStaticCell<[u8; $tx]> = ConstStaticCell::new([0; $tx]);
        $crate::udp::socket($stack, $port, &METADATA, RX.take(), TX.take())
    }};
}
