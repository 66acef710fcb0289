//! What every store must do, as a test that any store can run.
//!
//! ```
//! use kad_store::{MemoryStore, conformance};
//! conformance::run(MemoryStore::new);
//! ```
//!
//! [`run`] panics at the first rule that is broken and says which. The store must be able to hold 64 items and 64 KiB.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{
    Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, NodeId, Offer, Query, Sink,
    StoreMode, Tombstone, TypeMask,
};

use crate::{Limits, Store};

/// Runs every rule on stores that `make` makes. Each store must be empty and keep to the limits that it is given.
///
/// # Panics
/// When a rule is broken.
pub fn run<S: Store>(mut make: impl FnMut(Limits) -> S) {
    let mut fresh = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits { items: 64, bytes: 64 << 10, ..Limits::new(OWN) };
        change(&mut limits);
        make(limits)
    };
    keeps_and_reads_bytes(&mut fresh(&|_| {}));
    forgets_exactly_at_the_end_of_a_life(&mut fresh(&|_| {}));
    finds_newest_first_by_age_and_type(&mut fresh(&|_| {}));
    pages_without_loss_or_repetition(&mut fresh(&|_| {}));
    a_page_without_room_says_that_there_is_more(&mut fresh(&|_| {}));
    a_page_goes_on_after_an_item_that_has_ended(&mut fresh(&|_| {}));
    says_what_it_wants_before_the_bytes_come(&mut fresh(&|_| {}));
    lifetimes_shrink_and_only_publishers_extend_them(&mut fresh(&|_| {}));
    cached_copies_are_short_lived_and_not_passed_on(&mut fresh(&|_| {}));
    a_flood_of_one_source_leaves_the_others_their_places(&mut fresh(&|limits| limits.values_per_key = 8));
    bytes_per_key_are_bounded(&mut fresh(&|limits| limits.bytes_per_key = 1000));
    near_items_stay_when_room_is_short(&mut fresh(&|limits| limits.items = 10));
    a_source_that_sends_more_than_others_displaces_only_its_own(&mut fresh(&|_| {}));
    many_hosts_of_one_wide_prefix_do_not_displace_others(&mut fresh(&|_| {}));
    many_bytes_count_like_many_items(&mut fresh(&|_| {}));
    one_value_makes_few_small_ones_leave(&mut fresh(&|limits| limits.bytes = 8 * 1024));
    a_key_that_many_sources_fill_keeps_what_was_there(&mut fresh(&|limits| limits.values_per_key = 8));
    a_tombstone_that_has_deleted_something_stays(&mut fresh(&|limits| limits.values_per_key = 4));
    bytes_in_total_are_bounded(&mut fresh(&|limits| limits.bytes = 8 * 1024));
    own_items_stay_until_forgotten(&mut fresh(&|limits| limits.items = 4));
    a_tombstone_ends_what_it_deletes_and_keeps_it_away(&mut fresh(&|_| {}));
    a_tombstone_finds_room_where_what_it_deletes_was(&mut fresh(&|limits| limits.items = 1));
    is_due_hourly_unless_somebody_else_did_it(&mut fresh(&|_| {}));
    own_items_are_republished_daily(&mut fresh(&|_| {}));
    lists_every_item_once(&mut fresh(&|_| {}));
    what_is_due_takes_its_neighbours_along(&mut fresh(&|_| {}));
    for seed in 1..=20 {
        behaves_like_a_plain_map(&mut fresh(&|_| {}), seed);
    }
}

const OWN: NodeId = NodeId::from_bytes([0; 32]);
const HOUR_MS: u32 = 3_600_000;

fn at_ms(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(1_000_000 + ms)
}

fn key(distance: u8) -> Key {
    let mut bytes = [0; 32];
    bytes[0] = distance;
    bytes[31] = 1;
    Key::from_bytes(bytes)
}

fn source(subnet: u8) -> Endpoint {
    (Ipv4Addr::new(10, 1, subnet, 7), 9000).into()
}

fn header(key: &Key, ttl_ms: u32, age_ms: u32, value: &[u8]) -> ItemHeader {
    ItemHeader { age_ms, ..ItemHeader::publish(key, ItemType::RAW, Lock::NONE, ttl_ms, value) }
}

fn offer<'a>(now: Instant, mode: StoreMode, key: &Key, header: ItemHeader, value: &'a [u8]) -> Offer<'a> {
    Offer { key: *key, header, bytes: Some(value), mode, source: source(1), received: now }
}

