//! The bounds of one key: which of its items a new item replaces.

use kad_wire::{Digest, ItemType};

use super::WIDE_DIVISOR;
use super::source::Source;
use crate::Limits;
use crate::record::Record;

/// Whether a new item fits under its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceUnderKey {
    /// It fits once these are removed.
    Without {
        /// The item that the new one, a tombstone, deletes.
        deleted: Option<Digest>,
        /// The item of the same type that is evicted.
        displaced: Option<Digest>,
    },
    /// A tombstone that deletes the new item is held.
    Deleted,
    /// It does not fit.
    None,
}

/// Decides whether `new` fits among the items that are `held` under its key.
pub(crate) fn place_under_key<'a>(
    limits: &Limits,
    new: &Record,
    held: impl Iterator<Item = &'a Record> + Clone,
) -> PlaceUnderKey {
    let is_tombstone = new.item_type == ItemType::TOMBSTONE;
    // While a tombstone is held, no publisher can bring back what it deletes.
    let forbids = |record: &Record| record.item_type == ItemType::TOMBSTONE && record.lock.0 == new.digest.0;
    if !is_tombstone && held.clone().any(forbids) {
        return PlaceUnderKey::Deleted;
    }
    let deleted = held.clone().find(|record| is_tombstone && record.digest.0 == new.lock.0);
    let deleted = deleted.map(|record| record.digest);
    let same_type = held.filter(|record| record.item_type == new.item_type);
    let (mut count, mut bytes) = (0, 0);
    for record in same_type.clone() {
        count += 1;
        bytes += u64::from(record.len);
    }
    let fits_without = |len: u32| bytes - u64::from(len) + u64::from(new.len) <= limits.bytes_per_key;
    if count < limits.values_per_key && fits_without(0) {
        return PlaceUnderKey::Without { deleted, displaced: None };
    }
    let candidates = same_type.clone().filter(|record| {
        let is_protected = record.has_deleted && is_tombstone && deleted.is_none();
        !record.own && !is_protected && fits_without(record.len)
    });
    match most_crowded(new, deleted.is_some() || new.own, same_type.clone(), candidates) {
        Some(displaced) => PlaceUnderKey::Without { deleted, displaced: Some(displaced) },
        None => PlaceUnderKey::None,
    }
}

/// Returns the oldest item of the source that has most under a key, if it has more than the source of `new` will have;
/// otherwise the oldest of that source itself, if `new` is younger. With `must`, the source that has most always loses one.
fn most_crowded<'a>(
    new: &Record,
    must: bool,
    same_type: impl Iterator<Item = &'a Record> + Clone,
    candidates: impl Iterator<Item = &'a Record>,
) -> Option<Digest> {
    let crowd = |source: Source, more: u64| {
        let count = |matches: &dyn Fn(Source) -> bool| {
            more + same_type.clone().filter(|record| !record.own && matches(record.source)).count() as u64
        };
        let (narrow, wide) = (count(&|other| other == source), count(&|other| other.wide() == source.wide()));
        (narrow * WIDE_DIVISOR).max(wide)
    };
    let crowd_of_new = crowd(new.source, 1);
    let mut victim: Option<((bool, u64), &Record)> = None;
    for record in candidates {
        let older = record.source == new.source && new.newest_first(record).is_lt();
        let crowd = crowd(record.source, 0);
        let crowd = match must || crowd > crowd_of_new {
            true => crowd,
            false if older => 0,
            false => continue,
        };
        // A tombstone that has deleted something goes last.
        let weight = (!record.has_deleted, crowd);
        let more = |(most, oldest): ((bool, u64), &Record)| weight.cmp(&most).then(record.newest_first(oldest)).is_gt();
        if victim.is_none_or(more) {
            victim = Some((weight, record));
        }
    }
    victim.map(|(_, record)| record.digest)
}
