//! Values of every size, from every node, on good and bad paths.

use std::time::Duration;

use kad_core::FindOptions;
use kad_sim::{Network, Settings, World};
use kad_wire::Key;
use kad_wire::limits::{STORE_INLINE_MAX, VALUE_INLINE_MAX, VALUE_MAX};

const HOUR: Duration = Duration::from_secs(3600);

/// Bytes that differ from value to value and from place to place.
fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + number * 7) as u8).collect()
}

/// Stores a value of each size on one node and reads it from every node, over the network.
fn every_size_is_read_from_every_node(settings: Settings, copies_at_least: usize) {
    let mut world = World::grown(settings, 20);
    let sizes =
        [0, 1, 64, STORE_INLINE_MAX, STORE_INLINE_MAX + 1, VALUE_INLINE_MAX, VALUE_INLINE_MAX + 1, 16384, VALUE_MAX];
    for (number, len) in sizes.into_iter().enumerate() {
        let (key, value) = (Key::hash_int(number as u64), value(number, len));
        let stored = world.store(number, key, &value, HOUR);
        assert!(stored.copies >= copies_at_least, "{len} bytes: {stored:?}");
        for reader in 0..20 {
            let (found, outcome) = world.find(reader, key, FindOptions::FIRST);
            assert_eq!(found.len(), 1, "node {reader}, {len} bytes: {outcome:?}");
            assert_eq!(found[0].1, value, "node {reader}, {len} bytes");
        }
    }
}

#[test]
fn on_a_steady_network_every_value_has_all_its_copies() {
    every_size_is_read_from_every_node(Settings::new(1), 19);
}

#[test]
fn under_loss_duplication_and_reordering_every_value_is_read_from_every_node() {
    for seed in 1..=5 {
        every_size_is_read_from_every_node(Settings { network: Network::ROUGH, ..Settings::new(seed) }, 13);
    }
}

#[test]
fn three_large_values_under_one_key_are_all_read() {
    for network in [Network::STEADY, Network::ROUGH] {
        let mut world = World::grown(Settings { network, ..Settings::new(3) }, 20);
        let key = Key::hash("three");
        let mut expected: Vec<_> = (0..3).map(|number| value(number, 30_000)).collect();
        for (number, value) in expected.iter().enumerate() {
            world.store(number, key, value, HOUR);
        }
        for reader in [0, 7, 19] {
            let (found, outcome) = world.find(reader, key, FindOptions::ALL);
            let mut found: Vec<_> = found.into_iter().map(|(_, bytes)| bytes).collect();
            found.sort();
            expected.sort();
            assert!(found == expected, "{} values: {outcome:?}", found.len());
        }
    }
}

#[test]
fn many_small_values_under_one_key_are_read_page_by_page() {
    let mut world = World::grown(Settings::new(4), 20);
    let key = Key::hash("many");
    for number in 0..16 {
        world.store(number, key, &value(number, 300), HOUR);
    }
    let (found, _) = world.find(19, key, FindOptions::ALL);
    assert_eq!(found.len(), 16);
    let (first, _) = world.find(19, key, FindOptions::FIRST);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].1, value(15, 300), "the newest comes first");
}

#[test]
fn an_age_filter_gives_exactly_the_newer_values() {
    let mut world = World::grown(Settings::new(5), 20);
    let key = Key::hash("log");
    for number in 0..6 {
        world.store(0, key, &value(number, 100), HOUR);
        world.run_for(Duration::from_secs(60));
    }
    let newer = FindOptions { max_age: Some(Duration::from_secs(190)), ..FindOptions::ALL };
    let (found, _) = world.find(9, key, newer);
    let mut found: Vec<_> = found.into_iter().map(|(_, bytes)| bytes).collect();
    found.sort();
    let mut expected: Vec<_> = (3..6).map(|number| value(number, 100)).collect();
    expected.sort();
    assert_eq!(found, expected);
}