fn put(store: &mut impl Store, now: Instant, mode: StoreMode, key: &Key, ttl_ms: u32, value: &[u8]) -> Answer {
    let offer = offer(now, mode, key, header(key, ttl_ms, 0, value), value);
    store.offer(now, &offer).expect("with bytes there is always an answer")
}

/// Collects what a find hands out, up to a number of items: for tests of stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collect {
    /// Items that it takes at the most.
    pub room: usize,
    /// What it took: headers, and the bytes of each.
    pub found: Vec<(ItemHeader, Vec<u8>)>,
}

impl Collect {
    /// Takes up to `room` items.
    pub const fn new(room: usize) -> Self {
        Self { room, found: Vec::new() }
    }
}

impl Sink for Collect {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        if self.found.len() >= self.room {
            return None;
        }
        self.found.push((*header, vec![0xee; header.total_len as usize]));
        self.found.last_mut().map(|(_, bytes)| &mut bytes[..])
    }
}

fn find(store: &mut impl Store, now: Instant, query: &Query) -> Vec<(ItemHeader, Vec<u8>)> {
    let mut sink = Collect::new(usize::MAX);
    let page = store.find(now, query, &mut sink);
    assert_eq!((page.total, page.next_cursor), (sink.found.len(), 0), "the total counts what matches");
    sink.found
}

fn values(store: &mut impl Store, now: Instant, key: &Key) -> Vec<Vec<u8>> {
    find(store, now, &Query::all(*key)).into_iter().map(|(_, bytes)| bytes).collect()
}

fn keeps_and_reads_bytes(store: &mut impl Store) {
    let now = at_ms(0);
    let long: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
    for (distance, value) in [(1, &[][..]), (2, b"x"), (3, &long)] {
        let key = key(distance);
        let answer = put(store, now, StoreMode::Publish, &key, HOUR_MS, value);
        assert_eq!((answer.status, answer.ttl_ms), (ItemStatus::Stored, HOUR_MS));
        assert_eq!(values(store, now, &key), [value], "what was stored is found");
        let digest = header(&key, 0, 0, value).digest;
        let mut window = [0xaa; 700];
        for offset in [0, 1, 125, 126, 127, 1000, 4999, 5000, 70_000] {
            let read = store.read(now, &key, &digest, offset, &mut window);
            let rest = value.get(offset as usize..).unwrap_or_default();
            assert_eq!(window[..read], rest[..rest.len().min(700)], "reading at {offset} gives the bytes from there");
        }
        assert_eq!(store.read(now, &key, &Digest([9; 16]), 0, &mut window), 0, "another digest is another item");
    }
    assert_eq!((store.usage().items, store.usage().bytes), (3, 5001));
    assert_eq!(values(store, now, &key(9)), [] as [Vec<u8>; 0], "an unknown key has no values");
}

fn forgets_exactly_at_the_end_of_a_life(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    put(store, now, StoreMode::Publish, &key, 1000, b"short");
    put(store, now, StoreMode::Publish, &key, HOUR_MS, b"long");
    assert_eq!(values(store, at_ms(999), &key).len(), 2);
    assert_eq!(values(store, at_ms(1000), &key), [b"long"], "gone at the end of its life, swept or not");
    let digest = header(&key, 0, 0, b"short").digest;
    assert_eq!(store.read(at_ms(1000), &key, &digest, 0, &mut [0; 9]), 0);
    assert!(store.next_wake().is_some_and(|at| at <= at_ms(1000)), "it says when something expires");
    assert_eq!((store.expire(at_ms(999)), store.expire(at_ms(1000)), store.expire(at_ms(1000))), (0, 1, 0));
    assert_eq!((store.usage().items, store.usage().bytes), (1, 4));
    assert_eq!(values(store, at_ms(u64::from(HOUR_MS) - 1), &key), [b"long"]);
    let expired = put(store, at_ms(0), StoreMode::Publish, &key, 0, b"dead");
    assert_eq!(expired.status, ItemStatus::Expired, "nothing is stored without a life");
    let again = put(store, at_ms(2000), StoreMode::Publish, &key, 1000, b"short");
    assert_eq!(again.status, ItemStatus::Stored, "what has expired can be stored anew");
}

