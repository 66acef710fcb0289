//! What enemies can do to a node, and what they cannot.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Config, FindOptions, Role};
use kad_sim::{Dice, Settings, World};
use kad_store::Store as _;
use kad_wire::{
    Chunk, Contact, Datagram, DeleteLock, Digest, Envelope, FindNode, FindValue, ItemHeader, ItemType, Key,
    MaxDatagram, NetworkId, NodeId, NodesWriter, Prefix, Pull, Refusal, Reply, ReplyHead, Request, RequestFlags,
    StoreMode, StoreWriter, Token, TransactionId, TypeMask,
};

const HOUR: Duration = Duration::from_secs(3600);

fn stranger(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0b00_0000 + number), 7000))
}

fn envelope(sender: u8) -> Envelope {
    let prefix = Prefix { tag: TransactionId::new(1, 2, 0), ..Prefix::default() };
    Envelope { prefix, sender: NodeId::from_bytes([sender; 32]), token: Token::NONE }
}

fn encode(build: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = [0; 2000];
    let len = build(&mut out).expect("fits");
    out[..len].to_vec()
}

fn request(envelope: &Envelope, request: &Request<'_>) -> Vec<u8> {
    encode(|out| request.encode(envelope, RequestFlags::default(), out))
}

/// One datagram of every kind of request, at its shortest and at its longest.
fn every_request() -> Vec<(&'static str, Vec<u8>)> {
    let (from, key) = (envelope(0x77), Key::hash("held"));
    let find_node = |padding| Request::FindNode(FindNode { limit: 20, target: key, padding });
    let find_value = |padding| {
        let types = TypeMask::ALL;
        Request::FindValue(FindValue { limit: 20, types, burst: 0, max_age_ms: u32::MAX, cursor: 0, key, padding })
    };
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1000, b"value");
    let pull = Pull {
        lane: 0,
        chunk_len: 1200,
        offset: 0,
        bitmap: u64::MAX,
        offer: TransactionId::default(),
        key,
        digest: header.digest,
    };
    let offered = Pull { offer: TransactionId::new(100, 7, 0), ..pull };
    let store = encode(|out| {
        let mut writer = StoreWriter::begin(&from, RequestFlags::default(), StoreMode::Publish, out)?;
        writer.push(&key, &header.with_inline(0))?;
        writer.finish()
    });
    vec![
        ("ping", request(&from, &Request::PING)),
        ("find_node", request(&from, &find_node(0))),
        ("padded find_node", request(&from, &find_node(321))),
        ("overlong find_node", request(&from, &find_node(900))),
        ("find_value", request(&from, &find_value(0))),
        ("padded find_value", request(&from, &find_value(311))),
        ("pull", request(&from, &Request::Pull(pull))),
        ("pull of an offer", request(&from, &Request::Pull(offered))),
        ("store", store),
        ("goodbye", request(&from, &Request::Goodbye)),
    ]
}

/// Everything that the nodes send to an address within ten seconds of one datagram from there.
fn bytes_out(world: &mut World, spoofed: SocketAddr, victim: usize, datagram: &[u8]) -> usize {
    let to = world.member(victim).address;
    world.tap = Some(Vec::new());
    world.inject(spoofed, to, datagram);
    world.run_for(Duration::from_secs(10));
    let sent = world.tap.take().unwrap();
    sent.iter().filter(|sent| sent.to == spoofed).map(|sent| sent.datagram.len()).sum()
}

#[test]
fn an_unproven_address_gets_at_most_three_times_what_it_sent() {
    let mut world = World::grown(Settings::new(1), 30);
    world.store(0, Key::hash("held"), &vec![7; 1000], HOUR);
    for (number, (name, datagram)) in every_request().into_iter().enumerate() {
        let spoofed = stranger(number as u32);
        let victim = world.nearest(Key::hash("held"), 1)[0];
        let out = bytes_out(&mut world, spoofed, victim, &datagram);
        assert!(out <= 3 * datagram.len(), "{name}: {out} bytes out for {} in", datagram.len());
    }
}

#[test]
fn ten_thousand_made_up_senders_leave_the_table_unchanged_and_cause_few_probes() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(2) }, 30);
    let table = |world: &mut World| -> Vec<Contact> {
        let mut contacts: Vec<_> = world.member(0).node().contacts().map(|known| known.contact).collect();
        contacts.sort();
        contacts
    };
    let before = table(&mut world);
    let probes_before = world.member(0).node().stats().probes;
    let (to, mut dice) = (world.member(0).address, Dice::new(9));
    for number in 0..10_000u32 {
        let from = Envelope { sender: NodeId::from_bytes(dice.bytes()), ..envelope(0) };
        world.inject(stranger(number), to, &request(&from, &Request::PING));
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(Duration::from_secs(10));
    assert_eq!(table(&mut world), before);
    let probes = world.member(0).node().stats().probes - probes_before;
    assert!(probes <= 8 * 20 + 16, "{probes} probes in twenty seconds");
}

