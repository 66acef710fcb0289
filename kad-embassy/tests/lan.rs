//! Stories of nodes on a local network, over the network stack that firmware uses. Time is virtual.

#[path = "lan/mod.rs"]
mod network;

use std::time::Duration;

use kad_core::{Config, FindOptions, Key, Role};
use kad_embassy::{Copies, Error, Limit, StoreOptions};
use kad_wire::ItemStatus;
use network::{Family, Lan, Shape};

const SECOND: Duration = Duration::from_secs(1);
const ALL: StoreOptions = StoreOptions {
    ttl: Duration::from_secs(3600),
    item_type: kad_wire::ItemType::RAW,
    lock: kad_wire::DeleteLock::NONE,
    copies: Copies::All,
};

fn network(family: Family, nodes: usize, shape: &Shape) -> (Lan, Vec<kad_embassy::Dht>) {
    let mut lan = Lan::new(family, 7);
    let handles: Vec<_> = (0..nodes).map(|_| lan.node(shape).1).collect();
    for dht in &handles {
        lan.run_for(20 * SECOND, dht.joined()).expect("it joins");
    }
    // Those who joined before others were there look around once more.
    lan.pass(40 * SECOND);
    (lan, handles)
}

fn value(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_value_put_by_one_node_is_read_by_every_other() {
    let families = if cfg!(feature = "proto-ipv6") { &[Family::V4, Family::V6][..] } else { &[Family::V4] };
    for &family in families {
        let (mut lan, nodes) = network(family, 6, &Shape::default());
        for (name, len) in [("nothing", 0), ("small", 64), ("inline", 1000), ("pulled", 5000)] {
            let (key, value) = (Key::hash(name), value(len));
            let receipt = lan.run_for(10 * SECOND, nodes[1].store(key, &value, &ALL)).expect("it is stored");
            assert_eq!((receipt.elsewhere, receipt.refused, receipt.silent), (5, 0, 0), "{family:?} {name}");
            for dht in &nodes {
                let mut out = [0; 8192];
                let found =
                    lan.run_for(10 * SECOND, dht.find(key, &mut out)).expect("it is found").expect("it is there");
                assert_eq!((found.len, &out[..found.len]), (len, &value[..]), "{family:?} {name}");
            }
        }
        let missing = lan.run_for(10 * SECOND, nodes[2].find(Key::hash("missing"), &mut []));
        assert_eq!(missing, Ok(None));
    }
}

/// The longest time for which a node hears nothing from a neighbour that it pings all the time, while it looks for values
/// that a vanished neighbour was near to.
fn longest_silence(shape: &Shape) -> Duration {
    let (mut lan, nodes) = network(Family::V4, 8, shape);
    let (asker, friend) = (nodes[1], lan.address(2));
    // Hardware addresses are forgotten after a minute.
    lan.pass(70 * SECOND);
    lan.run_for(SECOND, asker.ping(friend)).expect("a neighbour");
    lan.plug(5, false);
    lan.spawn(1, async move {
        for round in 0..200u32 {
            let _ = asker.with_timeout(3 * SECOND).find(Key::hash(round.to_le_bytes()), &mut []).await;
        }
    });
    let (mut longest, mut heard) = (Duration::ZERO, lan.elapsed());
    let end = lan.elapsed() + 60 * SECOND;
    while lan.elapsed() < end {
        if lan.run_for(2 * SECOND, asker.with_timeout(SECOND / 4).ping(friend)).is_ok() {
            longest = longest.max(lan.elapsed() - heard);
            heard = lan.elapsed();
        }
        lan.pass(SECOND / 20);
    }
    assert!(asker.link_stats().dead > 0, "it was tried: {:?}", asker.link_stats());
    longest.max(lan.elapsed() - heard)
}

#[test]
fn a_neighbour_that_vanishes_costs_others_at_most_three_seconds() {
    let longest = longest_silence(&Shape::default());
    assert!(longest <= 3 * SECOND, "{longest:?}");
}

/// Why the link is made as it is. When this fails, the network stack has become better, and the link can become simpler.
#[test]
fn a_plain_socket_is_blocked_by_a_neighbour_that_vanished() {
    use embassy_net::udp::{PacketMetadata, UdpSocket};
    let mut lan = Lan::new(Family::V4, 7);
    let (_, there, _) = lan.host();
    let (_, here, _) = lan.host();
    let buffers = || (Box::leak(Box::new([PacketMetadata::EMPTY; 4])), Box::leak(Box::new([0; 1024])));
    let socket = |stack| {
        let ((receive_meta, receive), (send_meta, send)) = (buffers(), buffers());
        let mut socket = UdpSocket::new(stack, receive_meta, receive, send_meta, send);
        socket.bind(network::PORT).expect("a free port");
        socket
    };
    let (listener, sender) = (socket(there), socket(here));
    let (live, vanished) = (lan.address(0), lan.address(9));
    for (to, arrives) in [(live, true), (vanished, false), (live, false)] {
        lan.run_for(SECOND, sender.send_to(b"x", to)).expect("queued");
        lan.pass(100 * SECOND);
        assert_eq!(listener.may_recv(), arrives, "{to}");
        while listener.may_recv() {
            lan.run_for(SECOND, listener.recv_from(&mut [0; 16])).expect("a datagram");
        }
    }
}

#[test]
fn a_large_value_reaches_a_node_behind_a_small_network_chip_and_a_bad_cable() {
    let (mut lan, nodes) = network(Family::V4, 5, &Shape::default());
    lan.loss = 20;
    let (key, value) = (Key::hash("large"), value(16_384));
    let receipt =
        lan.run_for(30 * SECOND, nodes[0].with_timeout(25 * SECOND).store(key, &value, &ALL)).expect("stored");
    assert!(receipt.elsewhere >= 3, "{receipt:?}");
    // A client holds nothing, so it has to pull it. In a quiet network, what it asks for is all that comes.
    let client = Shape { config: Config { role: Role::Client, ..Shape::default().config }, ..Shape::default() };
    let (_, client) = lan.node(&client);
    lan.run_for(20 * SECOND, client.joined()).expect("it joins");
    lan.pass(40 * SECOND);
    (lan.overrun, lan.frames) = (0, 0);
    let mut out = vec![0; 16_384];
    let found = lan.run_for(30 * SECOND, client.with_timeout(25 * SECOND).find(key, &mut out)).expect("found");
    assert_eq!((found.map(|found| found.len), &out), (Some(16_384), &value));
    assert_eq!(lan.overrun, 0, "no transfer asks for more than the chip holds");
    assert!(lan.frames > 16, "it came over the wire: {}", lan.frames);
}

#[test]
fn what_a_node_cannot_hold_is_refused_and_the_receipt_says_so() {
    let mut lan = Lan::new(Family::V4, 7);
    let (_, large) = lan.node(&Shape::default());
    let small = Shape { config: Config { value_max: 1024, k: 8, ..Config::default() }, ..Shape::default() };
    let nodes: Vec<_> = (0..4).map(|_| lan.node(&small).1).collect();
    for dht in &nodes {
        lan.run_for(20 * SECOND, dht.joined()).expect("it joins");
    }
    lan.pass(40 * SECOND);
    let stored = lan.run_for(10 * SECOND, large.store(Key::hash("big"), &value(4096), &ALL));
    let Err(Error::TooFewCopies(receipt)) = stored else { panic!("it is held here only: {stored:?}") };
    assert_eq!((receipt.copies, receipt.elsewhere), (1, 0));
    assert_eq!((receipt.refused, receipt.refusal), (4, Some(ItemStatus::TooLarge)));
    let refused = lan.run_for(SECOND, nodes[0].store(Key::hash("big"), &value(1025), &ALL));
    assert_eq!(refused, Err(Error::TooLarge { len: 1025, max: 1024 }));
    // A small node that looks for it is told that it cannot have it, not that it does not exist.
    let found = lan.run_for(10 * SECOND, nodes[0].find(Key::hash("big"), &mut [0; 4096]));
    assert_eq!(found, Err(Error::Truncated));
}

#[test]
fn a_find_of_all_shows_several_values_and_says_when_there_are_more() {
    let (mut lan, nodes) = network(Family::V4, 5, &Shape::default());
    let key = Key::hash("many");
    for number in 0..6u8 {
        let dht = nodes[usize::from(number % 5)];
        lan.run_for(10 * SECOND, dht.store(key, &[number; 10], &ALL)).expect("stored");
        let mut shown = Vec::new();
        let ended = lan.run_for(
            10 * SECOND,
            nodes[3].find_all(key, FindOptions::ALL, |found, bytes| {
                assert_eq!(found.len, bytes.len());
                shown.push(bytes[0]);
            }),
        );
        shown.sort_unstable();
        assert_eq!(shown.len(), usize::from(number + 1).min(4));
        assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
        assert_eq!(ended, if number < 4 { Ok(()) } else { Err(Error::Truncated) }, "{number}");
    }
}

#[test]
fn a_node_that_leaves_hands_over_what_it_holds_and_its_task_ends() {
    let (mut lan, nodes) = network(Family::V4, 4, &Shape::default());
    let key = Key::hash("kept");
    // Without copies elsewhere: only this node has it.
    for dht in &nodes[1..] {
        assert_eq!(lan.run_for(10 * SECOND, dht.find(key, &mut [0; 16])), Ok(None));
    }
    let few = StoreOptions { copies: Copies::AtLeast(1), ..ALL };
    lan.run_for(10 * SECOND, nodes[0].store(key, b"value", &few)).expect("stored");
    assert_eq!(lan.run_for(20 * SECOND, nodes[0].leave()), Ok(()));
    lan.pass(SECOND);
    assert!(lan.has_ended(0));
    assert_eq!(lan.run_for(SECOND, nodes[0].find(key, &mut [0; 16])), Err(Error::Closed));
    let mut out = [0; 16];
    let found = lan.run_for(10 * SECOND, nodes[3].find(key, &mut out)).expect("found").expect("there");
    assert_eq!(&out[..found.len], b"value");
    // Everybody was told.
    for dht in &nodes[1..] {
        dht.contacts(|known| assert_ne!(known.contact.id, nodes[0].id()));
    }
}

#[test]
fn a_store_that_waits_for_no_other_node_ends_at_once_and_reaches_others_all_the_same() {
    let (mut lan, nodes) = network(Family::V4, 4, &Shape::default());
    let here = StoreOptions { copies: Copies::AtLeast(0), ..ALL };
    // No datagram comes back within this time.
    let receipt = lan
        .run_for(Duration::from_micros(1), nodes[0].store(Key::hash("kept"), b"value", &here))
        .expect("it is held here");
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.complete), (1, 0, false));
    lan.pass(SECOND);
    assert_eq!(lan.run_for(20 * SECOND, nodes[0].leave()), Ok(()));
    assert!(lan.run_for(10 * SECOND, nodes[3].find(Key::hash("kept"), &mut [0; 16])).expect("found").is_some());
}

