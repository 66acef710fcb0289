//! Peers that say what they like: what they cannot make a node believe or do.

use crate::bench;

use bench::{Bench, Peer, address, config, id, outside};
use kad_core::wire::{
    Contact, Datagram, DeleteLock, ItemHeader, ItemStatus, ItemType, Key, NodesWriter, Pull, Reply, Request, StoreMode,
    StoreWriter, StoredItem, StoredWriter, Token, ValueWriter,
};
use kad_core::{Config, FindOptions};
use kad_store::Store;

/// The requests that went to a peer.
fn requests(taken: &[(std::net::SocketAddr, std::net::SocketAddr, Vec<u8>)], peer: &Peer) -> Vec<Vec<u8>> {
    let to_peer = taken.iter().filter(|(_, to, bytes)| *to == peer.address && bytes[1] & 0x80 == 0);
    to_peer.map(|(_, _, bytes)| bytes.clone()).collect()
}

fn stored(peer: &Peer, request: &[u8], answers: &[StoredItem]) -> Vec<u8> {
    peer.written(request, |envelope, head, out| {
        let mut writer = StoredWriter::begin(envelope, head, out)?;
        answers.iter().for_each(|answer| writer.push(answer).unwrap());
        writer.finish()
    })
}

/// A node that stores two values at a peer, and the STORE.
fn storing(bench: &mut Bench, peer: &Peer) -> Vec<u8> {
    let now = bench.now;
    let items = [1u8, 2].map(|number| {
        let (key, value) = (Key::hash_int(number.into()), [number; 10]);
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
        bench.homes[0].store.publish(now, &key, &header, &value);
        (key, header)
    });
    let holder = Contact { id: peer.id, endpoint: peer.address.into() };
    bench.homes[0].node.store_at(now, now.plus_millis(30_000), StoreMode::Publish, &items, &[holder]).unwrap();
    let find = requests(&bench.taken(), peer).remove(0);
    let nodes = peer.written(&find, |envelope, head, out| Some(NodesWriter::begin(envelope, head, out)?.finish()));
    bench.inject(peer.address, 0, &nodes);
    requests(&bench.taken(), peer).remove(0)
}

#[test]
fn a_holder_that_takes_back_its_word_counts_once() {
    let mut bench = Bench::new(&[config()]);
    let peer = Peer { id: id(50), address: outside(1) };
    let store = storing(&mut bench, &peer);
    bench.inject(peer.address, 0, &stored(&peer, &store, &[StoredItem::new(0, ItemStatus::Stored, 0, 1000)]));
    bench.inject(peer.address, 0, &stored(&peer, &store, &[StoredItem::new(0, ItemStatus::Full, 0, 0)]));
    bench.inject(peer.address, 0, &stored(&peer, &store, &[StoredItem::new(1, ItemStatus::Full, 0, 0)]));
    bench.run_ms(40_000);
    assert_eq!(bench.homes[0].events.len(), 1);
}

/// A peer cannot have a contact forgotten by naming it at an address of its own, where somebody else answers.
#[test]
fn a_contact_stays_when_its_id_is_wrong_about_another_address() {
    let mut bench = Bench::new(&[config()]);
    let (honest, liar) = (Peer { id: id(50), address: outside(1) }, Peer { id: id(51), address: outside(2) });
    // The liar shows the honest id before the node knows it, and is asked whether it is there.
    bench.inject(liar.address, 0, &Peer { address: liar.address, ..honest }.request(Token::NONE, &Request::PING));
    let probe = requests(&bench.taken(), &liar).remove(0);
    bench.acquaint(&honest, 0);
    bench.inject(liar.address, 0, &liar.reply(&probe, &Reply::Pong));
    bench.run_ms(100);
    let here = bench.homes[0].node.contacts().any(|known| known.contact.id == honest.id);
    assert!(here, "only its own address speaks for it");
}

