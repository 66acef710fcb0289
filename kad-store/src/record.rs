//! One item as a holder knows it, and the rules that all stores share: how long it lives, what changes it, what it counts.

use core::cmp::Ordering;
use core::time::Duration;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{
    Answer, Digest, Distance, Endpoint, Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, Offer, Query, StoreMode,
    item_flags,
};

use crate::due::jittered;
use crate::{Due, Limits, Listed, Page};

/// An item is not passed on in the last seconds of its life: it would be gone before it is read.
const TOO_LATE_MS: u32 = 5_000;

/// Whose items count together under a key: the /24 of an IPv4 address, the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Source(pub(crate) [u8; 8]);

impl Source {
    pub(crate) const NONE: Self = Self([0; 8]);

    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let ip = endpoint.ip;
        let mut prefix = [0; 8];
        if endpoint.is_v4() {
            prefix[..2].copy_from_slice(&[0xff, 0xff]);
            prefix[2..5].copy_from_slice(&ip[12..15]);
        } else {
            prefix.copy_from_slice(&ip[..8]);
        }
        Self(prefix)
    }
}

/// What a holder knows of an item besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) item_type: ItemType,
    pub(crate) flags: u8,
    pub(crate) own: bool,
    pub(crate) len: u32,
    pub(crate) digest: Digest,
    pub(crate) lock: Lock,
    /// Microseconds of this node's clock at which the item was published; before its origin for older ones.
    pub(crate) born_us: i64,
    pub(crate) expires: Instant,
    pub(crate) replicate_at: Instant,
    pub(crate) republish_at: Instant,
    pub(crate) source: Source,
    /// The order in which items came.
    pub(crate) cursor: u32,
}

impl Record {
    pub(crate) const EMPTY: Self = Self {
        key: Key::from_bytes([0; 32]),
        item_type: ItemType::RAW,
        flags: 0,
        own: false,
        len: 0,
        digest: Digest([0; 16]),
        lock: Lock::NONE,
        born_us: 0,
        expires: Instant::ZERO,
        replicate_at: Instant::ZERO,
        republish_at: Instant::ZERO,
        source: Source::NONE,
        cursor: 0,
    };

    /// The record of an item that arrives: its life counts from the arrival of its header.
    pub(crate) fn new(now: Instant, limits: &Limits, offer: &Offer<'_>, own: bool, cursor: u32) -> Self {
        let header = &offer.header;
        let cached = offer.mode == StoreMode::Cache;
        let ttl_max_ms = if cached { limits.cache_ttl_ms } else { TTL_MAX_MS };
        let received_us = i64::try_from(offer.received.as_micros()).unwrap_or(i64::MAX);
        Self {
            key: offer.key,
            item_type: header.item_type,
            flags: if cached { header.flags | item_flags::CACHED } else { header.flags & !item_flags::CACHED },
            own,
            len: header.total_len,
            digest: header.digest,
            lock: header.lock,
            born_us: received_us.saturating_sub(i64::from(header.age_ms) * 1000),
            expires: offer.received.plus_millis(header.ttl_ms.min(ttl_max_ms).into()),
            replicate_at: jittered(now, limits.replicate, &limits.id),
            republish_at: jittered(now, limits.republish, &limits.id),
            source: Source::of(&offer.source),
            cursor,
        }
    }

    pub(crate) fn is_cached(&self) -> bool {
        self.flags & item_flags::CACHED != 0
    }

    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// Remaining life in milliseconds, rounded down.
    #[inline(never)]
    pub(crate) fn ttl_ms(&self, now: Instant) -> u32 {
        u32::try_from(self.expires.micros_since(now) / 1000).unwrap_or(u32::MAX)
    }

