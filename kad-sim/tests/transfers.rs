//! Values larger than a datagram: small windows, dead and silent peers, contended memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Capacity, Config, FindOptions};
use kad_sim::{Network, Settings, World};
use kad_wire::{
    Datagram, DeleteLock, Digest, Envelope, FindNode, ItemHeader, ItemType, Key, NodeId, Prefix, Reply, Request,
    RequestFlags, StoreMode, StoreWriter, Token, TransactionId,
};

const HOUR: Duration = Duration::from_secs(3600);

fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 13 + at / 97 + number) as u8).collect()
}

/// Chunks that were sent to an address and not received yet can never exceed what its socket holds: a NIC that drops
/// everything beyond loses nothing.
#[test]
fn a_node_is_never_sent_more_chunks_at_once_than_its_window() {
    for window in [1, 3, 6] {
        let mut world = World::grown(Settings::new(1), 10);
        let small = world.add_with(&Config { receive_window: window, ..Config::default() });
        world.join(small, &[0]);
        let key = Key::hash("large");
        world.store(0, key, &value(0, 32_768), HOUR);
        world.tap = Some(Vec::new());
        let (found, _) = world.find(small, key, FindOptions::FIRST);
        assert_eq!(found[0].1, value(0, 32_768));
        let address = world.member(small).address;
        let mut most = 0;
        for sent in world.tap.take().unwrap() {
            if let (true, Ok(Datagram::Request { request: Request::Pull(pull), .. })) =
                (sent.from == address, Datagram::decode(&sent.datagram))
            {
                most = most.max(pull.bitmap.count_ones());
            }
        }
        assert!((1..=u32::from(window)).contains(&most), "{most} chunks asked for with a window of {window}");
    }
}

#[test]
fn when_the_holder_dies_in_the_middle_the_rest_comes_from_another() {
    let mut world = World::grown(Settings::new(2), 20);
    let key = Key::hash("large");
    world.store(0, key, &value(0, 32_768), HOUR);
    let reader = 19;
    let operation =
        world.start(reader, |node, now| node.find_value(now, now.plus_millis(20_000), key, FindOptions::FIRST));
    let address = world.member(reader).address;
    // Wait for the first pull, then kill whom it went to.
    world.tap = Some(Vec::new());
    let holder = loop {
        world.run_for(Duration::from_millis(1));
        let sent = world.tap.replace(Vec::new()).unwrap();
        let pull = sent.iter().find(|sent| {
            sent.from == address
                && matches!(Datagram::decode(&sent.datagram), Ok(Datagram::Request { request: Request::Pull(_), .. }))
        });
        if let Some(pull) = pull {
            break pull.to;
        }
    };
    let dead = (0..20).find(|&number| world.member(number).address == holder).unwrap();
    world.kill(dead);
    let outcome = world.finish(reader, operation);
    let found = world.member(reader).found.remove(&operation).unwrap_or_default();
    assert_eq!(found.len(), 1, "{outcome:?}");
    assert_eq!(found[0].1, value(0, 32_768));
}

#[test]
fn a_value_larger_than_a_node_takes_is_refused_and_costs_no_bytes() {
    let mut world = World::grown(Settings::new(3), 5);
    let small = world.add_with(&Config { value_max: 1000, ..Config::default() });
    world.join(small, &[0]);
    let key = Key::hash("too large");
    let stored = world.store(0, key, &value(0, 5000), HOUR);
    assert_eq!((stored.copies, stored.refusals), (4, 1), "the small node refuses, and the receipt says so");
    let before = world.member(small).node().stats().chunks;
    let (found, outcome) = world.find(small, key, FindOptions::FIRST);
    assert!(found.is_empty() && outcome.truncated, "a reader is told that there is more than it can take");
    assert_eq!(world.member(small).node().stats().chunks, before);
}

/// Twenty publishers at once, and holders with few rows: everything gets through, nothing deadlocks.
#[test]
fn contended_rows_delay_but_never_lose_a_store() {
    let capacity = Capacity { arena_rows: 2, transfers: 12, ..Capacity::SMALL };
    let network = Network { loss: 20_000, ..Network::STEADY };
    let mut world = World::grown(Settings { capacity, network, ..Settings::new(4) }, 20);
    let stores: Vec<_> = (0..20)
        .map(|number| (number, world.start_store(number, Key::hash_int(number as u64), &value(number, 16_384), HOUR)))
        .collect();
    for (number, operation) in stores {
        let outcome = world.finish(number, operation);
        assert!(outcome.copies >= 12, "node {number}: {} copies, {} refusals", outcome.copies, outcome.refusals);
    }
    world.run_for(Duration::from_secs(10));
    for number in 0..20 {
        assert_eq!(world.member(number).node().status().transfers, 0, "node {number}");
    }
}

