//! Memory of the adapter: everything besides the node's own block and its store.

use core::cell::RefCell;

use embassy_net::udp::PacketMetadata;
use kad_upkeep::Exchange;
use kad_wire::limits::ROOM_MIN;
use static_cell::StaticCell;

use crate::net::{HeldDatagram, Link, LinkBuffers, held_len};
use crate::shared::{CallSlot, Shared};

/// Bytes of the largest datagram that a node takes and sends, if its [`space!`](crate::space) does not say less.
pub const DATAGRAM: usize = kad_wire::limits::DATAGRAM_MAX;

/// Datagrams that may wait for their neighbours at a time, if not told otherwise: as many as a lookup sends.
pub const HELD: usize = 3;

/// Buffers, borrowed from a `static` [`space!`](crate::space).
pub struct Buffers {
    /// One for each call of a handle at a time.
    pub calls: &'static mut [CallSlot],
    /// Where the values are that calls find: an equal part for each.
    pub found: &'static mut [u8],
    /// Where datagrams are written. As long as the largest that the node takes and sends: 512 to [`DATAGRAM`] bytes.
    pub datagram: &'static mut [u8],
    /// The socket's receive buffer: datagrams ...
    pub receive_meta: &'static mut [PacketMetadata],
    /// ... and their bytes. A node never asks for more at a time than fits here.
    pub receive: &'static mut [u8],
    /// The socket's send buffer: datagrams ...
    pub send_meta: &'static mut [PacketMetadata],
    /// ... and their bytes.
    pub send: &'static mut [u8],
    /// Datagrams that wait until their neighbours have answered ...
    pub held: &'static mut [HeldDatagram],
    /// ... and their bytes: an equal part for each, of [`held_len`](crate::held_len) bytes.
    pub held_bytes: &'static mut [u8],
}

impl Buffers {
    pub(crate) fn are_enough(&self) -> bool {
        let datagram = self.datagram.len();
        let lists = [self.calls.len(), self.receive_meta.len(), self.send_meta.len(), self.held.len()];
        (ROOM_MIN..=DATAGRAM).contains(&datagram)
            && self.receive.len() >= datagram
            && self.send.len() >= datagram
            && self.held_bytes.len() >= self.held.len().saturating_mul(held_len(datagram))
            && lists.iter().all(|len| *len > 0)
    }

    /// Datagrams of the largest size that the socket holds while nobody reads it.
    pub(crate) fn receive_window(&self) -> usize {
        (self.receive.len() / self.datagram.len().max(1)).min(self.receive_meta.len())
    }
}

pub(crate) type SplitBuffers = (&'static mut [CallSlot], &'static mut [u8], &'static mut [u8], LinkBuffers);

impl Buffers {
    pub(crate) fn split(self) -> SplitBuffers {
        let Self { calls, found, datagram, receive_meta, receive, send_meta, send, held, held_bytes } = self;
        (calls, found, datagram, LinkBuffers { receive_meta, receive, send_meta, send, held, held_bytes })
    }
}

/// Where a node lives that tasks share: a `static` of it is handed to [`start`](crate::start).
pub struct Place {
    pub(crate) shared: StaticCell<RefCell<Shared>>,
    pub(crate) exchange: StaticCell<Exchange<'static, Link>>,
}

impl Place {
    /// An empty place.
    #[expect(clippy::new_without_default, reason = "it makes sense in a static only")]
    pub const fn new() -> Self {
        Self { shared: StaticCell::new(), exchange: StaticCell::new() }
    }
}

/// Declares the adapter's buffers for a `static`.
///
/// ```
/// kad_embassy::space! {
///     /// Two calls at a time that find up to 2 KiB each, four datagrams to receive, two to send.
///     pub struct Space {
///         calls: 2,
///         found_per_call: 2048,
///         receive: 4,
///         send: 2,
///     }
/// }
/// assert!(size_of::<Space>() < 16_000);
/// ```
///
/// Two more lines are possible at the end: `datagram`, bytes of the largest datagram that the node takes and sends (512 to
/// [`DATAGRAM`](crate::DATAGRAM), which it is if not said), and `held`, datagrams that may wait for their neighbours at a time
/// ([`HELD`](crate::HELD)). Small datagrams make a small node, and cost more of them: values travel in more pieces, and
/// others tell it of fewer contacts at a time.
#[macro_export]
macro_rules! space {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        calls: $calls:expr,
        found_per_call: $found:expr,
        receive: $receive:expr,
        send: $send:expr
        $(, datagram: $datagram:expr)?
        $(, held: $held:expr)? $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            calls: [$crate::CallSlot; $calls],
            found: [[u8; $found]; $calls],
            datagram: [u8; $name::DATAGRAM],
            // Small datagrams come in numbers: two places for each large one.
            receive_meta: $crate::StaticCell<[[$crate::PacketMetadata; 2]; $receive]>,
            receive: [[u8; $name::DATAGRAM]; $receive],
            send_meta: $crate::StaticCell<[[$crate::PacketMetadata; 2]; $send]>,
            send: [[u8; $name::DATAGRAM]; $send],
            held: [$crate::HeldDatagram; $name::HELD],
            held_bytes: [[u8; $crate::held_len($name::DATAGRAM)]; $name::HELD],
        }

        impl $name {
            /// What is said, or else the default.
            const DATAGRAM: usize = [$($datagram,)? $crate::DATAGRAM][0];
            const HELD: usize = [$($held,)? $crate::HELD][0];

            /// Unused buffers. All zero bits: a `static` of them costs no flash.
            $vis const EMPTY: Self = Self {
                calls: [const { $crate::CallSlot::EMPTY }; $calls],
                found: [[0; $found]; $calls],
                datagram: [0; Self::DATAGRAM],
                // Empty ones are not all zero bits, and would take the whole space to flash.
                receive_meta: $crate::StaticCell::new(),
                receive: [[0; Self::DATAGRAM]; $receive],
                send_meta: $crate::StaticCell::new(),
                send: [[0; Self::DATAGRAM]; $send],
                held: [const { $crate::HeldDatagram::EMPTY }; Self::HELD],
                held_bytes: [[0; $crate::held_len(Self::DATAGRAM)]; Self::HELD],
            };

            /// The buffers as a node takes them.
            $vis fn buffers(&'static mut self) -> $crate::Buffers {
                $crate::Buffers {
                    calls: &mut self.calls,
                    found: self.found.as_flattened_mut(),
                    datagram: &mut self.datagram,
                    receive_meta: self.receive_meta.init_with(|| [[$crate::PacketMetadata::EMPTY; 2]; $receive]).as_flattened_mut(),
                    receive: self.receive.as_flattened_mut(),
                    send_meta: self.send_meta.init_with(|| [[$crate::PacketMetadata::EMPTY; 2]; $send]).as_flattened_mut(),
                    send: self.send.as_flattened_mut(),
                    held: &mut self.held,
                    held_bytes: self.held_bytes.as_flattened_mut(),
                }
            }
        }
    };
}
