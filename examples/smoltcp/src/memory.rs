//! How much memory the node has: what a firmware adapts first.

use core::time::Duration;

use kad_core::Config;
use kad_store::{FixedBlock, FixedRecord};
use kad_upkeep::CallSlot;
use kad_wire::limits::DATAGRAM_MAX;
use smoltcp::iface::SocketStorage;
use smoltcp::socket::udp::PacketMetadata;
use static_cell::StaticCell;

/// Largest value in bytes.
pub const VALUE_MAX: usize = 5 * 1024;
/// Datagrams of the largest size that the receiving socket holds while nobody reads it.
pub const RECEIVE: usize = 4;
/// Sockets that send, each to one address at a time, with room for a datagram of the largest size: one for addresses that
/// were heard from a moment ago, and as many for others as a lookup asks at a time.
pub const SENDERS: usize = 1 + 3;
/// Values that the node keeps, and blocks of [`FixedBlock::LEN`] bytes for them.
const RECORDS: usize = 24;
const BLOCKS: usize = 128;

/// The node's settings.
pub(crate) const CONFIG: Config =
    Config { k: 8, ipv6: false, value_max: VALUE_MAX as u32, receive_max: DATAGRAM_MAX, ..Config::DEFAULT };
/// How often a node that knows others joins through its bootstrap addresses again, give or take a quarter.
pub(crate) const REJOIN: Duration = Duration::from_secs(600);

kad_core::block! {
    pub(crate) struct Block {
        rows: 8,
        contacts_per_row: 8,
        operations: 3,
        candidates_per_operation: 12,
        items_per_operation: 2,
        transfers: 3,
        arena: 2 * VALUE_MAX,
    }
}

/// All of the node's large memory, for a `static`.
pub struct Memory {
    pub(crate) block: Block,
    pub(crate) records: [FixedRecord; RECORDS],
    pub(crate) blocks: [FixedBlock; BLOCKS],
    pub(crate) calls: [CallSlot; 1],
    pub(crate) found: [u8; VALUE_MAX],
    pub(crate) datagram: [u8; DATAGRAM_MAX],
    pub(crate) sockets: Sockets,
}

/// Memory of the sockets.
pub(crate) struct Sockets {
    // Empty ones are not all zero bits, and would take the whole memory to flash.
    pub(crate) storage: StaticCell<[SocketStorage<'static>; 1 + SENDERS]>,
    // Small datagrams come in numbers: two places for each large one.
    pub(crate) receive_meta: StaticCell<[PacketMetadata; 2 * RECEIVE]>,
    pub(crate) receive: [u8; RECEIVE * DATAGRAM_MAX],
    pub(crate) send_meta: StaticCell<[[PacketMetadata; 2]; SENDERS]>,
    pub(crate) send: [[u8; DATAGRAM_MAX]; SENDERS],
}

impl Memory {
    /// Unused memory. All zero bits: a `static` of it costs no flash.
    #[expect(clippy::new_without_default, reason = "it makes sense in a static only")]
    pub const fn new() -> Self {
        Self {
            block: Block::EMPTY,
            records: [FixedRecord::EMPTY; RECORDS],
            blocks: [FixedBlock::EMPTY; BLOCKS],
            calls: [const { CallSlot::EMPTY }; 1],
            found: [0; VALUE_MAX],
            datagram: [0; DATAGRAM_MAX],
            sockets: Sockets {
                storage: StaticCell::new(),
                receive_meta: StaticCell::new(),
                receive: [0; RECEIVE * DATAGRAM_MAX],
                send_meta: StaticCell::new(),
                send: [[0; DATAGRAM_MAX]; SENDERS],
            },
        }
    }
}