#[test]
fn a_million_guessed_replies_are_all_refused() {
    let mut world = World::grown(Settings { check_every: 0, ..Settings::new(3) }, 20);
    // A lookup is under way all the time, so that there is something to guess.
    let mut dice = Dice::new(5);
    let (mut out, mut guesses, mut accepted) = (vec![0; 2000], 0u32, 0);
    let other = world.contact(1);
    while guesses < 1_000_000 {
        let target = Key::from_bytes(dice.bytes());
        let operation = world.start(0, |node, now| node.find_node(now, now.plus_millis(30_000), target));
        let replies_before = world.member(0).node().stats().replies;
        let now = world.now();
        for _ in 0..10_000 {
            let (cell, nonce) = (dice.below(400) as u16, dice.below(1 << 46));
            let prefix = Prefix { tag: TransactionId::new(cell, nonce, 0), ..Prefix::default() };
            let from = Envelope { prefix, sender: other.id, token: Token::NONE };
            let guess = match dice.below(3) {
                0 => Reply::Pong.encode(&from, &ReplyHead::default(), &mut out),
                1 => NodesWriter::begin(&from, &ReplyHead::default(), &mut out).map(NodesWriter::finish),
                _ => Chunk { offset: 0, bytes: &[1; 1184] }.encode(&prefix, &mut out),
            };
            let len = guess.unwrap();
            let mut reply = [0; 1232];
            let mut node = world.member(0).node();
            node.handle_datagram(now, SocketAddr::from(other.endpoint), &out[..len], &mut reply);
            guesses += 1;
        }
        accepted += world.member(0).node().stats().replies - replies_before;
        world.finish(0, operation);
    }
    assert_eq!(accepted, 0, "of {guesses} guesses");
}

#[test]
fn a_store_or_a_pull_without_a_good_token_is_refused() {
    let mut world = World::grown(Settings::new(4), 5);
    let to = world.member(0).address;
    for (name, datagram) in
        every_request().into_iter().filter(|(name, _)| name.contains("store") || name.contains("pull"))
    {
        for token in [Token::NONE, Token([9; 8])] {
            let mut datagram = datagram.clone();
            datagram[16..24].copy_from_slice(&token.0);
            world.tap = Some(Vec::new());
            world.inject(stranger(1), to, &datagram);
            world.run_for(Duration::from_secs(1));
            let replies = world.tap.take().unwrap();
            let replies: Vec<_> = replies.iter().filter(|sent| sent.to == stranger(1)).collect();
            let refused = replies.iter().any(|sent| {
                matches!(Datagram::decode(&sent.datagram), Ok(Datagram::Reply { reply: Reply::Refused { .. }, .. }))
            });
            assert!(refused, "{name}");
        }
    }
    assert_eq!(world.member(0).store.usage().items, 0);
}

/// The way that an honest stranger takes: ask, show the token, store. The same token from elsewhere is worth nothing.
#[test]
fn a_token_is_bound_to_address_and_id_and_lapses() {
    let mut world = World::grown(Settings::new(5), 2);
    let to = world.member(0).address;
    let (key, asker) = (Key::hash("k"), envelope(0x31));
    let find = Request::FindNode(FindNode { limit: 20, target: key, padding: 321 });
    let reply_to = |world: &mut World, from: SocketAddr, datagram: &[u8]| {
        world.tap = Some(Vec::new());
        world.inject(from, to, datagram);
        world.run_for(Duration::from_millis(100));
        let sent = world.tap.take().unwrap();
        sent.into_iter().find(|sent| sent.from == to && sent.to == from).map(|sent| sent.datagram.to_vec())
    };
    let nodes = reply_to(&mut world, stranger(1), &request(&asker, &find)).unwrap();
    let Ok(Datagram::Reply { envelope: answer, .. }) = Datagram::decode(&nodes) else { panic!("NODES") };
    let store = |sender: u8| {
        let from = Envelope { token: answer.token, ..envelope(sender) };
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, b"value").with_inline(5);
        encode(|out| {
            let mut writer = StoreWriter::begin(&from, RequestFlags(RequestFlags::CLIENT), StoreMode::Publish, out)?;
            writer.push(&key, &header)?.copy_from_slice(b"value");
            writer.finish()
        })
    };
    let refused = |reply: &[u8]| {
        matches!(
            Datagram::decode(reply),
            Ok(Datagram::Reply { reply: Reply::Refused { refusal: Some(Refusal::NeedToken), .. }, .. })
        )
    };
    assert!(refused(&reply_to(&mut world, stranger(2), &store(0x31)).unwrap()), "another address");
    assert!(refused(&reply_to(&mut world, stranger(1), &store(0x32)).unwrap()), "another id");
    assert!(!refused(&reply_to(&mut world, stranger(1), &store(0x31)).unwrap()));
    assert_eq!(world.member(0).store.usage().items, 1);
    world.run_for(Duration::from_secs(121));
    assert!(refused(&reply_to(&mut world, stranger(1), &store(0x31)).unwrap()), "two epochs later");
}

