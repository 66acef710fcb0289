//! Offers, lifetimes, and cached copies.

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Answer, ItemStatus, Key, Offer, Query, StoreMode};

use super::{HOUR_MS, OWN, at_ms, find, header, key, offer, put, source, values};
use crate::{Limits, Store};

pub(super) fn asks_for_the_bytes_of_new_items_only(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    let header = header(&key, HOUR_MS, 0, b"value");
    let announced = Offer { bytes: None, ..offer(now, StoreMode::Publish, &key, header, b"value") };
    assert_eq!(store.offer(now, &announced), None, "a new item is wanted");
    assert_eq!(store.usage().items, 0, "and nothing is stored yet");
    store.offer(now, &offer(now, StoreMode::Publish, &key, header, b"value"));
    let held = store.offer(at_ms(1000), &Offer { mode: StoreMode::Replicate, received: at_ms(1000), ..announced });
    assert_eq!(held, Some(Answer::held(ItemStatus::Already, HOUR_MS - 1000)), "a held one is not");
}

pub(super) fn expires_exactly_at_the_end_of_a_lifetime(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    put(store, now, StoreMode::Publish, &key, 1000, b"short");
    put(store, now, StoreMode::Publish, &key, HOUR_MS, b"long");
    assert_eq!(values(store, at_ms(999), &key).len(), 2);
    assert_eq!(
        values(store, at_ms(1000), &key),
        [b"long"],
        "expired items are not found, whether or not expire was called"
    );
    let digest = header(&key, 0, 0, b"short").digest;
    assert_eq!(store.read(at_ms(1000), &key, &digest, 0, &mut [0; 9]), 0);
    assert!(store.next_wake().is_some_and(|at| at <= at_ms(1000)), "next_wake names the expiry");
    assert_eq!((store.expire(at_ms(999)), store.expire(at_ms(1000)), store.expire(at_ms(1000))), (0, 1, 0));
    assert_eq!((store.usage().items, store.usage().bytes), (1, 4));
    assert_eq!(values(store, at_ms(u64::from(HOUR_MS) - 1), &key), [b"long"]);
    let expired = put(store, at_ms(0), StoreMode::Publish, &key, 0, b"dead");
    assert_eq!(expired.status, ItemStatus::Expired, "an item without lifetime is not stored");
    let again = put(store, at_ms(2000), StoreMode::Publish, &key, 1000, b"short");
    assert_eq!(again.status, ItemStatus::Stored, "what has expired can be stored anew");
}

pub(super) fn lifetimes_shrink_and_only_publishers_extend_them(store: &mut impl Store) {
    let key = key(1);
    let put_at = |store: &mut _, ms, mode, ttl_ms| put(store, at_ms(ms), mode, &key, ttl_ms, b"value").ttl_ms;
    assert_eq!(put_at(store, 0, StoreMode::Publish, 10_000), 10_000);
    for mode in [StoreMode::Replicate, StoreMode::Handover, StoreMode::Cache] {
        assert_eq!(put_at(store, 4000, mode, 10_000), 6000, "{mode:?} does not extend a lifetime");
    }
    assert_eq!(put_at(store, 4000, StoreMode::Publish, 1000), 6000, "and no offer shortens it");
    let found = |store: &mut _, ms: u64| find(store, at_ms(ms), &Query::all(key))[0].0;
    assert_eq!((found(store, 4500).ttl_ms, found(store, 4500).age_ms), (5500, 500), "the publisher resets the age");
    assert_eq!(put_at(store, 5000, StoreMode::Publish, 10_000), 10_000, "the publisher extends the lifetime");
    assert_eq!(found(store, 5000).age_ms, 0);
    // A fraction of a millisecond counts as a whole one.
    let between = at_ms(5000).plus_micros(1);
    let header = find(store, between, &Query::all(key))[0].0;
    assert_eq!((header.ttl_ms, header.age_ms), (9999, 1));
    bare_headers_extend_lifetimes_for_the_publisher_only(store, &key);
    lifetimes_count_from_the_offer_and_are_bounded(store, &key);
    lifetimes_shrink_between_two_holders(store, &key);
}

/// Any node that has seen an item can send its header.
fn bare_headers_extend_lifetimes_for_the_publisher_only(store: &mut impl Store, key: &Key) {
    let named = |source| Offer {
        bytes: None,
        source,
        ..offer(at_ms(5500), StoreMode::Publish, key, header(key, 60_000, 0, b"value"), b"")
    };
    let granted = |store: &mut dyn Store, source| store.offer(at_ms(5500), &named(source)).map(|answer| answer.ttl_ms);
    assert_eq!(granted(store, source(2)), Some(9500), "a bare header of another source does not extend the lifetime");
    assert_eq!(find(store, at_ms(5500), &Query::all(*key))[0].0.age_ms, 500, "nor resets the age");
    assert_eq!(granted(store, source(1)), Some(60_000), "a bare header of the publisher does");
}

fn lifetimes_count_from_the_offer_and_are_bounded(store: &mut impl Store, key: &Key) {
    // The bytes arrive 2 s after the header.
    let late = Offer {
        received: at_ms(6000),
        ..offer(at_ms(8000), StoreMode::Publish, key, header(key, 9000, 0, b"w"), b"w")
    };
    assert_eq!(store.offer(at_ms(8000), &late).map(|answer| answer.ttl_ms), Some(7000));
    let endless = put(store, at_ms(0), StoreMode::Publish, key, u32::MAX, b"x");
    assert_eq!(endless.ttl_ms, TTL_MAX_MS);
}

/// Two holders replicate an item to each other.
fn lifetimes_shrink_between_two_holders(store: &mut impl Store, key: &Key) {
    let mut ttl_ms = u32::MAX;
    for step in 1..50u64 {
        let header = find(store, at_ms(8000 + step * 7), &Query::all(*key))[0].0;
        assert!(header.ttl_ms <= ttl_ms);
        ttl_ms = header.ttl_ms;
        let passed_on = offer(at_ms(8000 + step * 7), StoreMode::Replicate, key, header, b"value");
        store.offer(at_ms(8000 + step * 7), &passed_on);
    }
}

pub(super) fn cached_copies_are_short_lived_and_not_replicated(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    let limit_ms = Limits::new(OWN).cache_ttl_ms;
    let cached = put(store, now, StoreMode::Cache, &key, TTL_MAX_MS, b"value");
    assert_eq!((cached.status, cached.ttl_ms), (ItemStatus::Stored, limit_ms));
    let last = at_ms(u64::from(limit_ms) - 1);
    assert_eq!(store.poll_due(last), None, "a cached copy is not replicated");
    let promoted = put(store, at_ms(1000), StoreMode::Replicate, &key, 5 * HOUR_MS, b"value");
    assert_eq!((promoted.status, promoted.ttl_ms), (ItemStatus::Already, 5 * HOUR_MS), "a holder's copy replaces it");
    assert!(store.poll_due(at_ms(2 * u64::from(HOUR_MS))).is_some());
    // A holder's copy that is about to expire does not shorten the lifetime of a cached one.
    put(store, now, StoreMode::Cache, &self::key(2), TTL_MAX_MS, b"value");
    let expiring = put(store, now, StoreMode::Replicate, &self::key(2), 1, b"value");
    assert_eq!((expiring.status, expiring.ttl_ms), (ItemStatus::Already, limit_ms), "no offer shortens a lifetime");
}