#[test]
fn the_last_but_one_node_leaves_and_says_when_it_has() {
    let (mut lan, nodes) = network(Family::V4, 2, &Shape::default());
    lan.run_for(10 * SECOND, nodes[1].store(Key::hash("kept"), &value(4096), &ALL)).expect("stored");
    for dht in [nodes[1], nodes[1], nodes[0]] {
        assert_eq!(lan.run_for(20 * SECOND, dht.leave()), Ok(()));
    }
    assert!(lan.has_ended(0) && lan.has_ended(1));
}

#[test]
fn calls_end_in_time_and_give_their_places_back() {
    let mut lan = Lan::new(Family::V4, 7);
    let _absent = lan.host();
    let (_, dht) = lan.node(&Shape::default());
    // Nobody is there: the node goes on trying, and the calls end.
    assert_eq!(lan.run_for(15 * SECOND, dht.with_timeout(12 * SECOND).joined()), Err(Error::Unreachable));
    assert_eq!(lan.run_for(15 * SECOND, dht.find(Key::hash("x"), &mut [])), Err(Error::Unreachable));
    let short = dht.with_timeout(SECOND);
    let absent = lan.address(0);
    for _ in 0..5 {
        let ping = lan.run_for(2 * SECOND, short.ping(absent));
        assert!(matches!(ping, Err(Error::Unreachable | Error::Timeout)), "{ping:?}");
    }
    // Two places for calls: the third says so at once, and dropped calls free theirs.
    for _ in 0..3 {
        let (first, second) = (Box::pin(short.ping(absent)), Box::pin(short.ping(absent)));
        let third = lan.run_for(3 * SECOND, async {
            let mut both = (first, second);
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            assert!(both.0.as_mut().poll(&mut context).is_pending());
            assert!(both.1.as_mut().poll(&mut context).is_pending());
            short.ping(absent).await
        });
        assert_eq!(third, Err(Error::Busy));
    }
}