#[test]
fn a_goodbye_that_the_node_did_not_send_removes_nobody() {
    let mut world = World::grown(Settings::new(6), 10);
    let before = world.member(0).node().status().contacts;
    for number in 1..10 {
        let contact = world.contact(number);
        let from = Envelope { sender: contact.id, ..envelope(0) };
        let to = world.member(0).address;
        world.inject(contact.endpoint.into(), to, &request(&from, &Request::Goodbye));
        world.inject(stranger(number as u32), to, &request(&from, &Request::Goodbye));
    }
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.member(0).node().status().contacts, before);
}

#[test]
fn a_node_that_says_goodbye_and_leaves_is_forgotten() {
    let mut world = World::grown(Settings::new(7), 10);
    let leaving = world.contact(9).id;
    let operation = world.start(9, |node, now| node.leave(now, now.plus_millis(5000)));
    world.finish(9, operation);
    world.kill(9);
    world.run_for(Duration::from_secs(5));
    for number in 0..9 {
        let known = world.member(number).node().contacts().any(|known| known.contact.id == leaving);
        assert!(!known, "node {number}");
    }
}

#[test]
fn two_networks_do_not_mix() {
    let mut world = World::grown(Settings::new(8), 5);
    let other = Config { network: NetworkId::named("other"), ..Config::default() };
    let foreign = world.add_with(&other);
    let friend = world.add_with(&other);
    assert_eq!(world.join(foreign, &[0, 1, 2]), 0);
    assert_eq!(world.join(friend, &[0, foreign]), 1);
    world.run_for(Duration::from_secs(60));
    let (foreign_id, friend_id) = (world.contact(foreign).id, world.contact(friend).id);
    for number in 0..5 {
        let mixed =
            world.member(number).node().contacts().any(|known| [foreign_id, friend_id].contains(&known.contact.id));
        assert!(!mixed, "node {number}");
    }
    assert_eq!(world.member(foreign).node().status().contacts, 1);
}

#[test]
fn a_client_uses_the_network_and_enters_no_table() {
    let mut world = World::grown(Settings::new(9), 20);
    let client = world.add_with(&Config { role: Role::Client, ..Config::default() });
    assert!(world.join(client, &[3]) > 0);
    let key = Key::hash("from a client");
    let stored = world.store(client, key, &vec![3; 20_000], HOUR);
    assert_eq!(stored.copies, 20, "a client is no holder: all k are others");
    let (found, _) = world.find(client, key, FindOptions::FIRST);
    assert_eq!(found[0].1, vec![3; 20_000]);
    world.run_for(Duration::from_secs(60));
    let id = world.contact(client).id;
    for number in 0..20 {
        assert!(!world.member(number).node().contacts().any(|known| known.contact.id == id), "node {number}");
    }
    let (to, from) = (world.member(client).address, envelope(1));
    let out = {
        world.tap = Some(Vec::new());
        world.inject(stranger(1), to, &request(&from, &Request::PING));
        world.run_for(Duration::from_secs(5));
        world.tap.take().unwrap()
    };
    assert_eq!(out.iter().filter(|sent| sent.from == to).count(), 0, "and answers nobody");
}

/// A holder that serves other bytes than it announced: the reader takes the value from somebody else, or nothing.
#[test]
fn wrong_bytes_are_never_delivered() {
    let mut world = World::grown(Settings::new(10), 20);
    let key = Key::hash("precious");
    let value = vec![5; 10_000];
    world.store(0, key, &value, HOUR);
    let digest = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1, &value).digest;
    for liar in world.nearest(key, 6) {
        // The store of a liar: the same digest, other bytes.
        let now = world.now();
        let member = world.member(liar);
        member.store = kad_store::MemoryStore::new(kad_store::Limits::new(NodeId::default()));
        let header = ItemHeader {
            digest,
            ..ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &[6; 10_000])
        };
        member.store.publish(now, &key, &header, &[6; 10_000]);
    }
    for reader in [7, 13, 19] {
        let (found, outcome) = world.find(reader, key, FindOptions::FIRST);
        assert_eq!(found.len(), 1, "{outcome:?}");
        assert_eq!(found[0].1, value);
    }
    let mismatches: u64 = (0..20).map(|number| world.member(number).node().stats().digest_mismatches).sum();
    assert!(mismatches > 0, "the liars were asked");
}

