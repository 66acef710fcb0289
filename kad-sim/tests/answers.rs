//! "No such value" is said only by those who asked enough of the nodes that would have it.

use std::time::Duration;

use kad_core::{Config, FindEnd, FindOptions};
use kad_sim::{Settings, World};
use kad_wire::{Datagram, Key};

const HOUR: Duration = Duration::from_secs(3600);

fn is_chunk(datagram: &[u8]) -> bool {
    matches!(Datagram::decode(datagram), Ok(Datagram::Chunk { .. }))
}

fn end_of(world: &mut World, reader: usize, key: Key, options: FindOptions) -> FindEnd {
    let (found, outcome) = world.find(reader, key, options);
    assert!(found.is_empty());
    outcome.end.expect("a find")
}

#[test]
fn a_value_that_is_announced_and_cannot_be_fetched_is_not_missing() {
    let mut world = World::grown(Settings::new(1), 8);
    let (key, other) = (Key::hash("large"), Key::hash("none"));
    world.store(0, key, &[7; 20_000], HOUR);
    let reader = world.add();
    world.loses = Some(is_chunk);
    world.join(reader, &[0]);
    for options in [FindOptions::FIRST, FindOptions::ALL] {
        assert_eq!(end_of(&mut world, reader, key, options), FindEnd::Unfetched(1));
        assert_eq!(end_of(&mut world, reader, other, options), FindEnd::Complete);
    }
    // Values that come do not hide the one that does not.
    world.store(0, key, b"small", HOUR);
    let (found, outcome) = world.find(reader, key, FindOptions::ALL);
    assert_eq!((found.len(), outcome.end), (1, Some(FindEnd::Unfetched(1))));
    world.loses = None;
    let (found, outcome) = world.find(reader, key, FindOptions::ALL);
    assert_eq!((found.len(), outcome.end), (2, Some(FindEnd::Complete)));
}

/// However often it is asked: contacts that have fallen silent are not asked again, and count all the same.
#[test]
fn who_reaches_less_than_half_of_the_nearest_does_not_say_that_there_is_none() {
    let mut world = World::grown(Settings::new(2), 6);
    let key = Key::hash("somewhere");
    assert_eq!(end_of(&mut world, 0, key, FindOptions::FIRST), FindEnd::Complete);
    for dead in 3..6 {
        world.kill(dead);
    }
    for _ in 0..4 {
        assert_eq!(end_of(&mut world, 0, key, FindOptions::FIRST), FindEnd::TooFewAnswered);
    }
    for dead in 1..3 {
        world.kill(dead);
    }
    for _ in 0..4 {
        assert_eq!(end_of(&mut world, 0, key, FindOptions::ALL), FindEnd::Unreachable);
    }
}

#[test]
fn who_knows_nobody_is_alone() {
    let mut world = World::new(Settings::new(3));
    let lone = world.add();
    assert_eq!(end_of(&mut world, lone, Key::hash("none"), FindOptions::FIRST), FindEnd::Alone);
}

#[test]
fn a_store_is_complete_if_all_of_the_nearest_hold_it() {
    for (k, dead) in [(20, 5), (3, 9)] {
        let settings = Settings { config: Config { k, ..Config::default() }, ..Settings::new(4) };
        let mut world = World::grown(settings, 10);
        let key = Key::hash("everywhere");
        let stored = world.store(0, key, b"value", HOUR);
        assert!(stored.complete && stored.copies >= usize::from(k.min(9)) - 1, "{stored:?}");
        let others = world.nearest(key, 10).into_iter().filter(|&node| node != 0);
        let nearest = others.take(dead.min(2)).collect::<Vec<_>>();
        nearest.into_iter().for_each(|node| drop(world.kill(node)));
        for _ in 0..3 {
            let stored = world.store(0, key, b"another", HOUR);
            assert!(!stored.complete && stored.copies > 0, "k = {k}: {stored:?}");
        }
    }
}