#[test]
fn a_network_comes_together_again_after_its_bootstrap_node_was_away() {
    let mut lan = Lan::new(Family::V4, 7);
    let nodes: Vec<_> = (0..4).map(|_| lan.node(&Shape::default()).1).collect();
    lan.plug(0, false);
    lan.pass(30 * SECOND);
    assert_eq!(nodes[2].status().contacts, 0);
    lan.plug(0, true);
    lan.pass(90 * SECOND);
    for dht in &nodes {
        assert_eq!(dht.status().contacts, 3);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (mut lan, nodes) = network(Family::V4, 6, &Shape::default());
        lan.loss = 10;
        for number in 0..10u8 {
            let _ =
                lan.run_for(30 * SECOND, nodes[usize::from(number) % 6].store(Key::hash([number]), &value(3000), &ALL));
        }
        (lan.frames, nodes.iter().map(|dht| dht.stats()).collect::<Vec<_>>(), lan.elapsed())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_node_that_has_forgotten_all_hardware_addresses_still_reaches_everybody() {
    let (mut lan, nodes) = network(Family::V4, 8, &Shape::default());
    lan.pass(70 * SECOND);
    let patient = nodes[1].with_timeout(20 * SECOND);
    let start = lan.elapsed();
    let receipt = lan.run_for(21 * SECOND, patient.store(Key::hash("cold"), &value(100), &ALL)).expect("stored");
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.silent), (8, 7, 0));
    assert!(lan.elapsed() - start < SECOND, "{:?}", lan.elapsed() - start);
}

