//! Which items go when a key or the store is full.

use alloc::vec;
use alloc::vec::Vec;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Digest, Endpoint, ItemStatus, Key, Offer, StoreMode};

use super::{HOUR_MS, OWN, at_ms, header, key, offer, public, put, source, values};
use crate::Store;

pub(super) fn a_flood_of_one_source_displaces_no_other_under_a_key(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    let send = |store: &mut dyn Store, subnet: u8, value: &[u8], ms: u64| {
        let offer = Offer {
            source: source(subnet),
            ..offer(at_ms(ms), StoreMode::Publish, &key, header(&key, HOUR_MS, 0, value), value)
        };
        store.offer(at_ms(ms), &offer).map(|answer| answer.status)
    };
    send(store, 1, b"honest one", 0);
    send(store, 2, b"honest two", 0);
    for number in 0..100u8 {
        send(store, 66, &[number], 1 + u64::from(number));
    }
    let held = values(store, now, &key);
    assert_eq!(held.len(), 8, "the number of values under a key is bounded");
    assert!(held.contains(&b"honest one".to_vec()) && held.contains(&b"honest two".to_vec()));
    assert!(held.contains(&vec![99]), "the newest item of a source replaces its oldest");
    assert_eq!(send(store, 3, b"honest three", 200), Some(ItemStatus::Stored), "other sources still find a place");
    let usage = store.usage();
    let announced = Offer {
        bytes: None,
        source: source(66),
        ..offer(now, StoreMode::Replicate, &key, header(&key, HOUR_MS, 999_000, b"old"), b"")
    };
    assert_eq!(
        store.offer(now, &announced).map(|answer| answer.status),
        Some(ItemStatus::Full),
        "older items are refused"
    );
    assert_eq!(store.usage(), usage);
}

pub(super) fn bytes_per_key_are_bounded(store: &mut impl Store) {
    let key = key(1);
    for number in 0..10u8 {
        put(store, at_ms(number.into()), StoreMode::Publish, &key, HOUR_MS, &[number; 300]);
    }
    let held = values(store, at_ms(10), &key);
    assert_eq!(held.iter().map(|value| value[0]).collect::<Vec<_>>(), [9, 8, 7], "the newest that fit");
}

pub(super) fn near_items_stay_when_the_store_is_full(store: &mut impl Store) {
    let now = at_ms(0);
    for distance in (100..200).rev() {
        put(store, now, StoreMode::Publish, &key(distance), HOUR_MS, b"value");
    }
    assert_eq!((store.usage().items, store.usage().evicted), (10, 90));
    for distance in 100..110 {
        assert_eq!(values(store, now, &key(distance)).len(), 1, "the nearest stay");
    }
    let far = put(store, now, StoreMode::Publish, &key(150), HOUR_MS, b"value");
    assert_eq!(far.status, ItemStatus::Full, "an item that would be evicted first is refused");
    put(store, now, StoreMode::Cache, &key(1), HOUR_MS, b"value");
    assert!(values(store, now, &key(1)).is_empty(), "a cached copy displaces nothing");
    put(store, now, StoreMode::Publish, &key(2), HOUR_MS, b"value");
    assert!(values(store, now, &key(109)).is_empty() && !values(store, now, &key(2)).is_empty());
}

fn offer_from(store: &mut impl Store, source: Endpoint, key: &Key, ttl_ms: u32, value: &[u8]) -> ItemStatus {
    let header = header(key, ttl_ms, 0, value);
    let offer = Offer { source, ..offer(at_ms(0), StoreMode::Publish, key, header, value) };
    store.offer(at_ms(0), &offer).expect("with bytes there is always an answer").status
}

/// Stores six items far away, of three sources, and returns their keys.
fn honest_items(store: &mut impl Store) -> [Key; 6] {
    let keys = [200, 201, 202, 203, 204, 205].map(key);
    for (number, key) in keys.iter().enumerate() {
        let source = public(20, number as u8 / 2, 1);
        assert_eq!(offer_from(store, source, key, HOUR_MS, b"honest"), ItemStatus::Stored);
    }
    keys
}

/// Returns how many of these keys have a value.
fn held(store: &mut impl Store, keys: &[Key]) -> usize {
    keys.iter().filter(|key| !values(store, at_ms(0), key).is_empty()).count()
}

pub(super) fn a_source_that_sends_more_than_others_displaces_only_its_own(store: &mut impl Store) {
    let honest = honest_items(store);
    let mut bytes = *OWN.as_bytes();
    let mut stored = 0;
    for number in 0..500u16 {
        // As near as possible, with the longest lifetime.
        (bytes[30], bytes[31]) = ((number >> 8) as u8, number as u8);
        let status = offer_from(store, public(66, 6, 6), &Key::from_bytes(bytes), TTL_MAX_MS, b"x");
        stored += usize::from(status == ItemStatus::Stored);
    }
    assert!(stored >= 50 && store.usage().items >= 60, "one source may fill a store: {stored}, {:?}", store.usage());
    assert_eq!(held(store, &honest), 6, "and displaces no item of others");
    for distance in 210..220 {
        let status = offer_from(store, public(30, 1, 1), &key(distance), HOUR_MS, b"honest");
        assert_eq!(status, ItemStatus::Stored, "a source with fewer items finds a place");
    }
    assert_eq!(held(store, &honest), 6);
}

