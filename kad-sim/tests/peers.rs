//! Peers that die, move, are cut off and come back: what it costs the others, and for how long.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Config, FindOptions};
use kad_sim::{Settings, World};
use kad_wire::{Contact, Endpoint, Key, NodeId};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// As servers are set: more patience than the core has by itself.
fn settings(seed: u64) -> Settings {
    let config = Config { attempts: 3, min_timeout: Duration::from_millis(100), ..Config::default() };
    Settings { config, ..Settings::new(seed) }
}

/// What a node lists of an id: where it is, and how often it was silent.
fn listed(world: &mut World, by: usize, id: &NodeId) -> Option<(Endpoint, u8)> {
    let node = world.member(by).node();
    let known = node.contacts().find(|known| known.contact.id == *id);
    known.map(|known| (known.contact.endpoint, known.failures))
}

fn is_named(world: &mut World, by: usize, id: &NodeId) -> bool {
    let mut out = [Contact { id: NodeId::default(), endpoint: Endpoint::UNSPECIFIED }; 20];
    let found = world.member(by).node().closest(id.as_key(), &mut out);
    out[..found].iter().any(|contact| contact.id == *id)
}

/// The longest of the stores and finds through each of these nodes, in microseconds.
fn slowest(world: &mut World, through: &[usize], round: u64) -> u64 {
    let mut slowest = 0;
    for (place, &number) in through.iter().enumerate() {
        let key = Key::hash_int(round * 100 + place as u64);
        let stored = world.store(number, key, b"value", HOUR);
        assert_eq!(stored.copies, through.len() - 1, "every other living node holds it");
        let (found, outcome) = world.find(through[(place + 1) % through.len()], key, FindOptions::FIRST);
        assert_eq!(found.len(), 1);
        slowest = slowest.max(stored.took_us).max(outcome.took_us);
    }
    slowest
}

#[test]
fn after_one_of_six_dies_stores_and_finds_are_as_quick_as_before_within_seconds_and_stay_so() {
    let mut world = World::grown(settings(1), 6);
    let all: Vec<_> = (0..6).collect();
    let calm = (0..3).map(|round| slowest(&mut world, &all, round)).max().unwrap();
    world.kill(2);
    let left = [0, 1, 3, 4, 5];
    slowest(&mut world, &left, 10);
    world.run_for(5 * SECOND);
    // Others name it for minutes, and newcomers who know nothing do, too: nobody waits for it.
    for round in 20..220 {
        let took = slowest(&mut world, &left, round);
        assert!(took <= 2 * calm, "round {round}: {took} us, {calm} us before");
        world.run_for(5 * SECOND);
    }
    let dead = world.id(2);
    assert!(left.iter().all(|&number| !is_named(&mut world, number, &dead)), "nor is it told to anybody");
    world.run_for(HOUR);
    assert!(left.iter().all(|&number| listed(&mut world, number, &dead).is_none()), "in the end it is forgotten");
}

#[test]
fn one_answer_ends_a_false_alarm() {
    let mut world = World::grown(settings(2), 6);
    let id = world.id(2);
    // Nobody reaches one of them for two seconds, in which everybody asks it.
    world.link(2).part = 1;
    let operations: Vec<_> = [0, 1, 3, 4, 5]
        .into_iter()
        .map(|number| {
            (number, world.start(number, |node, now| node.find_node(now, now.plus_millis(9000), Key::hash("x"))))
        })
        .collect();
    world.run_for(2 * SECOND);
    for (number, operation) in operations {
        world.finish(number, operation);
        assert!(listed(&mut world, number, &id).is_some_and(|(_, failures)| failures > 0));
        assert!(!is_named(&mut world, number, &id));
    }
    world.link(2).part = 0;
    world.run_for(10 * SECOND);
    for number in [0, 1, 3, 4, 5] {
        assert_eq!(listed(&mut world, number, &id).unwrap().1, 0);
        assert!(is_named(&mut world, number, &id));
        let stored = world.store(number, Key::hash_int(number as u64), b"value", HOUR);
        assert_eq!(stored.copies, 5, "it is asked again");
    }
}

#[test]
fn a_node_without_bootstrap_addresses_finds_its_network_again_after_its_uplink_was_gone() {
    for (seed, gone) in [(3, 30), (4, 3600)] {
        let mut world = World::grown(settings(seed), 6);
        world.link(0).part = 1;
        for second in 0..gone {
            // Under load, at first.
            if second < 30 {
                for target in 0..4u64 {
                    world.start(0, |node, now| node.find_node(now, now.plus_millis(5000), Key::hash_int(target)));
                }
            }
            world.run_for(SECOND);
            while world.next_outcome().is_some() {}
        }
        let status = world.member(0).node().status();
        assert_eq!(status.contacts, 0, "it knows nobody who answers");
        assert_eq!(world.member(0).node().contacts().count(), 5, "but it has not forgotten them");
        world.link(0).part = 0;
        world.run_for(60 * SECOND);
        assert_eq!(world.member(0).node().status().contacts, 5, "after {gone} s");
        assert_eq!(world.store(0, Key::hash("again"), b"value", HOUR).copies, 5);
    }
}