    /// Time since publication in milliseconds, rounded up.
    #[inline(never)]
    pub(crate) fn age_ms(&self, now: Instant) -> u32 {
        let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let age_us = u64::try_from(now_us.saturating_sub(self.born_us)).unwrap_or(0);
        u32::try_from(age_us.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// The header to pass on.
    #[inline(never)]
    pub(crate) fn header(&self, now: Instant) -> ItemHeader {
        ItemHeader {
            item_type: self.item_type,
            flags: self.flags,
            inline_len: 0,
            total_len: self.len,
            ttl_ms: self.ttl_ms(now),
            age_ms: self.age_ms(now),
            digest: self.digest,
            lock: self.lock,
        }
    }

    pub(crate) fn answer(&self, now: Instant, status: ItemStatus) -> Answer {
        Answer::held(status, self.ttl_ms(now))
    }

    /// Whether a query asks for it.
    pub(crate) fn matches(&self, now: Instant, query: &Query) -> bool {
        let young = query.max_age.is_none_or(|max| Duration::from_millis(self.age_ms(now).into()) <= max);
        self.is_alive(now) && young && query.types.contains(self.item_type)
    }

    /// Takes in an offer of what is held already. Only its publisher extends its life; another holder's copy re-arms the
    /// replication and no more; a reader's copy changes nothing. Whatever is more than a cached copy makes it more.
    pub(crate) fn offered_again(&mut self, now: Instant, limits: &Limits, offer: &Offer<'_>) {
        let offered_until = offer.received.plus_millis(offer.header.ttl_ms.min(TTL_MAX_MS).into());
        if offer.mode == StoreMode::Cache {
            return;
        }
        if self.is_cached() {
            // What was a reader's short-lived copy is now given by a holder, with its real life: which nobody can use to end
            // the copy, by naming a shorter one.
            self.flags &= !item_flags::CACHED;
            self.expires = self.expires.max(offered_until);
        } else if offer.mode == StoreMode::Publish {
            self.expires = self.expires.max(offered_until);
        }
        self.replicate_at = jittered(now, limits.replicate, &limits.id);
    }

    /// When it is next passed on, and why; never for a cached copy.
    #[inline(never)]
    pub(crate) fn due(&self) -> Option<(Instant, StoreMode)> {
        if self.is_cached() {
            return None;
        }
        match self.own && self.republish_at <= self.replicate_at {
            true => Some((self.republish_at, StoreMode::Publish)),
            false => Some((self.replicate_at, StoreMode::Replicate)),
        }
    }

    /// When it wants something: to be passed on, or to be dropped.
    pub(crate) fn next_wake(&self) -> Instant {
        self.due().map_or(self.expires, |(at, _)| at.min(self.expires))
    }

    /// Where it stands in a listing.
    pub(crate) fn place(&self) -> (&Key, &Digest) {
        (&self.key, &self.digest)
    }

    /// Whether it is due by `until`, for the same reason and in the same region of the key space as another. That one itself
    /// is due again by then if its interval is short.
    pub(crate) fn is_due_with(&self, until: Instant, first: &Due, bits: usize) -> bool {
        if self.key == first.key && self.digest == first.header.digest {
            return false;
        }
        let near = self.key.shared_bits(&first.key) >= bits;
        near && self.due().is_some_and(|(at, mode)| at <= until && mode == first.mode)
    }

    /// Takes it as passed on: both intervals start anew. `None` when too little of its life is left.
    pub(crate) fn take_due(&mut self, now: Instant, limits: &Limits, mode: StoreMode) -> Option<Due> {
        self.replicate_at = jittered(now, limits.replicate, &limits.id);
        if mode == StoreMode::Publish {
            self.republish_at = jittered(now, limits.republish, &limits.id);
        }
        let header = self.header(now);
        (header.ttl_ms > TOO_LATE_MS).then_some(Due { key: self.key, header, mode })
    }

    /// Whether forgetting this digest, or whatever its key has, means this item. The proof of a delete is only forgotten by name.
    pub(crate) fn is_forgotten_by(&self, digest: Option<&Digest>) -> bool {
        self.own && digest.map_or(self.item_type != ItemType::TOMBSTONE, |digest| self.digest == *digest)
    }

    pub(crate) fn listed(&self, now: Instant) -> Listed {
        Listed { key: self.key, header: self.header(now), own: self.own }
    }

    /// Newest first, then by digest: the order of a find.
    #[inline(never)]
    pub(crate) fn newest_first(&self, other: &Self) -> Ordering {
        other.born_us.cmp(&self.born_us).then(self.digest.cmp(&other.digest))
    }

    /// What it counts when room is short: the least makes way first.
    #[inline(never)]
    pub(crate) fn rank(&self, limits: &Limits) -> Rank {
        Rank {
            own: self.own,
            kept: !self.is_cached(),
            nearness: core::cmp::Reverse(limits.id.distance(&self.key)),
            expires: self.expires,
            cursor: self.cursor,
        }
    }
}

/// The next item's cursor: neither 0, which says that a list has ended, nor [`Page::FROM_START`].
pub(crate) fn cursor_after(last: u32) -> u32 {
    match last.wrapping_add(1) {
        0 | Page::FROM_START => 1,
        next => next,
    }
}

/// See [`Record::rank`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rank {
    pub(crate) own: bool,
    kept: bool,
    nearness: core::cmp::Reverse<Distance>,
    expires: Instant,
    /// Makes ranks unique.
    cursor: u32,
}

/// What must leave a key so that a newcomer has a place under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceUnderKey {
    Free,
    /// If the item with this digest leaves.
    Instead(Digest),
    /// It was deleted.
    Deleted,
    None,
}