/// The answer to a value that was pulled names it by its place in the STORE that the publisher waits for now, which need
/// not be the one that offered it first.
#[test]
fn the_answer_to_a_value_offered_twice_names_its_place_in_the_second_store() {
    let mut bench = Bench::new(&[config()]);
    let peer = Peer { id: id(50), address: outside(1) };
    let token = bench.token(&peer, 0);
    let value = |number: u8| vec![number; 2000];
    let header = |number: u8| {
        ItemHeader::publish(&Key::hash_int(number.into()), ItemType::RAW, DeleteLock::NONE, 60_000, &value(number))
    };
    let store = |numbers: &[u8], nonce: u64| {
        let mut out = [0; 1232];
        let envelope = peer.envelope(kad_core::wire::TransactionId::new(1, nonce, 0), token);
        let mut writer = StoreWriter::begin(&envelope, Default::default(), StoreMode::Publish, &mut out).unwrap();
        for &number in numbers {
            writer.push(&Key::hash_int(number.into()), &header(number)).unwrap();
        }
        let len = writer.finish().unwrap();
        out[..len].to_vec()
    };
    bench.inject(peer.address, 0, &store(&[1, 2], 100));
    let mut pulls = requests(&bench.taken(), &peer);
    bench.inject(peer.address, 0, &store(&[2], 200));
    pulls.extend(requests(&bench.taken(), &peer));
    let second = pulls.iter().find(|pull| {
        matches!(Datagram::decode(pull), Ok(Datagram::Request { request: Request::Pull(pull), .. })
            if pull.key == Key::hash_int(2) && pull.bitmap != 0)
    });
    let second = second.expect("it is pulled");
    let Ok(Datagram::Request { request: Request::Pull(Pull { chunk_len, .. }), .. }) = Datagram::decode(second) else {
        panic!("a PULL")
    };
    for (number, bytes) in value(2).chunks(chunk_len.into()).enumerate() {
        bench.inject(peer.address, 0, &peer.chunk(second, number as u32 * u32::from(chunk_len), bytes));
    }
    let answers = bench.taken();
    let last = answers.iter().rev().find_map(|(_, _, bytes)| match Datagram::decode(bytes) {
        Ok(Datagram::Reply { reply: Reply::Stored(items), envelope, .. }) => {
            Some((items.iter().next().unwrap(), envelope.prefix.tag))
        }
        _ => None,
    });
    let (answer, tag) = last.expect("it is answered");
    assert_eq!(tag, kad_core::wire::TransactionId::new(1, 200, 0));
    assert_eq!((answer.index, answer.status), (0, Some(ItemStatus::Stored)));
}

/// Credit that comes back because a peer is silent goes to whoever waits for it, at once.
#[test]
fn a_silent_peer_gives_back_the_receive_window_that_it_held() {
    let mut bench = Bench::new(&[Config { receive_window: 2, ..config() }]);
    for number in 1..=2u8 {
        let peer = Peer { id: id(50 + u64::from(number)), address: outside(number.into()) };
        let token = bench.token(&peer, 0);
        let key = Key::hash_int(number.into());
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, &[number; 8000]);
        let mut out = [0; 1232];
        let envelope = peer.envelope(kad_core::wire::TransactionId::new(1, 7, 0), token);
        let mut writer = StoreWriter::begin(&envelope, Default::default(), StoreMode::Publish, &mut out).unwrap();
        writer.push(&key, &header).unwrap();
        let len = writer.finish().unwrap();
        bench.inject(peer.address, 0, &out[..len]);
        bench.run_ms(10);
    }
    bench.outside.clear();
    // The first peer never answers: its chunks count as lost, and the second is asked.
    bench.run_ms(600);
    let asked = bench.outside.iter().any(|(_, to, bytes)| *to == outside(2) && bytes[1] == 4);
    assert!(asked, "the second one's turn comes while the first is silent");
}