pub(super) fn many_hosts_of_one_wide_prefix_do_not_displace_others(store: &mut impl Store) {
    let honest = honest_items(store);
    for number in 0..250u8 {
        offer_from(store, public(66, 6, number), &key(number), TTL_MAX_MS, b"x");
    }
    assert_eq!(held(store, &honest), 6);
}

pub(super) fn many_bytes_count_like_many_items(store: &mut impl Store) {
    let honest = honest_items(store);
    for number in 0..40u8 {
        offer_from(store, public(66, 6, 6), &key(number), TTL_MAX_MS, &[number; 8000]);
    }
    assert_eq!(held(store, &honest), 6, "a source with few items and many bytes displaces its own");
    for number in 0..200u8 {
        offer_from(store, public(77, 7, 7), &key(number), TTL_MAX_MS, &[]);
    }
    assert_eq!(held(store, &honest), 6, "and so does one with many items and no bytes");
}

pub(super) fn one_value_evicts_few_small_ones(store: &mut impl Store) {
    for number in 0..100u8 {
        offer_from(store, public(66, 6, 6), &key(number), HOUR_MS, &[]);
    }
    let before = store.usage();
    assert_eq!((before.items, before.bytes), (64, 0), "as many as the limit");
    assert_eq!(offer_from(store, public(20, 1, 1), &key(200), HOUR_MS, &[1; 1000]), ItemStatus::Stored);
    let gone = store.usage().evicted - before.evicted;
    assert!(gone <= 1000 / 128 + 1, "an empty item counts some bytes too: {gone} were evicted for 1000 bytes");
}

pub(super) fn many_sources_under_a_key_displace_no_earlier_one(store: &mut impl Store) {
    let key = key(1);
    assert_eq!(offer_from(store, public(20, 1, 1), &key, HOUR_MS, b"honest"), ItemStatus::Stored);
    for number in 0..100u8 {
        offer_from(store, public(66 + number / 2, number, 1), &key, TTL_MAX_MS, &[number]);
    }
    let held = values(store, at_ms(0), &key);
    assert!(held.len() == 8 && held.contains(&b"honest".to_vec()), "more sources than places displace no earlier item");
    offer_from(store, public(66, 0, 1), &key, HOUR_MS, b"another of a source that has one");
    let held = values(store, at_ms(0), &key);
    assert!(held.len() == 8 && held.contains(&b"honest".to_vec()), "a source that has one displaces at most its own");
}

pub(super) fn bytes_in_total_are_bounded(store: &mut impl Store) {
    let now = at_ms(0);
    for distance in (10..60).rev() {
        put(store, now, StoreMode::Publish, &key(distance), HOUR_MS, &[distance; 1000]);
        assert!(store.usage().bytes <= 8 * 1024);
    }
    assert!(store.usage().items >= 6, "and used: {:?}", store.usage());
    assert_eq!(values(store, now, &key(10)), [vec![10; 1000]]);
    let whole = put(store, now, StoreMode::Publish, &key(1), HOUR_MS, &[1; 9000]);
    assert!(!whole.status.is_held(), "an item larger than the store is refused");
    assert!(store.usage().items >= 6, "and displaces no item");
}

pub(super) fn own_items_stay_until_forgotten(store: &mut impl Store) {
    let now = at_ms(0);
    let own = |store: &mut dyn Store, distance: u8| {
        let key = key(distance);
        store.publish(now, &key, &header(&key, HOUR_MS, 0, &[distance]), &[distance]).status
    };
    for distance in [250, 251, 252] {
        assert_eq!(own(store, distance), ItemStatus::Stored);
    }
    for distance in 1..20 {
        put(store, now, StoreMode::Publish, &key(distance), HOUR_MS, b"near");
    }
    for distance in [250, 251, 252] {
        assert_eq!(values(store, now, &key(distance)).len(), 1, "own items are not evicted");
    }
    assert_eq!(own(store, 253), ItemStatus::Stored, "items of others are evicted for them");
    assert_eq!(own(store, 254), ItemStatus::Full, "own items are not");
    assert_eq!(store.forget(&key(250), Some(&Digest([1; 16]))), 0);
    assert_eq!((store.forget(&key(250), None), store.forget(&key(250), None)), (1, 0));
    assert_eq!(values(store, now, &key(250)).len(), 1, "a forgotten item is still held");
    put(store, now, StoreMode::Publish, &key(1), HOUR_MS, b"near");
    assert!(values(store, now, &key(250)).is_empty(), "until it is evicted");
}
