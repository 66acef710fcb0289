//! The bounds of a store, and the intervals of its replication.

use core::time::Duration;

use kad_wire::NodeId;

/// The bounds of a store. All stores evict by the same rules, in which no choice of keys or lifetimes gives a sender an advantage.
///
/// | field | default | |
/// |---|---|---|
/// | [`items`](Self::items) | 65,536 | items in total |
/// | [`bytes`](Self::bytes) | 256 MiB | bytes of values in total |
/// | [`values_per_key`](Self::values_per_key) | 32 | items of one type under one key |
/// | [`bytes_per_key`](Self::bytes_per_key) | 1 MiB | bytes of one type under one key |
/// | [`cache_ttl_ms`](Self::cache_ttl_ms) | 10 min | longest lifetime of a cached copy |
/// | [`replicate`](Self::replicate) | 1 h | interval of replication |
/// | [`republish`](Self::republish) | 24 h | interval of republishing |
///
/// # Eviction
///
/// An item's *source* is the prefix of the address that sent it: the /24 of an IPv4 address, the /48 of an IPv6 address, in a
/// private range the host. A *wide* source is a /16 or a /32; it counts a quarter of what its prefixes hold together.
///
/// - **Under a key**, when a new item does not fit: the store evicts the oldest item of the source with the most items under
///   the key, if that source has more than the new item's source would have. Otherwise the new item replaces the oldest of its
///   own source. A tombstone that has deleted an item yields only to another such tombstone.
/// - **In total**: the store first evicts cached copies and items that this node has [forgotten](crate::Store::forget), then
///   items of the source that has most, in items and bytes together, counting the new item. Of the items of one source, those
///   go first whose keys are farthest from this node, then those that expire first. If the new item would go first, it is
///   refused. So one source may fill a store, but cannot displace the items of others.
/// - This node's own items are never evicted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The id of this node: the store prefers items with keys near it.
    pub id: NodeId,
    /// Items in total.
    pub items: usize,
    /// Bytes of values in total. An item counts at least 512 bytes, or the average per item (`bytes / items`) if that is less,
    /// so that one large value never evicts a great many small ones.
    pub bytes: u64,
    /// Items of one type under one key.
    pub values_per_key: usize,
    /// Bytes of one type under one key.
    pub bytes_per_key: u64,
    /// Longest lifetime of a cached copy, in milliseconds.
    pub cache_ttl_ms: u32,
    /// How often the node passes an item on to the nodes nearest to its key, plus or minus a quarter, unless another holder has
    /// done so meanwhile (Kademlia paper, section 2.5: hourly). At least a second.
    pub replicate: Duration,
    /// How often the node republishes its own items, plus or minus a quarter (Kademlia paper, section 2.5: daily). At least a
    /// second.
    pub republish: Duration,
}

impl Limits {
    /// Returns the default limits of a node: see the table above.
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
