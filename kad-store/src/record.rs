//! One item as a store knows it, and the lifetime rules that all stores share. Its schedule is in `replication_schedule`, its
//! rank in `eviction`.

use core::cmp::Ordering;
use core::time::Duration;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{
    Answer, DeleteLock, Digest, Instant, ItemHeader, ItemStatus, ItemType, Key, Offer, Query, StoreMode, item_flags,
};

use crate::eviction::source::Source;
use crate::{Limits, Listed, Page};

/// An item without its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) item_type: ItemType,
    pub(crate) flags: u8,
    pub(crate) own: bool,
    /// A tombstone that deleted an item which this store held.
    pub(crate) has_deleted: bool,
    pub(crate) len: u32,
    pub(crate) digest: Digest,
    pub(crate) lock: DeleteLock,
    /// When the item was published, in microseconds of this node's clock; negative if that was before the clock's origin.
    pub(crate) born_us: i64,
    pub(crate) expires: Instant,
    pub(crate) replicate_at: Instant,
    pub(crate) republish_at: Instant,
    pub(crate) source: Source,
    /// Numbers the items of a store in the order of arrival.
    pub(crate) cursor: u32,
}

impl Record {
    pub(crate) const EMPTY: Self = Self {
        key: Key::from_bytes([0; 32]),
        item_type: ItemType::RAW,
        flags: 0,
        own: false,
        has_deleted: false,
        len: 0,
        digest: Digest([0; 16]),
        lock: DeleteLock::NONE,
        born_us: 0,
        expires: Instant::ZERO,
        replicate_at: Instant::ZERO,
        republish_at: Instant::ZERO,
        source: Source::NONE,
        cursor: 0,
    };

    /// Makes the record of an item that arrives. Its lifetime counts from the arrival of the offer.
    pub(crate) fn new(now: Instant, limits: &Limits, offer: &Offer<'_>, own: bool, cursor: u32) -> Self {
        let header = &offer.header;
        let cached = offer.mode == StoreMode::Cache;
        let ttl_max_ms = if cached { limits.cache_ttl_ms } else { TTL_MAX_MS };
        Self {
            key: offer.key,
            item_type: header.item_type,
            flags: if cached { header.flags | item_flags::CACHED } else { header.flags & !item_flags::CACHED },
            own,
            has_deleted: false,
            len: header.total_len,
            digest: header.digest,
            lock: header.lock,
            born_us: born_us(offer),
            expires: offer.received.plus_millis(header.ttl_ms.min(ttl_max_ms).into()),
            replicate_at: limits.next_replication(now),
            republish_at: limits.next_republishing(now),
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

    /// Returns the remaining lifetime in milliseconds, rounded down.
    #[inline(never)]
    pub(crate) fn ttl_ms(&self, now: Instant) -> u32 {
        u32::try_from(self.expires.micros_since(now) / 1000).unwrap_or(u32::MAX)
    }

    /// Returns the time since publication in milliseconds, rounded up.
    #[inline(never)]
    pub(crate) fn age_ms(&self, now: Instant) -> u32 {
        let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let age_us = u64::try_from(now_us.saturating_sub(self.born_us)).unwrap_or(0);
        u32::try_from(age_us.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Returns the header to pass on.
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

    /// Returns whether the item is alive and matches a query's age and types.
    pub(crate) fn matches(&self, now: Instant, query: &Query) -> bool {
        let young = query.max_age.is_none_or(|max| Duration::from_millis(self.age_ms(now).into()) <= max);
        self.is_alive(now) && young && query.types.contains(self.item_type)
    }

    /// Updates the record for an offer of an item that is held.
    ///
    /// - Its publisher extends its lifetime and resets its age: the sender of a PUBLISH with the bytes, or from the source of the
    ///   item. Any other sender of a bare header may only have seen one.
    /// - Any offer but a cached copy puts off the replication, and turns a cached copy into a full one.
    /// - A cached copy changes nothing.
    pub(crate) fn merge_offer(&mut self, now: Instant, limits: &Limits, offer: &Offer<'_>) {
        let offered_until = offer.received.plus_millis(offer.header.ttl_ms.min(TTL_MAX_MS).into());
        if offer.mode == StoreMode::Cache {
            return;
        }
        if self.is_cached() {
            // The offer has the full lifetime. A shorter one does not end the copy early.
            self.flags &= !item_flags::CACHED;
            self.expires = self.expires.max(offered_until);
        } else if offer.mode == StoreMode::Publish
            && (offer.bytes.is_some() || Source::of(&offer.source) == self.source)
        {
            self.expires = self.expires.max(offered_until);
            self.born_us = self.born_us.max(born_us(offer));
        }
        self.put_off_replication(now, limits);
    }

    /// Returns the item's position in a listing.
    pub(crate) fn place(&self) -> (&Key, &Digest) {
        (&self.key, &self.digest)
    }

    /// Returns whether [`Store::forget`](crate::Store::forget) with this digest means this item: one of this node's
    /// own, and without a digest no tombstone.
    pub(crate) fn is_forgotten_by(&self, digest: Option<&Digest>) -> bool {
        self.own && digest.map_or(self.item_type != ItemType::TOMBSTONE, |digest| self.digest == *digest)
    }

    pub(crate) fn listed(&self, now: Instant) -> Listed {
        Listed { key: self.key, header: self.header(now), own: self.own }
    }

    /// Compares in the order of a find: newest first, then by digest.
    #[inline(never)]
    pub(crate) fn newest_first(&self, other: &Self) -> Ordering {
        other.born_us.cmp(&self.born_us).then(self.digest.cmp(&other.digest))
    }
}

/// Returns when an offered item was published, in microseconds of this node's clock.
fn born_us(offer: &Offer<'_>) -> i64 {
    let received_us = i64::try_from(offer.received.as_micros()).unwrap_or(i64::MAX);
    received_us.saturating_sub(i64::from(offer.header.age_ms) * 1000)
}

/// Returns the cursor after `last`: neither 0, which marks the end of a list, nor [`Page::FROM_START`].
pub(crate) fn cursor_after(last: u32) -> u32 {
    match last.wrapping_add(1) {
        0 | Page::FROM_START => 1,
        next => next,
    }
}
