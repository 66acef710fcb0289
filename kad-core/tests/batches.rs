//! Several items that travel together, between nodes that have not room for all of them at once.

use crate::bench;

use bench::{Bench, address, config};
use kad_core::wire::{DeleteLock, ItemHeader, ItemType, Key, StoreMode};
use kad_core::{Contact, Instant};
use kad_store::Store;

/// Publishes `count` values of `len` bytes in a node's own store.
fn published(bench: &mut Bench, number: usize, count: usize, len: usize) -> Vec<(Key, ItemHeader)> {
    let now = bench.now;
    let store = &mut bench.homes[number].store;
    let items = (0..count).map(|item| {
        let (key, value) = (Key::hash_int(item as u64), vec![item as u8; len]);
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
        assert!(store.publish(now, &key, &header, &value).status.is_held());
        (key, header)
    });
    items.collect()
}

fn store_at(bench: &mut Bench, mode: StoreMode, items: &[(Key, ItemHeader)]) -> u64 {
    let now = bench.now;
    let holder = Contact { id: bench.homes[1].node.id(), endpoint: address(1).into() };
    let node = &mut bench.homes[0].node;
    node.store_at(now, now.plus_millis(30_000), mode, items, &[holder]).unwrap();
    while bench.homes[0].events.is_empty() {
        assert!(bench.step(Instant::FAR_FUTURE), "the store ends");
    }
    bench.now.micros_since(now) / 1000
}

#[test]
fn a_batch_of_more_values_than_the_holder_pulls_at_once_arrives_soon() {
    let mut bench = Bench::joined(&[config(), config()]);
    bench.homes[0].events.clear();
    let items = published(&mut bench, 0, 14, 1000);
    let took_ms = store_at(&mut bench, StoreMode::Handover, &items);
    assert_eq!(bench.homes[1].store.usage().items, 14, "after {took_ms} ms");
    assert!(took_ms < 2000, "{took_ms} ms");
}