fn finds_newest_first_by_age_and_type(store: &mut impl Store) {
    let (now, key) = (at_ms(10_000), key(1));
    for (age_ms, value) in [(5000, b"b"), (9000, b"c"), (1000, b"a")] {
        let offer = offer(now, StoreMode::Replicate, &key, header(&key, HOUR_MS, age_ms, value), value);
        store.offer(now, &offer);
    }
    // An item may be older than the clock.
    let ancient = header(&key, HOUR_MS, u32::MAX, b"z");
    store.offer(now, &offer(now, StoreMode::Replicate, &key, ancient, b"z"));
    let content = ItemHeader::publish(&key, ItemType::CONTENT, Lock::NONE, HOUR_MS, b"content");
    store.offer(now, &offer(now, StoreMode::Publish, &key, content, b"content"));
    assert_eq!(values(store, now, &key), [&b"content"[..], b"a", b"b", b"c", b"z"]);
    let later = at_ms(12_000);
    let young = |max_ms| Query { max_age: Some(Duration::from_millis(max_ms)), ..Query::all(key) };
    let ages: Vec<_> = find(store, later, &young(7000)).iter().map(|(header, _)| header.age_ms).collect();
    assert_eq!(ages, [2000, 3000, 7000], "an age filter gives exactly the newer ones");
    assert_eq!(find(store, later, &young(6999)).len(), 2);
    let raw = Query { types: TypeMask::only(ItemType::RAW), ..Query::all(key) };
    assert_eq!(find(store, now, &raw).len(), 4);
    let both = Query { types: TypeMask::only(ItemType::CONTENT), ..young(60_000) };
    assert_eq!(find(store, now, &both).len(), 1);
}

fn pages_without_loss_or_repetition(store: &mut impl Store) {
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
    assert_eq!((paged, pages), (whole, 7), "pages join to the whole list");
}

/// However little fits: cursor 0 means that there is no more, and nothing else does.
fn a_page_without_room_says_that_there_is_more(store: &mut impl Store) {
    let (now, key) = (at_ms(10_000), key(1));
    let empty = store.find(now, &Query::all(key), &mut Collect::new(0));
    assert_eq!((empty.total, empty.next_cursor), (0, 0), "nothing is not more");
    for number in 0..3u8 {
        put(store, at_ms(number.into()), StoreMode::Publish, &key, HOUR_MS, &[number]);
    }
    let (mut cursor, mut seen) = (0, Vec::new());
    for room in [0, 0, 2, 0, 0, 1] {
        let mut sink = Collect::new(room);
        let page = store.find(now, &Query { cursor, ..Query::all(key) }, &mut sink);
        seen.extend(sink.found.iter().map(|(_, bytes)| bytes[0]));
        cursor = page.next_cursor;
        assert_eq!((page.total, cursor != 0), (3, seen.len() < 3), "with room for {room} after {seen:?}");
    }
    assert_eq!(seen, [2, 1, 0], "and the list goes on where it stopped");
}

