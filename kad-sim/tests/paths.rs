//! Paths that carry small datagrams only: found out once, remembered, and not taken for losses.

use std::time::Duration;

use kad_core::FindOptions;
use kad_sim::{Delay, Narrow, Network, Settings, World};
use kad_wire::Key;

const HOUR: Duration = Duration::from_secs(3600);
/// Values that travel inside, barely inside, and in chunks.
const SIZES: [usize; 4] = [64, 1080, 20_000, 32_768];
/// UDP payloads over IPv4 where the MTU is 1124, 1000 and 576.
const PAYLOADS: [usize; 3] = [1096, 972, 548];
/// Values of each size before anything is measured.
const FIRST: usize = 14;
const MEASURED: usize = 9;

fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 13 + at / 97 + number) as u8).collect()
}

fn median(mut took_us: Vec<u64>) -> u64 {
    took_us.sort_unstable();
    took_us[took_us.len() / 2]
}

/// Medians of what it takes to store and to read values of each size through a node with this path, and through another: first
/// stored there and read elsewhere, then the other way round.
fn use_it(nodes: usize, narrow: Option<Narrow>) -> Vec<[u64; 4]> {
    // Datagrams stay in order, as they mostly do.
    let network = Network { delay: Delay::Even(20_000..20_001), ..Network::STEADY };
    let mut world = World::grown(Settings { network, ..Settings::new(11) }, nodes);
    world.link(0).narrow = narrow;
    SIZES
        .iter()
        .map(|&len| {
            let mut took_us = [const { Vec::new() }; 4];
            for number in 0..FIRST + MEASURED {
                let other = 1 + number % (nodes - 1);
                for (at, (from, to)) in [(0, other), (other, 0)].into_iter().enumerate() {
                    let key = Key::hash(format!("{len} {number} {at}"));
                    let stored = world.store(from, key, &value(number, len), HOUR);
                    assert!(stored.copies + 2 >= nodes.min(20), "{len} bytes from {from}: {stored:?}");
                    let (found, outcome) = world.find(to, key, FindOptions::FIRST);
                    assert_eq!(found.len(), 1, "{len} bytes at {to}: {outcome:?}");
                    assert_eq!(found[0].1, value(number, len));
                    if number >= FIRST {
                        took_us[2 * at].push(stored.took_us);
                        took_us[2 * at + 1].push(outcome.took_us);
                    }
                }
            }
            took_us.map(median)
        })
        .collect()
}

fn compare(nodes: usize, narrow: Narrow) {
    let wide = use_it(nodes, None);
    let small = use_it(nodes, Some(narrow));
    for (len, (wide, small)) in SIZES.iter().zip(wide.iter().zip(&small)) {
        println!("{nodes} nodes, {narrow:?}, {len} bytes: {small:?} us, {wide:?} where all pass");
        for (small, wide) in small.chunks(2).zip(wide.chunks(2)) {
            let (small, wide) = (small.iter().sum::<u64>(), wide.iter().sum::<u64>());
            // To store and to read; and a little for chance, as no two datagrams take the same time here.
            assert!(small <= 2 * wide + wide / 10, "{narrow:?}, {len} bytes: {small} us, {wide} where all pass");
        }
    }
}

#[test]
fn values_take_no_longer_than_twice_as_long_on_small_paths() {
    for bytes in PAYLOADS {
        compare(8, Narrow::silent(bytes));
    }
}

#[test]
fn in_networks_where_lists_of_contacts_are_long_too() {
    compare(40, Narrow::silent(548));
    compare(40, Narrow::silent(1096));
}

#[test]
fn small_in_one_direction_alone() {
    compare(8, Narrow { out: 972, into: 4096, tells: false });
    compare(8, Narrow { out: 4096, into: 972, tells: false });
}

#[test]
fn a_node_that_is_told_sends_smaller_at_once() {
    compare(8, Narrow { out: 972, into: 972, tells: true });
    let mut world = World::grown(Settings::new(3), 8);
    world.link(0).narrow = Some(Narrow { out: 972, into: 4096, tells: true });
    let stored = world.store(0, Key::hash("told"), &value(0, 1080), HOUR);
    // Two round trips for the lookup, three for offer, chunks and answer, at 90 ms each: no request was waited for in vain.
    assert!(stored.took_us < 700_000, "{stored:?}");
    assert_eq!(stored.copies, 7);
}

