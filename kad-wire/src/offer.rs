//! Types shared by a node and its store: an offered item and the answer to it, a query and the sink for its result.

use core::time::Duration;

use crate::contact::Endpoint;
use crate::item::{ItemHeader, TypeMask};
use crate::key::Key;
use crate::reply::{ItemStatus, StoredItem};
use crate::request::StoreMode;
use crate::time::Instant;

/// An item that another node, or this one, wants the store to hold. With its bytes, it has been verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer<'a> {
    /// The item's key.
    pub key: Key,
    /// Its header, with lifetime and age as of `received`.
    pub header: ItemHeader,
    /// The whole value; `None` while only the header has arrived.
    pub bytes: Option<&'a [u8]>,
    /// Why the sender stores it.
    pub mode: StoreMode,
    /// The address of the sender; unspecified for this node itself.
    pub source: Endpoint,
    /// When the STORE arrived. The lifetime counts from then, also if the bytes arrive later.
    pub received: Instant,
}

/// A store's answer to an offer: an entry of STORED without its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whether the item is held, or why not.
    pub status: ItemStatus,
    /// With [`ItemStatus::Busy`]: milliseconds after which to offer the item again. Otherwise 0.
    pub retry_ms: u16,
    /// The remaining lifetime at the holder, in milliseconds; 0 if not held.
    pub ttl_ms: u32,
}

impl Answer {
    /// Returns the answer that the item is held, for `ttl_ms` milliseconds more.
    pub const fn held(status: ItemStatus, ttl_ms: u32) -> Self {
        Self { status, retry_ms: 0, ttl_ms }
    }

    /// Returns the answer that the item is not held.
    pub const fn refused(status: ItemStatus) -> Self {
        Self { status, retry_ms: 0, ttl_ms: 0 }
    }

    /// Returns the answer [`ItemStatus::Busy`]: try again after `retry_ms` milliseconds.
    pub const fn busy(retry_ms: u16) -> Self {
        Self { status: ItemStatus::Busy, retry_ms, ttl_ms: 0 }
    }

    /// Returns the entry of STORED with this answer for item `index`.
    pub const fn of_item(self, index: u8) -> StoredItem {
        StoredItem::new(index, self.status, self.retry_ms, self.ttl_ms)
    }
}

/// The items that a FIND_VALUE asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query {
    /// The key.
    pub key: Key,
    /// The types of items.
    pub types: TypeMask,
    /// The greatest age of items; `None` for any age.
    pub max_age: Option<Duration>,
    /// 0 for the first page, or the cursor that the previous page returned.
    pub cursor: u32,
}

impl Query {
    /// Returns the query for all items under a key.
    pub const fn all(key: Key) -> Self {
        Self { key, types: TypeMask::ALL, max_age: None, cursor: 0 }
    }
}

/// Receives the items of a find one by one: a reply that is being written, or a list of values.
pub trait Sink {
    /// Takes an item's header and returns the buffer for the value's first bytes: for all of them, or of length 0. Returns `None`,
    /// and does not take the item, when it does not fit.
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]>;
}