/// A tombstone takes the place of what it deletes, whoever publishes that; and as long as it is held that does not come back.
fn by_tombstones<'a>(newcomer: &Record, mut held: impl Iterator<Item = &'a Record>) -> Option<PlaceUnderKey> {
    if newcomer.item_type == ItemType::TOMBSTONE {
        let deleted = held.find(|record| record.digest.0 == newcomer.lock.0)?;
        return Some(PlaceUnderKey::Instead(deleted.digest));
    }
    let is_deleted = |record: &Record| record.item_type == ItemType::TOMBSTONE && record.lock.0 == newcomer.digest.0;
    held.any(is_deleted).then_some(PlaceUnderKey::Deleted)
}

/// Decides the place of a newcomer among the items of its key and type.
pub(crate) fn place_under_key<'a>(
    limits: &Limits,
    newcomer: &Record,
    held: impl Iterator<Item = &'a Record> + Clone,
) -> PlaceUnderKey {
    if let Some(decided) = by_tombstones(newcomer, held.clone()) {
        return decided;
    }
    let same = held.filter(|record| record.item_type == newcomer.item_type);
    let (mut count, mut bytes) = (0, 0);
    for record in same.clone() {
        count += 1;
        bytes += u64::from(record.len);
    }
    let fits_without = |len: u32| bytes - u64::from(len) + u64::from(newcomer.len) <= limits.bytes_per_key;
    if count < limits.values_per_key && fits_without(0) {
        return PlaceUnderKey::Free;
    }
    let of = |source: Source| same.clone().filter(|record| record.source == source).count();
    let theirs = of(newcomer.source);
    // Of the prefix with the most items the oldest, if it has more than the newcomer's. Otherwise the newcomer's prefix gives
    // up its own oldest, if that is older.
    let mut victim: Option<(usize, &Record)> = None;
    for record in same.clone().filter(|record| !record.own && fits_without(record.len)) {
        let crowd = of(record.source);
        let older = record.source == newcomer.source && newcomer.newest_first(record).is_lt();
        let weight = match crowd > theirs || newcomer.own {
            true => crowd,
            false if older => 0,
            false => continue,
        };
        let more = |(most, oldest): (usize, &Record)| weight.cmp(&most).then(record.newest_first(oldest)).is_gt();
        if victim.is_none_or(more) {
            victim = Some((weight, record));
        }
    }
    victim.map_or(PlaceUnderKey::None, |(_, victim)| PlaceUnderKey::Instead(victim.digest))
}