/// At least until the store sweeps: a cursor has no room for more than an item's name.
fn a_page_goes_on_after_an_item_that_has_ended(store: &mut impl Store) {
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

fn says_what_it_wants_before_the_bytes_come(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    let header = header(&key, HOUR_MS, 0, b"value");
    let announced = Offer { bytes: None, ..offer(now, StoreMode::Publish, &key, header, b"value") };
    assert_eq!(store.offer(now, &announced), None, "a new item is wanted");
    assert_eq!(store.usage().items, 0, "and nothing is stored yet");
    store.offer(now, &offer(now, StoreMode::Publish, &key, header, b"value"));
    let held = store.offer(at_ms(1000), &Offer { mode: StoreMode::Replicate, received: at_ms(1000), ..announced });
    assert_eq!(held, Some(Answer::held(ItemStatus::Already, HOUR_MS - 1000)), "a held one is not");
}

fn lifetimes_shrink_and_only_publishers_extend_them(store: &mut impl Store) {
    let key = key(1);
    let put_at = |store: &mut _, ms, mode, ttl_ms| put(store, at_ms(ms), mode, &key, ttl_ms, b"value").ttl_ms;
    assert_eq!(put_at(store, 0, StoreMode::Publish, 10_000), 10_000);
    for mode in [StoreMode::Replicate, StoreMode::Handover, StoreMode::Cache] {
        assert_eq!(put_at(store, 4000, mode, 10_000), 6000, "{mode:?} never extends a life");
    }
    assert_eq!(put_at(store, 4000, StoreMode::Publish, 1000), 6000, "and nothing shortens it");
    let found = |store: &mut _, ms: u64| find(store, at_ms(ms), &Query::all(key))[0].0;
    assert_eq!((found(store, 4500).ttl_ms, found(store, 4500).age_ms), (5500, 500), "its publisher makes it younger");
    assert_eq!(put_at(store, 5000, StoreMode::Publish, 10_000), 10_000, "its publisher extends it");
    assert_eq!(found(store, 5000).age_ms, 0);
    // A fraction of a millisecond counts as lived.
    let between = at_ms(5000).plus_micros(1);
    let header = find(store, between, &Query::all(key))[0].0;
    assert_eq!((header.ttl_ms, header.age_ms), (9999, 1));
    // A header without the bytes is anybody's: only who brought the item may say so.
    let named = |source| Offer {
        bytes: None,
        source,
        ..offer(at_ms(5500), StoreMode::Publish, &key, self::header(&key, 60_000, 0, b"value"), b"")
    };
    let granted = |store: &mut dyn Store, source| store.offer(at_ms(5500), &named(source)).map(|answer| answer.ttl_ms);
    assert_eq!(granted(store, source(2)), Some(9500), "a stranger's bare header extends no life");
    assert_eq!(find(store, at_ms(5500), &Query::all(key))[0].0.age_ms, 500, "and makes nothing younger");
    assert_eq!(granted(store, source(1)), Some(60_000), "its publisher's does");
    // However long the bytes took, the life counts from the offer.
    let late = Offer {
        received: at_ms(6000),
        ..offer(at_ms(8000), StoreMode::Publish, &key, self::header(&key, 9000, 0, b"w"), b"w")
    };
    assert_eq!(store.offer(at_ms(8000), &late).map(|answer| answer.ttl_ms), Some(7000));
    // The network's longest life bounds every life.
    let endless = put(store, at_ms(0), StoreMode::Publish, &key, u32::MAX, b"x");
    assert_eq!(endless.ttl_ms, TTL_MAX_MS);
    // Two holders that pass an item to and fro: its life only shrinks.
    let mut ttl_ms = u32::MAX;
    for step in 1..50u64 {
        let header = found(store, 8000 + step * 7);
        assert!(header.ttl_ms <= ttl_ms);
        ttl_ms = header.ttl_ms;
        let passed_on = offer(at_ms(8000 + step * 7), StoreMode::Replicate, &key, header, b"value");
        store.offer(at_ms(8000 + step * 7), &passed_on);
    }
}

fn cached_copies_are_short_lived_and_not_passed_on(store: &mut impl Store) {
    let (now, key) = (at_ms(0), key(1));
    let limit_ms = Limits::new(OWN).cache_ttl_ms;
    let cached = put(store, now, StoreMode::Cache, &key, TTL_MAX_MS, b"value");
    assert_eq!((cached.status, cached.ttl_ms), (ItemStatus::Stored, limit_ms));
    let days = at_ms(u64::from(limit_ms) - 1);
    assert_eq!(store.poll_due(days), None, "a reader's copy is not passed on");
    let promoted = put(store, at_ms(1000), StoreMode::Replicate, &key, 5 * HOUR_MS, b"value");
    assert_eq!(
        (promoted.status, promoted.ttl_ms),
        (ItemStatus::Already, 5 * HOUR_MS),
        "a holder's copy takes its place"
    );
    assert!(store.poll_due(at_ms(2 * u64::from(HOUR_MS))).is_some());
    // Nor can a copy be ended by a real one that is about to end.
    put(store, now, StoreMode::Cache, &self::key(2), TTL_MAX_MS, b"value");
    let hurried = put(store, now, StoreMode::Replicate, &self::key(2), 1, b"value");
    assert_eq!((hurried.status, hurried.ttl_ms), (ItemStatus::Already, limit_ms), "nothing shortens a life");
}

fn a_flood_of_one_source_leaves_the_others_their_places(store: &mut impl Store) {
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
    assert_eq!(held.len(), 8, "the key's places are bounded");
    assert!(held.contains(&b"honest one".to_vec()) && held.contains(&b"honest two".to_vec()));
    assert!(held.contains(&vec![99]), "a source's newest displace its own oldest");
    assert_eq!(send(store, 3, b"honest three", 200), Some(ItemStatus::Stored), "and leave room for others");
    let usage = store.usage();
    let announced = Offer {
        bytes: None,
        source: source(66),
        ..offer(now, StoreMode::Replicate, &key, header(&key, HOUR_MS, 999_000, b"old"), b"")
    };
    assert_eq!(
        store.offer(now, &announced).map(|answer| answer.status),
        Some(ItemStatus::Full),
        "older ones are not wanted"
    );
    assert_eq!(store.usage(), usage);
}

fn bytes_per_key_are_bounded(store: &mut impl Store) {
    let key = key(1);
    for number in 0..10u8 {
        put(store, at_ms(number.into()), StoreMode::Publish, &key, HOUR_MS, &[number; 300]);
    }
    let held = values(store, at_ms(10), &key);
    assert_eq!(held.iter().map(|value| value[0]).collect::<Vec<_>>(), [9, 8, 7], "the newest that fit");
}

fn near_items_stay_when_room_is_short(store: &mut impl Store) {
    let now = at_ms(0);
    for distance in (100..200).rev() {
        put(store, now, StoreMode::Publish, &key(distance), HOUR_MS, b"value");
    }
    assert_eq!((store.usage().items, store.usage().evicted), (10, 90));
    for distance in 100..110 {
        assert_eq!(values(store, now, &key(distance)).len(), 1, "the nearest stay");
    }
    let far = put(store, now, StoreMode::Publish, &key(150), HOUR_MS, b"value");
    assert_eq!(far.status, ItemStatus::Full, "what would have to leave first is refused");
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

/// A public address.
fn public(a: u8, b: u8, c: u8) -> Endpoint {
    (Ipv4Addr::new(a, b, c, 7), 9000).into()
}

/// Six items far away, of three sources.
fn honest_items(store: &mut impl Store) -> [Key; 6] {
    let keys = [200, 201, 202, 203, 204, 205].map(key);
    for (number, key) in keys.iter().enumerate() {
        let source = public(20, number as u8 / 2, 1);
        assert_eq!(offer_from(store, source, key, HOUR_MS, b"honest"), ItemStatus::Stored);
    }
    keys
}

/// How many of these keys have something.
fn held(store: &mut impl Store, keys: &[Key]) -> usize {
    keys.iter().filter(|key| !values(store, at_ms(0), key).is_empty()).count()
}

fn a_source_that_sends_more_than_others_displaces_only_its_own(store: &mut impl Store) {
    let honest = honest_items(store);
    let mut bytes = *OWN.as_bytes();
    let mut stored = 0;
    for number in 0..500u16 {
        // As near as can be, with the longest life that there is.
        (bytes[30], bytes[31]) = ((number >> 8) as u8, number as u8);
        let status = offer_from(store, public(66, 6, 6), &Key::from_bytes(bytes), TTL_MAX_MS, b"x");
        stored += usize::from(status == ItemStatus::Stored);
    }
    assert!(stored >= 50 && store.usage().items >= 60, "one source may fill a store: {stored}, {:?}", store.usage());
    assert_eq!(held(store, &honest), 6, "and displaces nothing of others");
    for distance in 210..220 {
        let status = offer_from(store, public(30, 1, 1), &key(distance), HOUR_MS, b"honest");
        assert_eq!(status, ItemStatus::Stored, "who has less finds room");
    }
    assert_eq!(held(store, &honest), 6);
}

fn many_hosts_of_one_wide_prefix_do_not_displace_others(store: &mut impl Store) {
    let honest = honest_items(store);
    for number in 0..250u8 {
        offer_from(store, public(66, 6, number), &key(number), TTL_MAX_MS, b"x");
    }
    assert_eq!(held(store, &honest), 6);
}

fn many_bytes_count_like_many_items(store: &mut impl Store) {
    let honest = honest_items(store);
    for number in 0..40u8 {
        offer_from(store, public(66, 6, 6), &key(number), TTL_MAX_MS, &[number; 8000]);
    }
    assert_eq!(held(store, &honest), 6, "a source with few items and many bytes displaces its own");
    for number in 0..200u8 {
        offer_from(store, public(77, 7, 7), &key(number), TTL_MAX_MS, &[]);
    }
    assert_eq!(held(store, &honest), 6, "and one with many items and no bytes");
}

fn one_value_makes_few_small_ones_leave(store: &mut impl Store) {
    for number in 0..100u8 {
        offer_from(store, public(66, 6, 6), &key(number), HOUR_MS, &[]);
    }
    let before = store.usage();
    assert_eq!((before.items, before.bytes), (64, 0), "as many as there are places");
    assert_eq!(offer_from(store, public(20, 1, 1), &key(200), HOUR_MS, &[1; 1000]), ItemStatus::Stored);
    let gone = store.usage().evicted - before.evicted;
    assert!(gone <= 1000 / 128 + 1, "an empty item takes some room too: {gone} made way for 1000 bytes");
}

fn a_key_that_many_sources_fill_keeps_what_was_there(store: &mut impl Store) {
    let key = key(1);
    assert_eq!(offer_from(store, public(20, 1, 1), &key, HOUR_MS, b"honest"), ItemStatus::Stored);
    for number in 0..100u8 {
        offer_from(store, public(66 + number / 2, number, 1), &key, TTL_MAX_MS, &[number]);
    }
    let held = values(store, at_ms(0), &key);
    assert!(held.len() == 8 && held.contains(&b"honest".to_vec()), "as many sources as places displace nothing");
    offer_from(store, public(66, 0, 1), &key, HOUR_MS, b"another of a source that has one");
    let held = values(store, at_ms(0), &key);
    assert!(held.len() == 8 && held.contains(&b"honest".to_vec()), "which displaces its own at the most");
}

fn a_tombstone_that_has_deleted_something_stays(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(1), [7; 32]);
    let item = ItemHeader::publish(&key, ItemType::RAW, Lock::of(&secret), HOUR_MS, b"value");
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
    // Whoever really deletes something finds a place all the same.
    let other = ItemHeader::publish(&key, ItemType::RAW, Lock::of(&[9; 32]), HOUR_MS, b"other");
    store.offer(now, &offer(now, StoreMode::Publish, &key, other, b"other"));
    assert_eq!(delete(store, [9; 32], b"other", public(21, 1, 1)), Some(ItemStatus::Stored));
    assert!(find(store, now, &Query { types: TypeMask::VALUES, ..Query::all(key) }).is_empty());
    assert_eq!(store.offer(now, &again).map(|answer| answer.status), Some(ItemStatus::Deleted));
}

fn bytes_in_total_are_bounded(store: &mut impl Store) {
    let now = at_ms(0);
    for distance in (10..60).rev() {
        put(store, now, StoreMode::Publish, &key(distance), HOUR_MS, &[distance; 1000]);
        assert!(store.usage().bytes <= 8 * 1024);
    }
    assert!(store.usage().items >= 6, "and used: {:?}", store.usage());
    assert_eq!(values(store, now, &key(10)), [vec![10; 1000]]);
    let whole = put(store, now, StoreMode::Publish, &key(1), HOUR_MS, &[1; 9000]);
    assert!(!whole.status.is_held(), "what never fits is refused");
    assert!(store.usage().items >= 6, "and displaces nothing");
}

fn own_items_stay_until_forgotten(store: &mut impl Store) {
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
    assert_eq!(own(store, 253), ItemStatus::Stored, "others' make way for them");
    assert_eq!(own(store, 254), ItemStatus::Full, "but they do not for each other");
    assert_eq!(store.forget(&key(250), Some(&Digest([1; 16]))), 0);
    assert_eq!((store.forget(&key(250), None), store.forget(&key(250), None)), (1, 0));
    assert_eq!(values(store, now, &key(250)).len(), 1, "a forgotten item is still held");
    put(store, now, StoreMode::Publish, &key(1), HOUR_MS, b"near");
    assert!(values(store, now, &key(250)).is_empty(), "until its place is needed");
}

fn a_tombstone_ends_what_it_deletes_and_keeps_it_away(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(1), [7; 32]);
    let locked = |value: &[u8]| ItemHeader::publish(&key, ItemType::RAW, Lock::of(&secret), HOUR_MS, value);
    let give = |store: &mut dyn Store, header: ItemHeader, value: &[u8]| {
        store
            .offer(now, &offer(now, StoreMode::Publish, &key, header, value))
            .expect("with bytes there is an answer")
            .status
    };
    assert_eq!(give(store, locked(b"mine"), b"mine"), ItemStatus::Stored);
    assert_eq!(put(store, now, StoreMode::Publish, &key, HOUR_MS, b"another's").status, ItemStatus::Stored);
    let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, b"mine");
    let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
    assert_eq!(store.offer(now, &Offer { bytes: None, ..offer(now, StoreMode::Publish, &key, header, &bytes) }), None);
    let query = Query { types: TypeMask::VALUES, ..Query::all(key) };
    assert_eq!(find(store, now, &query).len(), 2, "a name alone deletes nothing");
    assert_eq!(give(store, header, &bytes), ItemStatus::Stored);
    let left: Vec<_> = find(store, now, &query).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(left, [b"another's"], "it ends what it names, and nothing else");
    assert_eq!(give(store, locked(b"mine"), b"mine"), ItemStatus::Deleted);
    let named = Offer { bytes: None, ..offer(now, StoreMode::Replicate, &key, locked(b"mine"), b"mine") };
    assert_eq!(store.offer(now, &named).map(|answer| answer.status), Some(ItemStatus::Deleted), "nor is it asked for");
    assert_eq!(store.publish(now, &key, &locked(b"mine"), b"mine").status, ItemStatus::Deleted);
    assert_eq!(give(store, locked(b"next"), b"next"), ItemStatus::Stored, "other values of the same owner are others");
    assert_eq!(give(store, header, &bytes), ItemStatus::Already);
    let over = at_ms(u64::from(TTL_MAX_MS) + 1);
    store.expire(over);
    assert_eq!(put(store, over, StoreMode::Publish, &key, HOUR_MS, b"later").status, ItemStatus::Stored);
    let late = offer(over, StoreMode::Publish, &key, locked(b"mine"), b"mine");
    assert_eq!(store.offer(over, &late).map(|answer| answer.status), Some(ItemStatus::Stored), "when it has lapsed");
}

