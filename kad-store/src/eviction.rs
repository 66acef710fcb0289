//! What makes way when room is short. A stranger chooses keys, lifetimes and how much it sends, so none of these may decide
//! whose items go: room is shared out by source, and the source with the largest share gives up something of its own.

use kad_wire::{Digest, Distance, Instant, ItemType};

use crate::Limits;
use crate::record::Record;
use crate::source::Source;

/// A wide prefix (IPv4 /16, IPv6 /32) counts this fraction of what it holds: as much as so many narrow ones may have together.
pub(crate) const WIDE_PART: u64 = 4;
/// Bytes that an item takes of a store's room at the least, however small its value: so a value of n bytes makes no more than
/// n / 512 items and one more leave.
const CHARGE_MAX: u64 = 512;

/// In which order classes of items make way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// A reader's copy, wherever it came from, and what this node published and has forgotten.
    First,
    /// An item of others: by the share of its source.
    Kept,
    /// An item that this node publishes: it stays.
    Own,
}

/// What an item counts within its class, or its source: the least makes way first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rank {
    has_deleted: bool,
    nearness: core::cmp::Reverse<Distance>,
    expires: Instant,
    /// Makes ranks unique.
    cursor: u32,
}

impl Rank {
    /// No item's rank is below this one.
    #[cfg(feature = "memory")]
    pub(crate) const LEAST: Self =
        Self { has_deleted: false, nearness: core::cmp::Reverse(Distance::MAX), expires: Instant::ZERO, cursor: 0 };
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
            nearness: core::cmp::Reverse(limits.id.distance(&self.key)),
            expires: self.expires,
            cursor: self.cursor,
        }
    }
}

impl Limits {
    /// Bytes that an item takes of the store's room in total.
    pub(crate) fn charge(&self, len: u32) -> u64 {
        u64::from(len).max(self.bytes_per_place().min(CHARGE_MAX))
    }

    /// What an item counts in its source's share: its bytes, and its place as the bytes that belong to one on average. So a
    /// source that takes many places and one that takes many bytes count alike.
    pub(crate) fn weight(&self, len: u32) -> u64 {
        u64::from(len) + self.bytes_per_place()
    }

    fn bytes_per_place(&self) -> u64 {
        self.bytes / (self.items as u64).max(1)
    }
}

/// What must leave a key so that a newcomer has a place under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceUnderKey {
    /// If these leave: what a tombstone deletes, and what makes way in its kind.
    Without {
        /// The item that the newcomer deletes.
        deleted: Option<Digest>,
        /// The item that makes way.
        displaced: Option<Digest>,
    },
    /// It was deleted.
    Deleted,
    None,
}

/// Decides the place of a newcomer among the items of its key and type.
pub(crate) fn place_under_key<'a>(
    limits: &Limits,
    newcomer: &Record,
    held: impl Iterator<Item = &'a Record> + Clone,
) -> PlaceUnderKey {
    let is_tombstone = newcomer.item_type == ItemType::TOMBSTONE;
    // As long as a tombstone is held, what it deletes does not come back, whoever publishes it.
    let forbids = |record: &Record| record.item_type == ItemType::TOMBSTONE && record.lock.0 == newcomer.digest.0;
    if !is_tombstone && held.clone().any(forbids) {
        return PlaceUnderKey::Deleted;
    }
    let deleted = held.clone().find(|record| is_tombstone && record.digest.0 == newcomer.lock.0);
    let deleted = deleted.map(|record| record.digest);
    let same = held.filter(|record| record.item_type == newcomer.item_type);
    let (mut count, mut bytes) = (0, 0);
    for record in same.clone() {
        count += 1;
        bytes += u64::from(record.len);
    }
    let fits_without = |len: u32| bytes - u64::from(len) + u64::from(newcomer.len) <= limits.bytes_per_key;
    if count < limits.values_per_key && fits_without(0) {
        return PlaceUnderKey::Without { deleted, displaced: None };
    }
    let may_leave = same.clone().filter(|record| {
        let outweighed = record.has_deleted && is_tombstone && deleted.is_none();
        !record.own && !outweighed && fits_without(record.len)
    });
    match most_crowded(newcomer, deleted.is_some() || newcomer.own, same.clone(), may_leave) {
        Some(displaced) => PlaceUnderKey::Without { deleted, displaced: Some(displaced) },
        None => PlaceUnderKey::None,
    }
}

/// The oldest item of the source that has most under a key, if it has more than the newcomer's will have; or else the oldest of
/// the newcomer's own source, if the newcomer is younger. A newcomer that `must` have a place takes it from whoever has most.
fn most_crowded<'a>(
    newcomer: &Record,
    must: bool,
    same: impl Iterator<Item = &'a Record> + Clone,
    may_leave: impl Iterator<Item = &'a Record>,
) -> Option<Digest> {
    let crowd = |source: Source, more: u64| {
        let count = |matches: &dyn Fn(Source) -> bool| {
            more + same.clone().filter(|record| !record.own && matches(record.source)).count() as u64
        };
        let (narrow, wide) = (count(&|other| other == source), count(&|other| other.wide() == source.wide()));
        (narrow * WIDE_PART).max(wide)
    };
    let theirs = crowd(newcomer.source, 1);
    let mut victim: Option<((bool, u64), &Record)> = None;
    for record in may_leave {
        let older = record.source == newcomer.source && newcomer.newest_first(record).is_lt();
        let crowd = crowd(record.source, 0);
        let crowd = match must || crowd > theirs {
            true => crowd,
            false if older => 0,
            false => continue,
        };
        // What has deleted nothing goes first.
        let weight = (!record.has_deleted, crowd);
        let more = |(most, oldest): ((bool, u64), &Record)| weight.cmp(&most).then(record.newest_first(oldest)).is_gt();
        if victim.is_none_or(more) {
            victim = Some((weight, record));
        }
    }
    victim.map(|(_, record)| record.digest)
}
