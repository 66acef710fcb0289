//! Finding, reading, paging and listing.

use alloc::vec::Vec;
use core::time::Duration;

use kad_wire::{DeleteLock, Digest, ItemHeader, ItemStatus, ItemType, Query, StoreMode, TypeMask};

use super::{Collect, HOUR_MS, at_ms, find, header, key, offer, put, values};
use crate::Store;

pub(super) fn keeps_and_reads_bytes(store: &mut impl Store) {
    let now = at_ms(0);
    let long: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
    for (distance, value) in [(1, &[][..]), (2, b"x"), (3, &long)] {
        let key = key(distance);
        let answer = put(store, now, StoreMode::Publish, &key, HOUR_MS, value);
        assert_eq!((answer.status, answer.ttl_ms), (ItemStatus::Stored, HOUR_MS));
        assert_eq!(values(store, now, &key), [value], "stored items are found");
        let digest = header(&key, 0, 0, value).digest;
        let mut window = [0xaa; 700];
        for offset in [0, 1, 125, 126, 127, 1000, 4999, 5000, 70_000] {
            let read = store.read(now, &key, &digest, offset, &mut window);
            let rest = value.get(offset as usize..).unwrap_or_default();
            assert_eq!(window[..read], rest[..rest.len().min(700)], "a read at {offset} returns the bytes from there");
        }
        assert_eq!(store.read(now, &key, &Digest([9; 16]), 0, &mut window), 0, "another digest is another item");
    }
    assert_eq!((store.usage().items, store.usage().bytes), (3, 5001));
    assert_eq!(values(store, now, &key(9)), [] as [Vec<u8>; 0], "an unknown key has no values");
}

pub(super) fn finds_newest_first_by_age_and_type(store: &mut impl Store) {
    let (now, key) = (at_ms(10_000), key(1));
    for (age_ms, value) in [(5000, b"b"), (9000, b"c"), (1000, b"a")] {
        let offer = offer(now, StoreMode::Replicate, &key, header(&key, HOUR_MS, age_ms, value), value);
        store.offer(now, &offer);
    }
    // An item may be published before the clock's origin.
    let ancient = header(&key, HOUR_MS, u32::MAX, b"z");
    store.offer(now, &offer(now, StoreMode::Replicate, &key, ancient, b"z"));
    let content = ItemHeader::publish(&key, ItemType::CONTENT, DeleteLock::NONE, HOUR_MS, b"content");
    store.offer(now, &offer(now, StoreMode::Publish, &key, content, b"content"));
    assert_eq!(values(store, now, &key), [&b"content"[..], b"a", b"b", b"c", b"z"]);
    let later = at_ms(12_000);
    let young = |max_ms| Query { max_age: Some(Duration::from_millis(max_ms)), ..Query::all(key) };
    let ages: Vec<_> = find(store, later, &young(7000)).iter().map(|(header, _)| header.age_ms).collect();
    assert_eq!(ages, [2000, 3000, 7000], "an age filter returns exactly the newer items");
    assert_eq!(find(store, later, &young(6999)).len(), 2);
    let raw = Query { types: TypeMask::only(ItemType::RAW), ..Query::all(key) };
    assert_eq!(find(store, now, &raw).len(), 4);
    let both = Query { types: TypeMask::only(ItemType::CONTENT), ..young(60_000) };
    assert_eq!(find(store, now, &both).len(), 1);
}

pub(super) fn pages_without_loss_or_repetition(store: &mut impl Store) {
    let (now, key) = (at_ms(10_000), key(1));
    for number in 0..20u8 {
        let (value, age_ms) = ([number], u32::from(number % 5));
        store.offer(now, &offer(now, StoreMode::Replicate, &key, header(&key, HOUR_MS, age_ms, &value), &value));
    }
    let whole: Vec<_> = find(store, now, &Query::all(key)).iter().map(|(header, _)| header.digest).collect();
    let (mut paged, mut cursor, mut pages) = (Vec::new(), 0, 0);
    loop {
        let mut sink = Collect::new(3);
        let page = store.find(now, &Query { cursor, ..Query::all(key) }, &mut sink);
        assert_eq!(page.total, 20);
        paged.extend(sink.found.iter().map(|(header, _)| header.digest));
        (cursor, pages) = (page.next_cursor, pages + 1);
        if cursor == 0 || pages > 20 {
            break;
        }
    }
    assert_eq!((paged, pages), (whole, 7), "the pages are the whole list");
}

/// Cursor 0 means the end of the list, and only that, however few items fit a page.
pub(super) fn a_page_without_capacity_has_a_next_cursor(store: &mut impl Store) {
    let (now, key) = (at_ms(10_000), key(1));
    let empty = store.find(now, &Query::all(key), &mut Collect::new(0));
    assert_eq!((empty.total, empty.next_cursor), (0, 0), "an empty list has no next page");
    for number in 0..3u8 {
        put(store, at_ms(number.into()), StoreMode::Publish, &key, HOUR_MS, &[number]);
    }
    let (mut cursor, mut seen) = (0, Vec::new());
    for room in [0, 0, 2, 0, 0, 1] {
        let mut sink = Collect::new(room);
        let page = store.find(now, &Query { cursor, ..Query::all(key) }, &mut sink);
        seen.extend(sink.found.iter().map(|(_, bytes)| bytes[0]));
        cursor = page.next_cursor;
        assert_eq!((page.total, cursor != 0), (3, seen.len() < 3), "with capacity {room} after {seen:?}");
    }
    assert_eq!(seen, [2, 1, 0], "the list goes on where the page ended");
}

/// At least until the store drops the item.
pub(super) fn a_page_goes_on_after_an_item_that_has_expired(store: &mut impl Store) {
    let key = key(1);
    for (number, ttl_ms) in [(0u8, HOUR_MS), (1, 5000), (2, HOUR_MS)] {
        put(store, at_ms(number.into()), StoreMode::Publish, &key, ttl_ms, &[number]);
    }
    let mut page = Collect::new(2);
    let first = store.find(at_ms(1000), &Query::all(key), &mut page);
    assert_eq!(page.found.iter().map(|(_, bytes)| bytes[0]).collect::<Vec<_>>(), [2, 1]);
    let mut page = Collect::new(9);
    let query = Query { cursor: first.next_cursor, ..Query::all(key) };
    let second = store.find(at_ms(6000), &query, &mut page);
    assert_eq!(page.found.iter().map(|(_, bytes)| bytes[0]).collect::<Vec<_>>(), [0], "no item comes twice");
    assert_eq!((second.total, second.next_cursor), (2, 0));
}

pub(super) fn lists_every_item_once(store: &mut impl Store) {
    let now = at_ms(0);
    for distance in 1..30 {
        put(store, now, StoreMode::Publish, &key(distance), if distance < 5 { 100 } else { HOUR_MS }, &[distance]);
    }
    store.publish(now, &key(40), &header(&key(40), HOUR_MS, 0, b"own"), b"own");
    let (mut place, mut keys, mut own) = (None, Vec::new(), 0);
    while let Some(listed) = store.next_item(at_ms(100), place.as_ref()) {
        assert!(place.is_none_or(|before| before < listed.place()));
        place = Some(listed.place());
        own += usize::from(listed.own);
        keys.push(listed.key);
    }
    let expected: Vec<_> = (5..30).chain([40]).map(key).collect();
    assert_eq!((keys, own), (expected, 1), "all items that are alive, in the order of their keys");
}