#[test]
fn a_sleepy_client_does_one_thing_at_a_time_within_its_budget_and_nobody_knows_it() {
    let (mut lan, nodes) = network(Family::V4, 6, &Shape::default());
    let mut client = lan.client(&Shape::default());
    let limit = Limit { datagrams: 40, time: 10 * SECOND };
    for (name, len) in [("reading", 64), ("picture", 5000)] {
        let (key, value) = (Key::hash(name), value(len));
        let few = StoreOptions { copies: Copies::AtLeast(3), ..ALL };
        let receipt = lan.run_for(12 * SECOND, client.store(key, &value, &few, limit)).expect("stored");
        assert!(receipt.elsewhere >= 3, "{receipt:?}");
        let cost = client.cost();
        assert!(cost.sent <= 40 && cost.sent > 0, "{cost:?}");
        let mut out = vec![0; 8192];
        let found = lan.run_for(12 * SECOND, client.find(key, &mut out, limit)).expect("found").expect("there");
        assert_eq!(&out[..found.len], value);
        assert!(client.cost().sent <= 12, "{:?}", client.cost());
        // It sleeps: whatever happens, it says nothing.
        let before = lan.datagrams_sent_by(6);
        lan.pass(120 * SECOND);
        assert_eq!(lan.datagrams_sent_by(6), before);
        for dht in &nodes {
            dht.contacts(|known| assert_ne!(known.contact.id, client.id()));
            let found = lan.run_for(10 * SECOND, dht.find(key, &mut out)).expect("found").expect("there");
            assert_eq!(&out[..found.len], value);
        }
    }
    assert_eq!(lan.run_for(12 * SECOND, client.find(Key::hash("missing"), &mut [], limit)), Ok(None));
    // A budget that is too small is kept.
    let poor = Limit { datagrams: 3, ..limit };
    let before = lan.datagrams_sent_by(6);
    let refused = lan.run_for(12 * SECOND, client.store(Key::hash("x"), b"x", &ALL, poor));
    assert_eq!((refused, client.cost().sent), (Err(Error::Budget), 3));
    assert!(lan.datagrams_sent_by(6) - before <= 3);
    // Everybody it knew is gone, but for its bootstrap node.
    lan.run_for(12 * SECOND, nodes[0].store(Key::hash("kept"), b"kept", &ALL)).expect("stored");
    for host in 1..6 {
        lan.plug(host, false);
    }
    lan.pass(70 * SECOND);
    let found = lan.run_for(12 * SECOND, client.find(Key::hash("kept"), &mut [0; 64], limit));
    assert!(found.is_ok_and(|found| found.is_some()), "{found:?} {:?}", client.cost());
}

