//! Lookups walk the network: they find the true nearest, and they end, whoever is dead.

use std::time::Duration;

use kad_core::{Config, FindOptions};
use kad_sim::{Network, Settings, World};
use kad_wire::Key;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_lookup_in_a_network_at_rest_returns_the_true_k_closest() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(1) }, 200);
    let mut exact = 0;
    for number in 0..100u64 {
        let (asker, target) = ((number * 7 % 200) as usize, Key::hash_int(number));
        let outcome = world.find_node(asker, target);
        let asker_id = world.contact(asker).id;
        let truth: Vec<_> = world.nearest(target, 21).into_iter().map(|number| world.contact(number)).collect();
        let truth: Vec<_> = truth.into_iter().filter(|contact| contact.id != asker_id).take(20).collect();
        exact += usize::from(outcome.closest[..20] == truth[..]);
    }
    assert!(exact >= 99, "{exact} of 100 lookups found exactly the k closest");
}

/// Each node knows one random other at first. A table that is sorted by prefix only loses 37 of 200 values here.
#[test]
fn two_hundred_of_two_hundred_values_stored_by_one_node_are_found_by_another() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(2) }, 200);
    for number in 0..200u64 {
        let stored = world.store(0, Key::hash_int(number), &number.to_le_bytes(), HOUR);
        assert!(stored.copies >= 19, "{stored:?}");
    }
    for number in 0..200u64 {
        let (found, outcome) = world.find(199, Key::hash_int(number), FindOptions::FIRST);
        assert_eq!(found.len(), 1, "value {number}: {outcome:?}");
        assert_eq!(found[0].1, number.to_le_bytes());
    }
}

/// Without a rest in which tables could fill: right after joining, a node's far buckets must not be empty. (They were, when
/// the refresh after a join was planned for a moment before the clock's origin.)
#[test]
fn a_network_that_has_just_grown_finds_every_value() {
    let mut world = World::new(Settings { check_every: 0, ..Settings::new(5) });
    for number in 0..600 {
        world.add();
        assert!(number == 0 || world.join(number, &[number * 7919 % number]) > 0);
    }
    let mut nearest = 0;
    for number in 0..150u64 {
        let (publisher, reader) = (number as usize * 4, (number as usize * 4 + 300) % 600);
        let key = Key::hash_int(number);
        let stored = world.store(publisher, key, &number.to_le_bytes(), HOUR);
        let truth: Vec<_> = world.nearest(key, 20).into_iter().map(|number| world.contact(number)).collect();
        nearest += stored.closest.iter().take(20).filter(|contact| truth.contains(contact)).count();
        assert_eq!(world.find(reader, key, FindOptions::FIRST).0.len(), 1, "value {number}");
    }
    assert!(nearest >= 150 * 20 * 98 / 100, "{nearest} of 3000 holders are the true nearest");
}

/// Who joins through a neighbour sees only its own part of the key space at first.
#[test]
fn who_joins_through_a_neighbour_gets_to_know_the_rest_of_the_space() {
    for k in [4, 20] {
        let config = Config { k, ..Config::default() };
        let mut world = World::new(Settings { check_every: 0, config, ..Settings::new(11) });
        for number in 0..300 {
            world.add();
            let own = *world.id(number).as_key();
            let near = (0..number).max_by_key(|other| world.id(*other).as_key().shared_bits(&own));
            assert!(near.is_none_or(|near| world.join(number, &[near]) > 0));
        }
        world.run_for(Duration::from_secs(5));
        for number in 0..300 {
            let own = world.id(number);
            let differs = |contact: kad_wire::Contact| contact.id.as_key().shared_bits(own.as_key()) == 0;
            let knows = world.member(number).node().contacts().any(|known| differs(known.contact));
            assert!(knows, "k = {k}: node {number} knows nobody in the other half");
        }
    }
}

/// What is stored for several keys at once goes to the nodes nearest to one of them. Whoever looks for another asks those that
/// are nearest to that one.
#[test]
fn keys_of_a_region_share_holders() {
    for (seed, k) in [(1, 3), (2, 4), (3, 4), (4, 4), (5, 8), (6, 20)] {
        const NODES: usize = 200;
        let config = Config { k, ..Config::default() };
        let mut world = World::grown(Settings { check_every: 0, config, ..Settings::new(seed) }, NODES);
        let ids: Vec<_> = (0..NODES).map(|number| world.id(number)).collect();
        let holders = |key: &Key| {
            let mut nearest = ids.clone();
            nearest.select_nth_unstable_by_key(usize::from(k) - 1, |id| id.distance(key));
            nearest.truncate(k.into());
            nearest
        };
        let mut apart = 0;
        for number in 0..20_000u64 {
            let bits = world.member(number as usize % NODES).node().region_bits();
            let one = Key::hash_int(number);
            let mut bytes = *Key::hash_int(number | 1 << 40).as_bytes();
            for bit in 0..bits {
                let mask = 0x80 >> (bit % 8);
                bytes[bit / 8] = (bytes[bit / 8] & !mask) | (one.as_bytes()[bit / 8] & mask);
            }
            let (one, other) = (holders(&one), holders(&Key::from_bytes(bytes)));
            apart += usize::from(!one.iter().any(|id| other.contains(id)));
        }
        assert_eq!(apart, 0, "k = {k}: of 20,000 pairs of keys have no holder in common");
    }
}