/// A path that has been wide becomes small: one timeout tells, and what reads have told serves stores, too.
#[test]
fn a_path_that_becomes_small_is_waited_for_once() {
    let network = Network { delay: Delay::Even(20_000..20_001), ..Network::STEADY };
    let mut world = World::grown(Settings { network, ..Settings::new(8) }, 8);
    let key = |number: usize| Key::hash_int(number as u64);
    let store = |world: &mut World, number: usize, from: usize| {
        let stored = world.store(from, key(number), &value(number, 1080), HOUR);
        assert_eq!(stored.copies, 7, "{stored:?}");
        stored.took_us
    };
    let read = |world: &mut World, number: usize, at: usize| {
        let (found, outcome) = world.find(at, key(number), FindOptions::FIRST);
        assert_eq!(found.len(), 1, "{outcome:?}");
    };
    // All of them know each other's paths as wide.
    for number in 0..8 {
        store(&mut world, number, number);
        (0..8).for_each(|at| read(&mut world, number, at));
    }
    let wide = store(&mut world, 8, 0);
    world.link(0).narrow = Some(Narrow::silent(972));
    let first = store(&mut world, 9, 0);
    let second = store(&mut world, 10, 0);
    println!("{wide} us where all pass, then {first}, then {second}");
    // Offer, chunks and answer are three round trips instead of one; a timeout is 50 ms and more.
    assert!(first < wide + 80_000 + 130_000, "{first} us, {wide} where all pass");
    assert!(second < wide + 80_000 + 10_000, "{second} us, {wide} where all pass");
    world.link(1).narrow = Some(Narrow::silent(972));
    // Large replies to this node come from each of the others.
    for number in 100..160 {
        store(&mut world, number, 2 + number % 6);
        read(&mut world, number, 1);
    }
    let after_reads = store(&mut world, 200, 1);
    println!("{after_reads} us after reads");
    assert!(after_reads < wide + 80_000 + 10_000, "{after_reads} us, {wide} where all pass");
}

/// A path that loses some of everything is not taken for one that loses what is large.
#[test]
fn losses_make_hardly_any_path_small() {
    let network = Network { loss: 50_000, ..Network::STEADY };
    let mut world = World::grown(Settings { network, ..Settings::new(5) }, 40);
    for number in 0..150usize {
        let key = Key::hash_int(number as u64);
        world.store(number % 40, key, &value(number, SIZES[number % 2 + 1]), HOUR);
        let (found, outcome) = world.find((number * 7 + 3) % 40, key, FindOptions::FIRST);
        assert_eq!(found.len(), 1, "{outcome:?}");
    }
    let (mut small, mut all) = (0, 0);
    for number in 0..40 {
        for contact in world.member(number).node().contacts() {
            all += 1;
            // A limit of 1072 bytes costs next to nothing.
            let is_small = |limit: Option<u16>| limit.is_some_and(|limit| limit < 1072);
            small += usize::from(is_small(contact.path.out)) + usize::from(is_small(contact.path.into));
        }
    }
    let sum = |world: &mut World, of: fn(&kad_core::Stats) -> u64| -> u64 {
        (0..40).map(|number| of(world.member(number).node().stats())).sum()
    };
    let requests = sum(&mut world, |stats| stats.requests_out);
    let (again, probes) = (sum(&mut world, |stats| stats.retransmissions), sum(&mut world, |stats| stats.path_probes));
    let narrow = sum(&mut world, |stats| stats.small_paths);
    println!("{narrow} small; {requests} requests, {again} again, {probes} as probes; {:?}", world.traffic());
    assert!(probes * 33 < requests, "{probes} of {requests} requests went out twice");
    println!("{small} of {all} paths in two directions count as small");
    assert!(small * 20 < all, "{small} of {all} paths in two directions count as small");
}

/// A path that has become large again is found out, too.
#[test]
fn a_path_that_recovers_is_used_again() {
    let mut world = World::grown(Settings::new(6), 8);
    world.link(0).narrow = Some(Narrow::silent(548));
    let store = |world: &mut World, number: usize| {
        world.store(0, Key::hash_int(number as u64), &value(number, 1080), HOUR);
    };
    (0..6).for_each(|number| store(&mut world, number));
    let small = |world: &mut World| world.member(0).node().contacts().filter(|known| known.path.out.is_some()).count();
    assert_eq!(small(&mut world), 7, "all are known as small");
    world.link(0).narrow = None;
    (6..150).for_each(|number| store(&mut world, number));
    assert!(small(&mut world) <= 1, "{} are still taken for small", small(&mut world));
}