#[test]
fn a_client_with_small_datagrams_stores_and_finds_values_of_any_size() {
    let (mut lan, nodes) = network(Family::V4, 6, &Shape::default());
    let mut client = lan.client(&Shape { small: true, ..Shape::default() });
    let limit = Limit { datagrams: 100, time: 10 * SECOND };
    let mut out = vec![0; 16_384];
    // Whole in a STORE; as long as one datagram, so that it must be offered; in one chunk; in many.
    for (name, len) in [("nothing", 0), ("whole", 512), ("offered", 600), ("chunk", 704), ("chunks", 5000)] {
        let (key, value) = (Key::hash(name), value(len));
        let receipt = lan.run_for(12 * SECOND, client.store(key, &value, &ALL, limit));
        let receipt = receipt.unwrap_or_else(|error| panic!("{name}: {error:?} {:?}", client.cost()));
        assert_eq!((receipt.elsewhere, receipt.refused, receipt.silent), (6, 0, 0), "{name}");
        let found = lan.run_for(12 * SECOND, client.find(key, &mut out, limit)).expect("found").expect("there");
        assert_eq!(&out[..found.len], value, "{name}");
        let found = lan.run_for(10 * SECOND, nodes[4].find(key, &mut out)).expect("found").expect("there");
        assert_eq!(&out[..found.len], value, "{name}");
    }
    assert!((500..=network::SMALL).contains(&lan.longest_sent_by(6)), "{}", lan.longest_sent_by(6));
}

#[test]
fn nodes_with_small_datagrams_and_others_are_one_network() {
    let mut lan = Lan::new(Family::V4, 7);
    let shape = |host| Shape { small: host % 2 == 1, ..Shape::default() };
    let nodes: Vec<_> = (0..6).map(|host| lan.node(&shape(host)).1).collect();
    for dht in &nodes {
        lan.run_for(20 * SECOND, dht.joined()).expect("it joins");
    }
    lan.pass(40 * SECOND);
    for (name, len, publisher) in [("whole", 512, 1), ("offered", 600, 3), ("large", 1000, 0), ("larger", 5000, 5)] {
        let (key, value) = (Key::hash(name), value(len));
        let receipt = lan.run_for(10 * SECOND, nodes[publisher].store(key, &value, &ALL)).expect("it is stored");
        assert_eq!((receipt.elsewhere, receipt.refused, receipt.silent), (5, 0, 0), "{name}");
        for dht in &nodes {
            let mut out = [0; 8192];
            let found = lan.run_for(10 * SECOND, dht.find(key, &mut out)).expect("it is found").expect("it is there");
            assert_eq!((found.len, &out[..found.len]), (len, &value[..]), "{name}");
        }
    }
    for host in [1, 3, 5] {
        assert!(lan.longest_sent_by(host) <= network::SMALL, "{}", lan.longest_sent_by(host));
    }
}