fn a_tombstone_finds_room_where_what_it_deletes_was(store: &mut impl Store) {
    let (now, key, secret) = (at_ms(0), key(200), [7; 32]);
    let header = ItemHeader::publish(&key, ItemType::RAW, Lock::of(&secret), HOUR_MS, &[1; 100]);
    assert_eq!(store.publish(now, &key, &header, &[1; 100]).status, ItemStatus::Stored);
    let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, &[1; 100]);
    let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
    let given = store.offer(now, &offer(now, StoreMode::Publish, &key, header, &bytes));
    assert_eq!(given.map(|answer| answer.status), Some(ItemStatus::Stored));
    assert_eq!(store.usage().items, 1, "only the tombstone is left");
    assert_eq!(store.publish(now, &key, &header, &bytes).status, ItemStatus::Already);
    assert_eq!(store.forget(&key, None), 0, "the proof stays published");
    assert_eq!(store.forget(&key, Some(&header.digest)), 1, "if it is not meant by name");
}

fn is_due_hourly_unless_somebody_else_did_it(store: &mut impl Store) {
    let key = key(1);
    put(store, at_ms(0), StoreMode::Publish, &key, 10 * HOUR_MS, b"value");
    let hour = u64::from(HOUR_MS);
    assert_eq!(store.poll_due(at_ms(hour * 3 / 4 - 1)), None, "not before three quarters of an hour");
    let due = store.poll_due(at_ms(hour * 5 / 4)).expect("by an hour and a quarter");
    assert_eq!((due.key, due.mode, due.header.ttl_ms), (key, StoreMode::Replicate, 10 * HOUR_MS - HOUR_MS * 5 / 4));
    assert_eq!(store.poll_due(at_ms(hour * 5 / 4)), None, "once an interval");
    // Another holder passes it on: this one need not, for an interval.
    put(store, at_ms(hour * 15 / 8), StoreMode::Replicate, &key, 10 * HOUR_MS, b"value");
    assert_eq!(store.poll_due(at_ms(hour * 21 / 8 - 1)), None);
    assert!(store.next_wake().is_some_and(|at| at >= at_ms(hour * 21 / 8)));
    assert!(store.poll_due(at_ms(hour * 25 / 8)).is_some());
    // In its last seconds it is no longer passed on.
    let nearly_over = at_ms(10 * hour - 1000);
    assert_eq!(store.poll_due(nearly_over), None);
}

