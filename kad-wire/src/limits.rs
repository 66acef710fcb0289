//! The protocol's constants, which are the same at every node of a network.

/// Bytes of a [`Key`](crate::Key) and of a [`NodeId`](crate::NodeId).
pub const KEY_LEN: usize = 32;

/// Largest UDP payload of a request, and of a reply other than a CHUNK: 1280 (the smallest IPv6 link) less 48 bytes of
/// IPv6 and UDP header (RFC 8200, section 5). It passes every IPv6 path unfragmented.
pub const DATAGRAM_MAX: usize = 1232;

/// Smallest receive capacity that a node may announce, in bytes of UDP payload.
pub const ROOM_MIN: usize = 512;

/// Unit of the prefix's `room` field, in bytes.
pub const ROOM_UNIT: usize = 16;

/// The anti-amplification limit: a reply to an address without a valid token is at most this many times as long as its request
/// (cf. RFC 9000, section 8.1).
pub const AMPLIFICATION: usize = 3;

/// Longest lifetime of an item, in milliseconds: seven days. The same in the whole network, because a holder with a longer one
/// could bring back an item after its tombstone has expired.
pub const TTL_MAX_MS: u32 = 7 * 24 * 60 * 60 * 1000;

/// Most chunks that one PULL can ask for (bits of its bitmap).
pub const PULL_CHUNKS: u32 = 64;

/// Largest value by default, in bytes (32 KiB). A node's own limit is a setting; a larger value is refused item by item.
pub const VALUE_MAX: usize = 32 * 1024;

/// Most items in one STORE: as many headers as fit [`DATAGRAM_MAX`].
pub const STORE_ITEMS_MAX: usize = (DATAGRAM_MAX - STORE_HEAD_LEN) / (KEY_LEN + ITEM_HEADER_LEN);

/// Bytes of a contact in a list.
pub const CONTACT_LEN: usize = 50;

/// Bytes of a tombstone: type 1, secret 32, hash 32.
pub const TOMBSTONE_LEN: usize = 1 + 32 + 32;

/// Bytes of an item's header.
pub const ITEM_HEADER_LEN: usize = 48;

/// Bytes before the body of every datagram but CHUNK: prefix 16, token 8, sender id 32.
pub const ENVELOPE_LEN: usize = PREFIX_LEN + 8 + KEY_LEN;

/// Bytes of the prefix of every datagram.
pub const PREFIX_LEN: usize = 16;

/// Bytes of the head that begins the body of every reply but CHUNK.
pub const REPLY_HEAD_LEN: usize = 20;

/// Bytes of a STORE before its items.
pub const STORE_HEAD_LEN: usize = ENVELOPE_LEN + 12;

/// Bytes of a VALUE before its items.
pub const VALUE_HEAD_LEN: usize = ENVELOPE_LEN + REPLY_HEAD_LEN + 8;

/// Bytes of a CHUNK before the value's bytes.
pub const CHUNK_HEAD_LEN: usize = PREFIX_LEN + 4;

/// Bytes of a value that fit inline in a STORE of that one item. A longer value is offered and pulled.
pub const STORE_INLINE_MAX: usize = DATAGRAM_MAX - STORE_HEAD_LEN - KEY_LEN - ITEM_HEADER_LEN;

/// Bytes of a value that fit inline in a VALUE of that one item.
pub const VALUE_INLINE_MAX: usize = DATAGRAM_MAX - VALUE_HEAD_LEN - ITEM_HEADER_LEN;