/// Inline, in one datagram, under a digest that is not its own.
#[test]
fn a_store_of_bytes_that_are_not_the_digests_is_refused() {
    let mut world = World::grown(Settings::new(11), 3);
    let (key, now) = (Key::hash("k"), world.now());
    let header = ItemHeader {
        digest: Digest([1; 16]),
        ..ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, b"value")
    };
    world.member(0).publish(now, &key, &header, b"value");
    let items = [(key, header)];
    let operation = world.start(0, |node, now| node.store(now, now.plus_millis(5000), StoreMode::Publish, 0, &items));
    let outcome = world.finish(0, operation);
    assert_eq!((outcome.copies, outcome.refusals), (0, 2));
    let junk = b"no hash of anything";
    let forged = ItemHeader::publish(&key, ItemType::CONTENT, DeleteLock::NONE, 60_000, junk);
    world.member(0).publish(now, &key, &forged, junk);
    let items = [(key, forged)];
    let operation = world.start(0, |node, now| node.store(now, now.plus_millis(5000), StoreMode::Publish, 0, &items));
    assert_eq!(world.finish(0, operation).copies, 0, "a content key takes nothing but its content");
}

/// An answer that names a thousand nearer nodes which do not exist.
#[test]
fn false_nearer_nodes_cost_a_bounded_number_of_requests() {
    let mut world = World::grown(Settings::new(12), 30);
    let target = Key::hash("target");
    let liar = world.contact(1);
    let operation = world.start(0, |node, now| node.find_node(now, now.plus_millis(30_000), target));
    // Whatever is asked of node 1 from now on is answered by an enemy in its place.
    let mut answered = 0;
    world.tap = Some(Vec::new());
    for _ in 0..200 {
        world.run_for(Duration::from_millis(5));
        let asked: Vec<_> = world.tap.replace(Vec::new()).unwrap();
        for kad_sim::Sent { from, to, datagram, .. } in asked {
            let Ok(Datagram::Request { envelope: asked, request: Request::FindNode(_), .. }) =
                Datagram::decode(&datagram)
            else {
                continue;
            };
            if to != SocketAddr::from(liar.endpoint) {
                continue;
            }
            let envelope = Envelope { sender: liar.id, ..asked };
            let reply = encode(|out| {
                let mut writer = NodesWriter::begin(&envelope, &ReplyHead::default(), &mut out[..1232])?;
                for number in 0..23u8 {
                    let mut id = *target.as_bytes();
                    id[31] ^= number.wrapping_add(answered as u8).max(1);
                    let endpoint = stranger(1000 + 23 * answered + u32::from(number)).into();
                    writer.push(&Contact { id: NodeId::from_bytes(id), endpoint })?;
                }
                Some(writer.finish())
            });
            answered += 1;
            world.inject(liar.endpoint.into(), from, &reply);
        }
    }
    let outcome = world.finish(0, operation);
    assert!(!outcome.timed_out && outcome.requests <= 4 * 32, "{} requests", outcome.requests);
    assert!(
        world
            .member(0)
            .node()
            .contacts()
            .all(|known| SocketAddr::from(known.contact.endpoint).ip() < Ipv4Addr::new(11, 0, 0, 0))
    );
}

/// VALUEs at their maximal fields fit the datagram and the budget.
#[test]
fn a_reply_never_exceeds_its_budget_whatever_is_held() {
    let mut world = World::grown(Settings::new(13), 25);
    let key = Key::hash("full");
    for number in 0..16u8 {
        world.store(usize::from(number), key, &vec![number; 60 * usize::from(number)], HOUR);
    }
    for (room, padding) in [(512, 0), (512, 71), (1232, 311), (4080, 900)] {
        let prefix = Prefix { room: MaxDatagram::of(room), ..envelope(0x55).prefix };
        let from = Envelope { prefix, ..envelope(0x55) };
        let find =
            FindValue { limit: 8, types: TypeMask::ALL, burst: 0, max_age_ms: u32::MAX, cursor: 0, key, padding };
        let datagram = request(&from, &Request::FindValue(find));
        let holder = world.nearest(key, 1)[0];
        let out = bytes_out(&mut world, stranger(padding as u32), holder, &datagram);
        assert!(out <= (3 * datagram.len()).min(room + 57 + 57), "{out} bytes for room {room}, padding {padding}");
    }
}