fn own_items_are_republished_daily(store: &mut impl Store) {
    let key = key(1);
    let ttl_ms = 72 * HOUR_MS;
    store.publish(at_ms(0), &key, &header(&key, ttl_ms, 0, b"value"), b"value");
    let (mut replicated, mut published) = (0, 0);
    for quarter in 1..=4 * 48u64 {
        let now = at_ms(quarter * u64::from(HOUR_MS) / 4);
        while let Some(due) = store.poll_due(now) {
            match due.mode {
                StoreMode::Publish => published += 1,
                _ => replicated += 1,
            }
        }
    }
    assert!((1..=2).contains(&published), "{published} times in two days");
    assert!((36..=60).contains(&(replicated + published)), "hourly besides: {replicated}");
    store.forget(&key, None);
    for hour in 48..72u64 {
        let due = store.poll_due(at_ms(hour * u64::from(HOUR_MS) + 1));
        assert!(due.is_none_or(|due| due.mode == StoreMode::Replicate), "a forgotten item is not republished");
    }
}

fn lists_every_item_once(store: &mut impl Store) {
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
    assert_eq!((keys, own), (expected, 1), "the living, in the order of their keys");
}

fn what_is_due_takes_its_neighbours_along(store: &mut impl Store) {
    let hour = u64::from(HOUR_MS);
    for (second, distance) in [(0, 0x10), (1, 0x11), (2, 0x18), (3, 0x40), (900, 0x12), (3000, 0x13)] {
        put(store, at_ms(second * 1000), StoreMode::Publish, &key(distance), 10 * HOUR_MS, &[distance]);
    }
    // Late enough that the first four are due for sure, and the last one certainly not.
    let now = at_ms(hour * 5 / 4 + 4000);
    let first = store.poll_due(now).expect("due");
    let mut along = Vec::new();
    store.due_near(now, now, &first, 4, &mut |due| {
        along.push(due.key);
        true
    });
    let mut together: Vec<_> = along.iter().copied().chain([first.key]).collect();
    together.sort_unstable();
    let region = if first.key == key(0x40) { vec![key(0x40)] } else { [0x10, 0x11, 0x18].map(key).to_vec() };
    assert!(region.iter().all(|key| together.contains(key)), "the region shares four bits: {together:?}");
    assert!(!together.contains(&key(0x13)) && (together.len() == 1 || !together.contains(&key(0x40))));
    // One that is not taken stays due.
    let left: Vec<_> = core::iter::from_fn(|| store.poll_due(now)).map(|due| due.key).collect();
    assert!(left.iter().all(|key| !together.contains(key)), "what went along is not due again");
    let later = at_ms(4 * hour);
    let first = store.poll_due(later).expect("due");
    let mut offered = 0;
    store.due_near(later, later, &first, 0, &mut |_| {
        offered += 1;
        offered < 3
    });
    let left = core::iter::from_fn(|| store.poll_due(later)).count();
    assert_eq!((offered, left), (3, 3), "of six, one came first and two along");
    // However far ahead one looks: what came first has been passed on.
    let latest = at_ms(6 * hour);
    let first = store.poll_due(latest).expect("due");
    store.due_near(latest, at_ms(9 * hour), &first, 0, &mut |due| {
        assert_ne!(due.key, first.key, "an item does not go along with itself");
        true
    });
}