/// A find meets a peer that names the right value with a wrong length, or another lock, before an honest one answers.
#[test]
fn a_value_is_found_although_a_peer_describes_it_wrongly() {
    for wrong in [
        |header: ItemHeader| ItemHeader { total_len: header.total_len + 1, ..header },
        |header: ItemHeader| ItemHeader { lock: DeleteLock([9; 16]), ..header },
        |header: ItemHeader| ItemHeader { item_type: ItemType::CONTENT, ..header },
    ] {
        for options in [FindOptions::ALL, FindOptions::FIRST] {
            let mut bench = Bench::new(&[config(), config()]);
            let key = Key::hash("large");
            let value = vec![7; 5000];
            let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, &value);
            let now = bench.now;
            bench.homes[1].store.publish(now, &key, &header, &value);
            let liar = Peer { id: id(50), address: outside(1) };
            bench.acquaint(&liar, 0);
            let honest = Peer { id: bench.homes[1].node.id(), address: address(1) };
            bench.homes[1].node.join(now, now.plus_millis(1000), &[address(0)]).unwrap();
            bench.run_ms(1500);
            assert!(bench.homes[0].node.contacts().any(|known| known.contact.id == honest.id));
            // It was silent while the other joined, and answers again.
            bench.acquaint(&liar, 0);
            bench.outside.clear();
            bench.delay_us = 20_000;
            let now = bench.now;
            bench.homes[0].node.find_value(now, now.plus_millis(10_000), key, options).unwrap();
            // The liar is quicker than the honest one.
            while bench.outside.iter().all(|(_, _, bytes)| bytes[1] != 3) {
                bench.step(now.plus_millis(1000));
            }
            let find = bench.outside.iter().find(|(_, _, bytes)| bytes[1] == 3).unwrap().2.clone();
            let answer = liar.written(&find, |envelope, head, out| {
                let mut writer = ValueWriter::begin(envelope, head, 0, out)?;
                writer.push(&wrong(header))?;
                writer.set_total(1, 0);
                Some(writer.finish())
            });
            bench.receive(0, liar.address, &answer);
            bench.run_ms(12_000);
            assert_eq!(bench.homes[0].found.len(), 1, "all: {}, {:?}", options.all, wrong(header));
        }
    }
}

/// Goodbyes can be made up by anybody: what they cause is bounded like a reply, also with the most attempts.
#[test]
fn a_made_up_goodbye_causes_at_most_three_times_its_length() {
    let mut bench = Bench::new(&[Config { attempts: 4, ..config() }]);
    let peer = Peer { id: id(50), address: outside(1) };
    bench.acquaint(&peer, 0);
    // A young node looks around. Whoever answers is left in peace from then on.
    bench.run_ms(400);
    for request in requests(&bench.taken(), &peer).iter().filter(|request| request[1] == 2) {
        let nodes =
            peer.written(request, |envelope, head, out| Some(NodesWriter::begin(envelope, head, out)?.finish()));
        bench.inject(peer.address, 0, &nodes);
    }
    bench.run_ms(60_000);
    bench.outside.clear();
    let goodbye = peer.request(Token::NONE, &Request::Goodbye);
    bench.inject(peer.address, 0, &goodbye);
    bench.run_ms(20_000);
    let bytes: usize = bench.outside.iter().map(|(_, _, bytes)| bytes.len()).sum();
    assert!(bytes > 0, "it is asked whether it is gone");
    assert!(bytes <= 3 * goodbye.len(), "{bytes} bytes out for {} in", goodbye.len());
}

/// A node that takes the smallest datagrams reads all values all the same.
#[test]
fn a_node_with_the_least_room_finds_all_values() {
    let mut bench = Bench::joined(&[config(), Config { receive_max: 512, ..config() }]);
    let (now, key) = (bench.now, Key::hash("name"));
    for number in 0..3u8 {
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 60_000, &[number; 50]);
        bench.homes[0].store.publish(now, &key, &header, &[number; 50]);
    }
    bench.homes[1].node.find_value(now, now.plus_millis(10_000), key, FindOptions::ALL).unwrap();
    bench.run_ms(11_000);
    assert_eq!(bench.homes[1].found.len(), 3);
}