/// Publishers that offer and never serve a byte must not starve those that do.
#[test]
fn silent_publishers_do_not_starve_honest_ones() {
    let capacity = Capacity { arena_rows: 4, transfers: 32, ..Capacity::SMALL };
    let mut world = World::grown(Settings { capacity, ..Settings::new(5) }, 10);
    let key = Key::hash("contended");
    for round in 0..20 {
        for enemy in 0..3u8 {
            for victim in 0..10 {
                offer_without_serving(&mut world, enemy, victim, round);
            }
        }
        let number = usize::from(round % 10);
        let operation = world.start_store(number, key, &value(usize::from(round), 16_384), HOUR);
        let outcome = world.finish(number, operation);
        assert!(
            outcome.copies >= 8 && outcome.took_us < 10_000_000,
            "{} copies in {} us",
            outcome.copies,
            outcome.took_us
        );
    }
}

/// An enemy fetches a token and offers as many values as fit a datagram.
fn offer_without_serving(world: &mut World, enemy: u8, victim: usize, round: u8) {
    let from = SocketAddr::from((Ipv4Addr::new(11, 0, 0, enemy + 1), 7000));
    let prefix = Prefix { tag: TransactionId::new(1, u64::from(round), 0), ..Prefix::default() };
    let ask = Envelope { prefix, sender: NodeId::from_bytes([0xe0 + enemy; 32]), token: Token::NONE };
    let client = RequestFlags(RequestFlags::CLIENT);
    let mut out = [0; 1232];
    let find = FindNode { limit: 1, target: Key::hash("contended"), padding: 300 };
    let len = Request::FindNode(find).encode(&ask, client, &mut out).unwrap();
    let now = world.now();
    let mut reply = [0; 1232];
    let mut node = world.member(victim).node();
    let kad_core::Received::Reply(answered) = node.handle_datagram(now, from, &out[..len], &mut reply) else {
        panic!()
    };
    let Ok(Datagram::Reply { envelope: Envelope { token, .. }, reply: Reply::Nodes(_), .. }) =
        Datagram::decode(&reply[..answered])
    else {
        panic!()
    };
    let mut writer = StoreWriter::begin(&Envelope { token, ..ask }, client, StoreMode::Publish, &mut out).unwrap();
    for number in 0..14u8 {
        let header = ItemHeader::publish(&Key::hash("contended"), ItemType::RAW, DeleteLock::NONE, 60_000, &[]);
        let header = ItemHeader { total_len: 30_000, digest: Digest([number ^ round; 16]), ..header };
        writer.push(&Key::hash("contended"), &header).unwrap();
    }
    let len = writer.finish().unwrap();
    let to = world.member(victim).address;
    world.inject(from, to, &out[..len]);
}

#[test]
fn duplicated_reordered_and_late_chunks_give_exactly_the_value() {
    for seed in 0..8 {
        let network = Network { loss: 150_000, duplication: 300_000, straggling: 100_000, ..Network::STEADY };
        let mut world = World::grown(Settings { network: Network::STEADY, ..Settings::new(100 + seed) }, 8);
        let key = Key::hash("rough");
        world.store(0, key, &value(3, 32_768), HOUR);
        *world.network() = network;
        let mut complete = 0;
        for reader in 1..8 {
            let (found, _) = world.find(reader, key, FindOptions::FIRST);
            assert!(found.iter().all(|(_, bytes)| *bytes == value(3, 32_768)), "never anything else");
            complete += found.len();
        }
        assert!(complete >= 6, "{complete} of 7 readers got it");
    }
}

/// A holder that has places for some of the items of a STORE takes those, and the others after them. Refusing the pulls of
/// the first because the last were told to wait kept both nodes busy with nothing until the operation's end.
#[test]
fn a_store_of_more_large_values_than_a_holder_has_places_for_gets_through() {
    let capacity = Capacity { transfers: 3, arena_rows: 2, ..Capacity::SMALL };
    // In order, as on most paths: the answer with "wait" comes before the first pull.
    let network = Network { delay: kad_sim::Delay::Even(10_000..10_001), ..Network::STEADY };
    let mut world = World::grown(Settings { capacity, network, ..Settings::new(8) }, 3);
    let key = Key::hash("many");
    let (now, mut items) = (world.now(), Vec::new());
    for number in 0..10 {
        let value = value(number, 3_000);
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
        world.member(0).publish(now, &key, &header, &value);
        items.push((key, header));
    }
    let store = world.start(0, |node, now| node.store(now, now.plus_millis(20_000), StoreMode::Publish, 0, &items));
    let outcome = world.finish(0, store);
    assert_eq!((outcome.copies, outcome.timed_out), (2, false), "everyone else has everything");
}

/// A reply of a node with a small receive buffer has room for few contacts and a value, not for eight and none.
#[test]
fn all_values_are_found_through_the_smallest_datagrams() {
    let config = Config { receive_max: 512, ..Config::default() };
    let mut world = World::grown(Settings { config, ..Settings::new(9) }, 20);
    let key = Key::hash("several");
    for number in 0..4 {
        world.store(number, key, &value(number, 60 + 400 * number), HOUR);
    }
    let (found, _) = world.find(19, key, FindOptions::ALL);
    assert_eq!(found.len(), 4);
}