/// A small generator, so that the suite needs no dependency: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// When it was born, when it expires (in milliseconds), and its bytes.
type Modelled = (u64, u64, Vec<u8>);

/// Random steps, with room for everything: the store against a map.
fn behaves_like_a_plain_map(store: &mut impl Store, seed: u64) {
    let mut dice = Dice(seed);
    let mut model: BTreeMap<(Key, Digest), Modelled> = BTreeMap::new();
    let mut ms = 0;
    for _ in 0..400 {
        ms += dice.roll(400);
        let (key, value) = (key(1 + dice.roll(4) as u8), vec![dice.roll(8) as u8; dice.roll(300) as usize % 7 * 90]);
        let ttl_ms = 1 + dice.roll(20_000) as u32;
        let header = header(&key, ttl_ms, 0, &value);
        model.retain(|_, (_, expires, _)| *expires > ms);
        match dice.roll(6) {
            0 => {
                store.expire(at_ms(ms));
                assert_eq!(store.usage().items, model.len());
            }
            1 => {
                let digest = header.digest;
                let held = model.get(&(key, digest));
                let mut out = vec![0; 700];
                let read = store.read(at_ms(ms), &key, &digest, 0, &mut out);
                assert_eq!(&out[..read], held.map_or(&[][..], |(_, _, bytes)| bytes));
            }
            2 => {
                let publish = store.publish(at_ms(ms), &key, &header, &value);
                assert!(publish.status.is_held());
                let slot = model.entry((key, header.digest)).or_insert((ms, 0, value));
                (slot.0, slot.1) = (ms, slot.1.max(ms + u64::from(ttl_ms)));
            }
            roll => {
                let mode = if roll == 3 { StoreMode::Replicate } else { StoreMode::Publish };
                let known = model.contains_key(&(key, header.digest));
                let answer = put(store, at_ms(ms), mode, &key, ttl_ms, &value);
                let expected = if known { ItemStatus::Already } else { ItemStatus::Stored };
                assert_eq!(answer.status, expected, "at {ms} ms");
                let until = ms + u64::from(ttl_ms);
                let slot = model.entry((key, header.digest)).or_insert((ms, until, value));
                if mode == StoreMode::Publish {
                    (slot.0, slot.1) = (ms, slot.1.max(until));
                }
                assert_eq!(u64::from(answer.ttl_ms), slot.1 - ms);
            }
        }
        let mut expected: Vec<_> = model.iter().filter(|((of, _), _)| *of == key).collect();
        expected.sort_by_key(|((_, digest), (born, _, _))| (core::cmp::Reverse(*born), *digest));
        let found = find(store, at_ms(ms), &Query::all(key));
        assert_eq!(found.len(), expected.len());
        for ((header, bytes), ((_, digest), (born, expires, value))) in found.iter().zip(expected) {
            assert_eq!((header.digest, bytes), (*digest, value));
            assert_eq!((u64::from(header.ttl_ms), u64::from(header.age_ms)), (expires - ms, ms - born));
        }
    }
}
