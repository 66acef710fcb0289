//! How much a store holds, and what makes way for what.

use core::time::Duration;

use kad_wire::NodeId;

/// Bounds of a store. All stores follow the same rules:
///
/// - **Per key and type** at most [`values_per_key`](Self::values_per_key) items and [`bytes_per_key`](Self::bytes_per_key)
///   bytes. When a newcomer finds no room, the oldest item of the source prefix (IPv4 /24, IPv6 /64) with the most items
///   under that key makes way; a newcomer never displaces an item of a prefix with fewer items than its own.
/// - **In total** at most [`items`](Self::items) items and [`bytes`](Self::bytes) bytes. What makes way first: cached
///   copies, then items whose keys are farthest from this node, then those that expire first. A newcomer that would make
///   way itself is refused.
/// - This node's own items make way for nothing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Who the node is: items near it matter more.
    pub id: NodeId,
    /// Items in total.
    pub items: usize,
    /// Bytes of values in total.
    pub bytes: u64,
    /// Items of one type under one key.
    pub values_per_key: usize,
    /// Bytes of one type under one key.
    pub bytes_per_key: u64,
    /// Longest life of a copy that a reader left, in milliseconds.
    pub cache_ttl_ms: u32,
    /// How often an item is passed on to the nodes nearest to its key (paper, section 2.5: hourly), give or take a quarter,
    /// unless another holder has done so meanwhile. At least a second.
    pub replicate: Duration,
    /// How often this node's own items are published anew (paper, section 2.5: daily), give or take a quarter. At least a
    /// second.
    pub republish: Duration,
}

impl Limits {
    /// The defaults for a node: 65,536 items and 256 MiB, 32 items and 1 MiB per key, the paper's intervals.
    pub const fn new(id: NodeId) -> Self {
        Self {
            id,
            items: 65_536,
            bytes: 256 << 20,
            values_per_key: 32,
            bytes_per_key: 1 << 20,
            cache_ttl_ms: 10 * 60 * 1000,
            replicate: Duration::from_secs(3600),
            republish: Duration::from_secs(24 * 3600),
        }
    }
}
