//! The conformance suite: tests of the contract of [`Store`] that any implementation can run.
//!
//! ```
//! use kad_store::{MemoryStore, conformance};
//! conformance::run(MemoryStore::new);
//! ```
//!
//! [`run`] panics at the first rule that a store breaks, with a message. The store must be able to hold 64 items and 64 KiB.

mod eviction;
mod lifetimes;
mod model;
mod reading;
mod schedule;
mod tombstones;

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use kad_wire::{
    Answer, DeleteLock, Endpoint, Instant, ItemHeader, ItemType, Key, NodeId, Offer, Query, Sink, StoreMode,
};

use crate::{Limits, Store};

/// Runs all tests on stores that `make` returns. `make` must return an empty store with the given limits.
///
/// # Panics
/// At the first rule that the store breaks.
pub fn run<S: Store>(mut make: impl FnMut(Limits) -> S) {
    let mut fresh = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits { items: 64, bytes: 64 << 10, ..Limits::new(OWN) };
        change(&mut limits);
        make(limits)
    };
    reading::keeps_and_reads_bytes(&mut fresh(&|_| {}));
    lifetimes::expires_exactly_at_the_end_of_a_lifetime(&mut fresh(&|_| {}));
    reading::finds_newest_first_by_age_and_type(&mut fresh(&|_| {}));
    reading::pages_without_loss_or_repetition(&mut fresh(&|_| {}));
    reading::a_page_without_capacity_has_a_next_cursor(&mut fresh(&|_| {}));
    reading::a_page_goes_on_after_an_item_that_has_expired(&mut fresh(&|_| {}));
    lifetimes::asks_for_the_bytes_of_new_items_only(&mut fresh(&|_| {}));
    lifetimes::lifetimes_shrink_and_only_publishers_extend_them(&mut fresh(&|_| {}));
    lifetimes::cached_copies_are_short_lived_and_not_replicated(&mut fresh(&|_| {}));
    eviction::a_flood_of_one_source_displaces_no_other_under_a_key(&mut fresh(&|limits| limits.values_per_key = 8));
    eviction::bytes_per_key_are_bounded(&mut fresh(&|limits| limits.bytes_per_key = 1000));
    eviction::near_items_stay_when_the_store_is_full(&mut fresh(&|limits| limits.items = 10));
    eviction::a_source_that_sends_more_than_others_displaces_only_its_own(&mut fresh(&|_| {}));
    eviction::many_hosts_of_one_wide_prefix_do_not_displace_others(&mut fresh(&|_| {}));
    eviction::many_bytes_count_like_many_items(&mut fresh(&|_| {}));
    eviction::one_value_evicts_few_small_ones(&mut fresh(&|limits| limits.bytes = 8 * 1024));
    eviction::many_sources_under_a_key_displace_no_earlier_one(&mut fresh(&|limits| limits.values_per_key = 8));
    tombstones::a_tombstone_that_has_deleted_something_stays(&mut fresh(&|limits| limits.values_per_key = 4));
    eviction::bytes_in_total_are_bounded(&mut fresh(&|limits| limits.bytes = 8 * 1024));
    eviction::own_items_stay_until_forgotten(&mut fresh(&|limits| limits.items = 4));
    tombstones::a_tombstone_ends_what_it_deletes_and_keeps_it_away(&mut fresh(&|_| {}));
    tombstones::a_tombstone_takes_the_place_of_what_it_deletes(&mut fresh(&|limits| limits.items = 1));
    schedule::is_due_hourly_unless_another_holder_replicates(&mut fresh(&|_| {}));
    schedule::own_items_are_republished_daily(&mut fresh(&|_| {}));
    reading::lists_every_item_once(&mut fresh(&|_| {}));
    schedule::due_items_of_a_region_are_taken_together(&mut fresh(&|_| {}));
    for seed in 1..=20 {
        model::behaves_like_a_plain_map(&mut fresh(&|_| {}), seed);
    }
}

const OWN: NodeId = NodeId::from_bytes([0; 32]);
const HOUR_MS: u32 = 3_600_000;

/// Returns the time `ms` milliseconds after the start of a test.
fn at_ms(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(1_000_000 + ms)
}

/// Returns a key at this distance from [`OWN`], in units of 2^248.
fn key(distance: u8) -> Key {
    let mut bytes = [0; 32];
    bytes[0] = distance;
    bytes[31] = 1;
    Key::from_bytes(bytes)
}

fn source(subnet: u8) -> Endpoint {
    (Ipv4Addr::new(10, 1, subnet, 7), 9000).into()
}

/// Returns a public address.
fn public(a: u8, b: u8, c: u8) -> Endpoint {
    (Ipv4Addr::new(a, b, c, 7), 9000).into()
}

fn header(key: &Key, ttl_ms: u32, age_ms: u32, value: &[u8]) -> ItemHeader {
    ItemHeader { age_ms, ..ItemHeader::publish(key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value) }
}

fn offer<'a>(now: Instant, mode: StoreMode, key: &Key, header: ItemHeader, value: &'a [u8]) -> Offer<'a> {
    Offer { key: *key, header, bytes: Some(value), mode, source: source(1), received: now }
}

fn put(store: &mut impl Store, now: Instant, mode: StoreMode, key: &Key, ttl_ms: u32, value: &[u8]) -> Answer {
    let offer = offer(now, mode, key, header(key, ttl_ms, 0, value), value);
    store.offer(now, &offer).expect("an offer with bytes is always answered")
}

/// Collects the items of a find, up to a number: for tests of stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collect {
    /// The most items to take.
    pub room: usize,
    /// The headers and bytes of the items that it took.
    pub found: Vec<(ItemHeader, Vec<u8>)>,
}

impl Collect {
    /// Makes a sink for up to `room` items.
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
    assert_eq!((page.total, page.next_cursor), (sink.found.len(), 0), "the total counts the matching items");
    sink.found
}

fn values(store: &mut impl Store, now: Instant, key: &Key) -> Vec<Vec<u8>> {
    find(store, now, &Query::all(*key)).into_iter().map(|(_, bytes)| bytes).collect()
}
