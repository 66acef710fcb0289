//! How much a store holds, and what makes way for what.

use core::time::Duration;

use kad_wire::NodeId;

/// Bounds of a store. All stores follow the same rules, which give nobody an advantage for choosing keys or lifetimes.
///
/// An item's *source* is the host that brought it in a private range, and the prefix of its address elsewhere, in two tiers: the /24
/// of an IPv4 address and the /48 of an IPv6 address; and the /16 and the /32, which count a quarter of what they hold.
///
/// - **Per key and type** at most [`values_per_key`](Self::values_per_key) items and [`bytes_per_key`](Self::bytes_per_key)
///   bytes. When a newcomer finds no room, the oldest item of the source with the most items under that key makes way, if
///   that has more than the newcomer's would have; otherwise the newcomer displaces the oldest of its own source. A tombstone
///   that has deleted something is displaced by none that has not.
/// - **In total** at most [`items`](Self::items) items and [`bytes`](Self::bytes) bytes. What makes way first: cached copies and what
///   this node has [forgotten](crate::Store::forget); then
///   items of the source that has most, the newcomer included, in items and bytes together. Of its items, those go first whose keys are
///   farthest from this node, then those that expire first. A newcomer that would make way itself is refused. So one source
///   may fill a store, and cannot empty it of what others have.
/// - This node's own items make way for nothing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Who the node is: items near it matter more.
    pub id: NodeId,
    /// Items in total.
    pub items: usize,
    /// Bytes of values in total. An item takes 512 of them at the least, or as many as belong to one of [`items`](Self::items)
    /// on average if those are fewer: so that no value, however large, makes countless small ones leave.
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