/// A node of this id at another address.
fn moved(world: &mut World, id: NodeId, port: u16) -> usize {
    let address = SocketAddr::from((Ipv4Addr::new(10, 9, 9, 9), port));
    let config = settings(0).config;
    world.add_as(id, address, &config)
}

#[test]
fn a_node_that_returns_at_another_address_is_listed_there_by_all_others_within_ten_seconds() {
    for seed in 5..15 {
        let mut world = World::grown(settings(seed), 6);
        let id = world.id(2);
        world.kill(2);
        world.run_for(Duration::from_millis(300));
        let back = moved(&mut world, id, 9000);
        assert!(world.join(back, &[0]) > 0);
        world.run_for(9 * SECOND);
        let address = world.contact(back).endpoint;
        for number in [0, 1, 3, 4, 5] {
            assert_eq!(listed(&mut world, number, &id), Some((address, 0)), "node {number}");
        }
    }
}

#[test]
fn nobody_takes_the_place_of_a_contact_that_answers() {
    let mut world = World::grown(settings(15), 6);
    let (id, address) = (world.id(2), world.contact(2).endpoint);
    let thief = moved(&mut world, id, 9001);
    for _ in 0..20 {
        world.join(thief, &[0, 1]);
        world.run_for(3 * SECOND);
        for number in [0, 1, 3, 4, 5] {
            assert_eq!(listed(&mut world, number, &id), Some((address, 0)), "node {number}");
        }
    }
}

#[test]
fn twenty_addresses_of_which_one_lives_cost_less_than_three_seconds_and_few_bytes() {
    for place in [0, 7, 19] {
        let mut world = World::grown(settings(16), 3);
        let newcomer = world.add();
        let mut addresses: Vec<SocketAddr> =
            (0..19u16).map(|number| ([192, 0, 2, number as u8 + 1], 9000).into()).collect();
        addresses.insert(place, world.contact(0).endpoint.into());
        let (begun, (_, bytes)) = (world.now(), world.traffic());
        let operation = world.start(newcomer, |node, now| node.join(now, now.plus_millis(10_000), &addresses));
        assert!(world.finish(newcomer, operation).copies > 0);
        let took = world.now().saturating_since(begun);
        assert!(took < 3 * SECOND, "{took:?}");
        assert_eq!(world.member(newcomer).node().status().contacts, 3);
        assert!(world.traffic().1 - bytes < 40_000, "{} bytes", world.traffic().1 - bytes);
    }
}

#[test]
fn who_joins_again_asks_all_its_addresses_although_its_contacts_answer() {
    let mut world = World::grown(settings(17), 4);
    let stranger = world.add();
    let dead = SocketAddr::from(([192, 0, 2, 1], 9000));
    let addresses = [dead, world.contact(0).endpoint.into(), world.contact(stranger).endpoint.into()];
    let operation = world.start(3, |node, now| node.join(now, now.plus_millis(10_000), &addresses));
    world.finish(3, operation);
    let stranger = world.id(stranger);
    assert!(listed(&mut world, 3, &stranger).is_some(), "parts of a network find together so");
}

#[test]
fn nodes_that_nobody_uses_notice_a_death_where_that_is_set_and_cost_nothing_where_not() {
    let idle = |check_interval: Duration| {
        let mut settings = settings(18);
        settings.config.check_interval = check_interval;
        let mut world = World::grown(settings, 6);
        world.run_for(60 * SECOND);
        let dead = world.id(2);
        let before = world.traffic().0;
        world.run_for(600 * SECOND);
        let hourly = (world.traffic().0 - before) * 6 / 6;
        world.kill(2);
        world.run_for(180 * SECOND);
        let names = [0, 1, 3, 4, 5].into_iter().filter(|&number| is_named(&mut world, number, &dead)).count();
        (hourly, names)
    };
    let (checking, silent) = (idle(15 * SECOND), idle(Duration::ZERO));
    assert_eq!(silent, (0, 5), "no datagram, and nobody has noticed");
    assert_eq!(checking.1, 0, "all have noticed within three minutes");
    // A PING and its PONG every 15 seconds, of each node.
    assert!((300..=500).contains(&checking.0), "{} datagrams a node and hour", checking.0);
}
