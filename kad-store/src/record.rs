//! One item as a holder knows it, and the rules that all stores share: how long it lives, what changes it, what it counts.

use core::cmp::Ordering;
use core::time::Duration;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{
    Answer, Digest, Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, Offer, Query, StoreMode, item_flags,
};

use crate::due::jittered;
use crate::source::Source;
use crate::{Due, Limits, Listed, Page};

/// An item is not passed on in the last seconds of its life: it would be gone before it is read.
const TOO_LATE_MS: u32 = 5_000;

/// What a holder knows of an item besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) item_type: ItemType,
    pub(crate) flags: u8,
    pub(crate) own: bool,
    /// A tombstone that ended an item which this store held.
    pub(crate) has_deleted: bool,
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
        has_deleted: false,
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

    /// Takes in an offer of what is held already. Its publisher extends its life and makes it younger: that is the sender of a
    /// PUBLISH that brings the bytes, or that brought the item at first, since a bare header is anybody's who has seen one.
    /// Another holder's copy re-arms the replication and no more; a reader's copy changes nothing. Everything but a reader's
    /// copy makes a cached copy a real one.
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
        } else if offer.mode == StoreMode::Publish
            && (offer.bytes.is_some() || Source::of(&offer.source) == self.source)
        {
            self.expires = self.expires.max(offered_until);
            self.born_us = self.born_us.max(born_us(offer));
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
}

/// When an offered item was published, in microseconds of this node's clock.
fn born_us(offer: &Offer<'_>) -> i64 {
    let received_us = i64::try_from(offer.received.as_micros()).unwrap_or(i64::MAX);
    received_us.saturating_sub(i64::from(offer.header.age_ms) * 1000)
}

/// The next item's cursor: neither 0, which says that a list has ended, nor [`Page::FROM_START`].
pub(crate) fn cursor_after(last: u32) -> u32 {
    match last.wrapping_add(1) {
        0 | Page::FROM_START => 1,
        next => next,
    }
}
