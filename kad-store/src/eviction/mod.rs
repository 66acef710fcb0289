//! Eviction: decides which item goes when a store is full.
//!
//! An attacker chooses keys, lifetimes and how much to send, so none of these may decide whose items go. The store shares its
//! capacity out by source address, and the source with the largest share loses an item of its own.
//!
//! Here: the classes and the rank of items, and what an item counts. `per_key`: the bounds of one key. `growing` and `fixed`:
//! the bounds of the whole store, with an allocator and without. `source`: the address prefixes that count as one source.
//! `shares`: how much of a growing store each source has.

pub(crate) mod fixed;
#[cfg(feature = "memory")]
pub(crate) mod growing;
pub(crate) mod per_key;
#[cfg(feature = "memory")]
pub(crate) mod shares;
pub(crate) mod source;

use core::cmp::Reverse;

use kad_wire::{Distance, Instant};

use crate::Limits;
use crate::record::Record;
use source::Source;

/// A wide prefix (IPv4 /16, IPv6 /32) counts a quarter of what it holds: it may hold as much as four narrow ones together.
pub(crate) const WIDE_DIVISOR: u64 = 4;
/// An item counts at least this many bytes, so that one value of n bytes evicts at most n / 512 + 1 items.
const CHARGE_MAX: u64 = 512;

/// The order in which classes of items are evicted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// A cached copy from any source, or an item that this node published and has forgotten.
    First,
    /// An item of another node: by the share of its source.
    Kept,
    /// An item that this node publishes: never evicted.
    Own,
}

/// The order of eviction within a class, or within a source: the least rank goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rank {
    has_deleted: bool,
    nearness: Reverse<Distance>,
    expires: Instant,
    /// Makes ranks unique.
    cursor: u32,
}

impl Rank {
    /// Below the rank of every item.
    #[cfg(feature = "memory")]
    pub(crate) const LEAST: Self =
        Self { has_deleted: false, nearness: Reverse(Distance::MAX), expires: Instant::ZERO, cursor: 0 };
}

impl Record {
    pub(crate) fn class(&self) -> Class {
        match self.own {
            true => Class::Own,
            false if self.is_cached() || self.source == Source::NONE => Class::First,
            false => Class::Kept,
        }
    }

    #[inline(never)]
    pub(crate) fn rank(&self, limits: &Limits) -> Rank {
        Rank {
            has_deleted: self.has_deleted,
            nearness: Reverse(limits.id.distance(&self.key)),
            expires: self.expires,
            cursor: self.cursor,
        }
    }
}

impl Limits {
    /// Returns the bytes that an item of `len` bytes counts against [`Limits::bytes`].
    pub(crate) fn charge(&self, len: u32) -> u64 {
        u64::from(len).max(self.bytes_per_item().min(CHARGE_MAX))
    }

    /// Returns what an item counts in the share of its source: its bytes plus the average bytes per item of a full store. So
    /// a source that holds many items and one that holds many bytes count alike.
    pub(crate) fn weight(&self, len: u32) -> u64 {
        u64::from(len) + self.bytes_per_item()
    }

    fn bytes_per_item(&self) -> u64 {
        self.bytes / (self.items as u64).max(1)
    }
}
