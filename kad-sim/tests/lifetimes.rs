//! How long values live, and that passing them on never lengthens it.

use std::time::Duration;

use kad_core::FindOptions;
use kad_sim::{Settings, World};
use kad_store::Store;
use kad_wire::{Key, StoreMode};

fn found(world: &mut World, reader: usize, key: Key) -> usize {
    world.find(reader, key, FindOptions::FIRST).0.len()
}

#[test]
fn a_value_with_one_second_is_gone_after_one_second() {
    let mut world = World::grown(Settings::new(1), 20);
    let key = Key::hash("short");
    let start = world.now();
    world.store(0, key, b"value", Duration::from_secs(1));
    assert_eq!(found(&mut world, 5, key), 1);
    let left = Duration::from_secs(1).saturating_sub(world.now().saturating_since(start));
    world.run_for(left);
    for reader in 0..20 {
        assert_eq!(found(&mut world, reader, key), 0, "node {reader}");
    }
}

#[test]
fn a_value_with_one_hour_is_there_for_an_hour() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(2) }, 20);
    let key = Key::hash("long");
    let start = world.now();
    world.store(0, key, b"value", Duration::from_secs(3600));
    let until =
        |world: &World, secs: u64| Duration::from_secs(secs).saturating_sub(world.now().saturating_since(start));
    world.run_for(until(&world, 3590));
    assert_eq!(found(&mut world, 5, key), 1);
    world.run_for(until(&world, 3600));
    assert_eq!(found(&mut world, 5, key), 0);
}

/// Holders that pass a value to each other, again and again, each with the life that it has left.
#[test]
fn replicas_that_pass_a_value_on_never_extend_it() {
    let mut world = World::grown(Settings::new(3), 20);
    let key = Key::hash("handed round");
    let start = world.now();
    world.store(0, key, b"value", Duration::from_secs(100));
    for second in 0..95 {
        let holder = second % 20;
        let now = world.now();
        let Some(listed) = world.member(holder).store.next_item(now, None) else { continue };
        let items = [(listed.key, listed.header)];
        let operation =
            world.start(holder, |node, now| node.store(now, now.plus_millis(900), StoreMode::Replicate, 0, &items));
        world.finish(holder, operation);
        world.run_for(Duration::from_millis(900));
    }
    world.run_for(Duration::from_secs(100).saturating_sub(world.now().saturating_since(start)));
    for holder in 0..20 {
        let now = world.now();
        assert!(world.member(holder).store.next_item(now, None).is_none(), "node {holder} still holds it");
    }
}

/// No less exactly than the delays of their paths differ: 5 to 45 ms each way.
#[test]
fn holders_know_when_a_value_was_published() {
    let mut world = World::grown(Settings::new(4), 20);
    for number in 0..50 {
        let start = world.now();
        world.store(0, Key::hash_int(number), b"value", Duration::from_secs(3600));
        for holder in 0..20 {
            let now = world.now();
            let store = &world.member(holder).store;
            let mut held =
                std::iter::successors(store.next_item(now, None), |item| store.next_item(now, Some(&item.place())));
            let listed = held.find(|item| item.key == Key::hash_int(number)).expect("every node holds every value");
            let (age, true_age) = (i64::from(listed.header.age_ms), now.saturating_since(start).as_millis() as i64);
            assert!((age - true_age).abs() <= 40, "value {number} at {holder}: {age} instead of {true_age} ms");
        }
    }
}
