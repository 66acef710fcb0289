//! The words in which a node and its store talk about items: what is offered, what is asked for, what is answered.

use core::time::Duration;

use crate::contact::Endpoint;
use crate::item::{ItemHeader, TypeMask};
use crate::key::Key;
use crate::reply::{ItemStatus, StoredItem};
use crate::request::StoreMode;
use crate::time::Instant;

/// An item that somebody wants a holder to keep, already checked against its digest when it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer<'a> {
    /// The item's key.
    pub key: Key,
    /// Its header, as it was at `received`.
    pub header: ItemHeader,
    /// The whole value, or `None` while only the header is here.
    pub bytes: Option<&'a [u8]>,
    /// Why it is stored.
    pub mode: StoreMode,
    /// Who sent it.
    pub source: Endpoint,
    /// When the STORE arrived. Lifetimes count from here, however long the bytes took.
    pub received: Instant,
}

/// What a holder says of an offer: an entry of STORED without its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What became of it.
    pub status: ItemStatus,
    /// When to offer it again, in milliseconds, with [`ItemStatus::Busy`].
    pub retry_ms: u16,
    /// For how long it is kept, in milliseconds.
    pub ttl_ms: u32,
}

impl Answer {
    /// It is held, for `ttl_ms` milliseconds more.
    pub const fn held(status: ItemStatus, ttl_ms: u32) -> Self {
        Self { status, retry_ms: 0, ttl_ms }
    }

    /// It is not taken.
    pub const fn refused(status: ItemStatus) -> Self {
        Self { status, retry_ms: 0, ttl_ms: 0 }
    }

    /// Not now; try again after `retry_ms` milliseconds.
    pub const fn busy(retry_ms: u16) -> Self {
        Self { status: ItemStatus::Busy, retry_ms, ttl_ms: 0 }
    }

    /// The entry of STORED that says so of item `index`.
    pub const fn of_item(self, index: u8) -> StoredItem {
        StoredItem::new(index, self.status, self.retry_ms, self.ttl_ms)
    }
}

/// What a FIND_VALUE asks of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query {
    /// The key.
    pub key: Key,
    /// Which types of items.
    pub types: TypeMask,
    /// Only items published at most this long ago; `None` for all.
    pub max_age: Option<Duration>,
    /// 0, or where an earlier page said that the list goes on.
    pub cursor: u32,
}

impl Query {
    /// Everything under a key.
    pub const fn all(key: Key) -> Self {
        Self { key, types: TypeMask::ALL, max_age: None, cursor: 0 }
    }
}

/// Takes the items of a find, one by one: an answer that is being written, or a list of values.
pub trait Sink {
    /// Takes an item's header. What comes back is to be filled with the value's first bytes: all of them or none. `None`:
    /// there is no room, and the item was not taken.
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]>;
}