/// A node among honest ones that looks for a key, and a peer that answers its question first.
fn looking_up(answers: impl Fn(&Bench, Key) -> Vec<Contact>) -> Bench {
    let mut bench = Bench::joined(&std::array::from_fn::<_, 8, _>(|_| config()));
    let liar = Peer { id: id(50), address: outside(1) };
    bench.acquaint(&liar, 0);
    bench.outside.clear();
    // Near the liar, so that it is asked.
    let target = *liar.id.as_key();
    bench.delay_us = 20_000;
    let now = bench.now;
    bench.homes[0].events.clear();
    bench.homes[0].node.find_node(now, now.plus_millis(20_000), target).unwrap();
    while bench.outside.iter().all(|(_, _, bytes)| bytes[1] != 2) {
        bench.step(now.plus_millis(1000));
    }
    let find = bench.outside.iter().find(|(_, _, bytes)| bytes[1] == 2).unwrap().2.clone();
    let named = answers(&bench, target);
    let answer = liar.written(&find, |envelope, head, out| {
        let mut writer = NodesWriter::begin(envelope, head, out)?;
        named.iter().for_each(|contact| writer.push(contact).unwrap());
        Some(writer.finish())
    });
    bench.receive(0, liar.address, &answer);
    bench.run_ms(21_000);
    bench
}

fn honest(bench: &Bench) -> usize {
    let is_honest = |contact: &&Contact| bench.homes.iter().any(|home| home.node.id() == contact.id);
    bench.homes[0].closest.iter().filter(is_honest).count()
}

/// Whoever names a shortlist full of nearer nodes that do not exist leaves no place for those that do.
#[test]
fn a_lookup_recovers_from_a_list_full_of_nodes_that_do_not_exist() {
    let bench = looking_up(|_, target| {
        let made_up = |number: u8| {
            let mut id = *target.as_bytes();
            id[31] ^= number + 1;
            let endpoint = outside(1000 + u16::from(number)).into();
            Contact { id: kad_core::NodeId::from_bytes(id), endpoint }
        };
        (0..23).map(made_up).collect()
    });
    assert_eq!(honest(&bench), 3, "the liar and three honest nodes: {:?}", bench.homes[0].closest);
}

/// Whoever names honest nodes at addresses where nobody is does not keep them from being found where they are: this node
/// knows some of them itself.
#[test]
fn a_lookup_finds_nodes_that_somebody_named_at_wrong_addresses() {
    let bench = looking_up(|bench, _| {
        let ids = bench.homes.iter().skip(1).map(|home| home.node.id());
        ids.enumerate().map(|(number, id)| Contact { id, endpoint: outside(1000 + number as u16).into() }).collect()
    });
    assert_eq!(honest(&bench), 3, "the liar and three honest nodes: {:?}", bench.homes[0].closest);
}

/// Lets a holder answer everything that a store of 30 seconds sends it, and says after how many it has ended.
fn strung_along(answer: impl Fn(&Peer, &[u8]) -> Vec<u8>) -> u64 {
    let mut bench = Bench::new(&[config()]);
    let peer = Peer { id: id(50), address: outside(1) };
    let mut store = storing(&mut bench, &peer);
    for tenth in 0..300 {
        let is_store = |bytes: &Vec<u8>| {
            matches!(Datagram::decode(bytes), Ok(Datagram::Request { request: Request::Store(_), .. }))
        };
        if let Some(again) = requests(&bench.taken(), &peer).into_iter().rfind(is_store) {
            store = again;
        }
        bench.inject(peer.address, 0, &answer(&peer, &store));
        bench.run_ms(100);
        if !bench.homes[0].events.is_empty() {
            return tenth / 10;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_holder_that_is_busy_for_ever_does_not_hold_up_a_store_for_long() {
    let busy = |peer: &Peer, store: &[u8]| {
        stored(peer, store, &[0, 1].map(|index| StoredItem::new(index, ItemStatus::Busy, 5000, 0)))
    };
    let seconds = strung_along(busy);
    assert!((5..17).contains(&seconds), "{seconds} s");
}

#[test]
fn a_holder_that_pulls_for_ever_does_not_hold_up_a_store_for_long() {
    let pull = |peer: &Peer, store: &[u8]| {
        let Ok(Datagram::Request { envelope, request: Request::Store(items), .. }) = Datagram::decode(store) else {
            panic!("a STORE")
        };
        let item = items.items.iter().next().unwrap();
        let (offer, digest) = (envelope.prefix.tag, item.header.digest);
        let pull = Pull { lane: 0, chunk_len: 256, offset: 0, bitmap: 1, offer, key: item.key, digest };
        peer.request(Token::NONE, &Request::Pull(pull))
    };
    let seconds = strung_along(pull);
    assert!((5..20).contains(&seconds), "{seconds} s");
}