#[test]
fn with_the_three_nearest_holders_dead_a_find_answers_within_two_seconds() {
    let mut world = World::grown(Settings::new(3), 40);
    let key = Key::hash("popular");
    world.store(0, key, b"value", HOUR);
    let nearest: Vec<_> = world.nearest(key, 5).into_iter().filter(|&number| number > 1).take(3).collect();
    for number in nearest {
        world.kill(number);
    }
    let (found, outcome) = world.find(1, key, FindOptions::FIRST);
    assert_eq!(found.len(), 1);
    assert!(outcome.took_us < 2_000_000, "{outcome:?}");
}

#[test]
fn with_one_of_nine_nodes_dead_a_store_has_eight_copies() {
    let mut world = World::grown(Settings::new(4), 9);
    world.kill(5);
    let stored = world.store(0, Key::hash("value"), b"value", HOUR);
    assert_eq!(stored.copies + 1, 8, "seven others and the publisher itself");
    assert!(!stored.timed_out && stored.took_us < 5_000_000, "{stored:?}");
}

#[test]
fn finds_never_remove_live_contacts() {
    let mut world = World::grown(Settings { network: Network::ROUGH, ..Settings::new(5) }, 20);
    let before: Vec<_> = (0..20).map(|number| world.member(number).node().status().contacts).collect();
    for number in 0..60 {
        let (found, _) = world.find(number % 20, Key::hash_int(number as u64), FindOptions::FIRST);
        assert!(found.is_empty());
    }
    let after: Vec<_> = (0..20).map(|number| world.member(number).node().status().contacts).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
}

#[test]
fn with_thirty_percent_dead_every_lookup_ends_and_finds_living_nodes() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(6) }, 200);
    for number in (1..200).filter(|number| number % 10 < 3) {
        world.kill(number);
    }
    let (mut slowest, mut exact) = (0, 0);
    for number in 0..40u64 {
        let target = Key::hash_int(number);
        let outcome = world.find_node(0, target);
        assert!(!outcome.timed_out && outcome.closest.len() >= 15, "{} answered", outcome.closest.len());
        slowest = slowest.max(outcome.took_us);
        let own = world.contact(0).id;
        let living: Vec<_> = world.nearest(target, 9).into_iter().map(|number| world.contact(number)).collect();
        let living: Vec<_> = living.into_iter().filter(|contact| contact.id != own).take(8).collect();
        exact += usize::from(outcome.closest[..8] == living[..]);
    }
    assert!(exact >= 38, "{exact} of 40 lookups found the eight nearest living nodes");
    assert!(slowest < 4_000_000, "the slowest took {slowest} us");
}

#[test]
fn lookups_leave_every_slot_free() {
    let mut world = World::grown(Settings { network: Network::ROUGH, ..Settings::new(7) }, 30);
    for number in 0..30u64 {
        world.store(number as usize, Key::hash_int(number), &vec![1; 3000], HOUR);
        world.find(29 - number as usize, Key::hash_int(number), FindOptions::FIRST);
    }
    world.run_for(Duration::from_secs(60));
    for number in 0..30 {
        let status = world.member(number).node().status();
        assert_eq!((status.operations, status.transfers), (0, 0), "node {number}");
    }
}

/// How long the way from a reader to those whom it asks first is, in milliseconds there and back: the mean of all readers.
fn way_to_the_first_asked(proximity_routing: bool) -> u64 {
    let config = Config { proximity_routing, ..Config::default() };
    let mut world = World::grown(Settings { network: Network::PAIRS, config, check_every: 16, ..Settings::new(8) }, 60);
    let key = Key::hash("anywhere");
    world.store(0, key, b"value", HOUR);
    let mut ways = Vec::new();
    for reader in 1..60 {
        world.tap = Some(Vec::new());
        assert_eq!(world.find(reader, key, FindOptions::FIRST).0.len(), 1, "reader {reader}");
        let own = world.member(reader).address;
        let sent = world.tap.take().unwrap_or_default();
        for request in sent.iter().filter(|sent| sent.from == own).take(3) {
            let other = world.at_address(&request.to).expect("a node");
            ways.push(2 * world.way_us(reader, other) / 1000);
        }
    }
    ways.iter().sum::<u64>() / ways.len() as u64
}

#[test]
fn a_reader_asks_those_first_who_answer_soon() {
    let (without, with) = (way_to_the_first_asked(false), way_to_the_first_asked(true));
    assert!((150..300).contains(&without), "as far as anybody: {without} ms");
    assert!(with * 10 < without * 9, "{with} ms, and {without} ms by distance alone");
}
