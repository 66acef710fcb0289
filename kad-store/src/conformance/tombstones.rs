//! Tombstones: what they delete, and how long they stay.

use alloc::vec::Vec;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{DeleteLock, ItemHeader, ItemStatus, ItemType, Offer, Query, StoreMode, Tombstone, TypeMask};

use super::{HOUR_MS, at_ms, find, key, offer, public, put};
use crate::Store;

pub(super) fn a_tombstone_that_has_deleted_something_stays(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(1), [7; 32]);
    let item = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&secret), HOUR_MS, b"value");
    store.offer(now, &Offer { header: item, ..offer(now, StoreMode::Publish, &key, item, b"value") });
    let delete = |store: &mut dyn Store, secret: [u8; 32], value: &[u8], source| {
        let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, value);
        let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
        let offer = Offer { source, ..offer(now, StoreMode::Publish, &key, header, &bytes) };
        store.offer(now, &offer).map(|answer| answer.status)
    };
    assert_eq!(delete(store, secret, b"value", public(20, 1, 1)), Some(ItemStatus::Stored));
    for number in 0..50u8 {
        delete(store, [number + 100; 32], &[number], public(66 + number, 1, 1));
    }
    let again = Offer { header: item, ..offer(now, StoreMode::Publish, &key, item, b"value") };
    let answer = store.offer(now, &again).map(|answer| answer.status);
    assert_eq!(answer, Some(ItemStatus::Deleted), "made-up tombstones do not displace it");
    // A tombstone that deletes an item still finds a place.
    let other = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&[9; 32]), HOUR_MS, b"other");
    store.offer(now, &offer(now, StoreMode::Publish, &key, other, b"other"));
    assert_eq!(delete(store, [9; 32], b"other", public(21, 1, 1)), Some(ItemStatus::Stored));
    assert!(find(store, now, &Query { types: TypeMask::VALUES, ..Query::all(key) }).is_empty());
    assert_eq!(store.offer(now, &again).map(|answer| answer.status), Some(ItemStatus::Deleted));
}

pub(super) fn a_tombstone_ends_what_it_deletes_and_keeps_it_away(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(1), [7; 32]);
    let locked = |value: &[u8]| ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&secret), HOUR_MS, value);
    let give = |store: &mut dyn Store, header: ItemHeader, value: &[u8]| {
        store
            .offer(now, &offer(now, StoreMode::Publish, &key, header, value))
            .expect("an offer with bytes is always answered")
            .status
    };
    assert_eq!(give(store, locked(b"mine"), b"mine"), ItemStatus::Stored);
    assert_eq!(put(store, now, StoreMode::Publish, &key, HOUR_MS, b"another's").status, ItemStatus::Stored);
    let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, b"mine");
    let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
    assert_eq!(store.offer(now, &Offer { bytes: None, ..offer(now, StoreMode::Publish, &key, header, &bytes) }), None);
    let query = Query { types: TypeMask::VALUES, ..Query::all(key) };
    assert_eq!(find(store, now, &query).len(), 2, "a header alone deletes no item");
    assert_eq!(give(store, header, &bytes), ItemStatus::Stored);
    let left: Vec<_> = find(store, now, &query).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(left, [b"another's"], "it deletes the item that it names, and no other");
    assert_eq!(give(store, locked(b"mine"), b"mine"), ItemStatus::Deleted);
    let named = Offer { bytes: None, ..offer(now, StoreMode::Replicate, &key, locked(b"mine"), b"mine") };
    assert_eq!(
        store.offer(now, &named).map(|answer| answer.status),
        Some(ItemStatus::Deleted),
        "nor are its bytes wanted"
    );
    assert_eq!(store.publish(now, &key, &locked(b"mine"), b"mine").status, ItemStatus::Deleted);
    assert_eq!(
        give(store, locked(b"next"), b"next"),
        ItemStatus::Stored,
        "other values with the same lock are not deleted"
    );
    assert_eq!(give(store, header, &bytes), ItemStatus::Already);
    let over = at_ms(u64::from(TTL_MAX_MS) + 1);
    store.expire(over);
    assert_eq!(put(store, over, StoreMode::Publish, &key, HOUR_MS, b"later").status, ItemStatus::Stored);
    let late = offer(over, StoreMode::Publish, &key, locked(b"mine"), b"mine");
    assert_eq!(
        store.offer(over, &late).map(|answer| answer.status),
        Some(ItemStatus::Stored),
        "after the tombstone has expired"
    );
}

pub(super) fn a_tombstone_takes_the_place_of_what_it_deletes(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(200), [7; 32]);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&secret), HOUR_MS, &[1; 100]);
    assert_eq!(store.publish(now, &key, &header, &[1; 100]).status, ItemStatus::Stored);
    let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, &[1; 100]);
    let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
    let given = store.offer(now, &offer(now, StoreMode::Publish, &key, header, &bytes));
    assert_eq!(given.map(|answer| answer.status), Some(ItemStatus::Stored));
    assert_eq!(store.usage().items, 1, "only the tombstone is left");
    assert_eq!(store.publish(now, &key, &header, &bytes).status, ItemStatus::Already);
    assert_eq!(store.forget(&key, None), 0, "without a digest, forget keeps the tombstone published");
    assert_eq!(store.forget(&key, Some(&header.digest)), 1, "unless its digest is given");
}
