//! A node with several addresses, and addresses that reach only some: from where it speaks, what it tells and what it believes.

use crate::bench;

use std::net::SocketAddr;

use bench::{Bench, Peer, config, id};
use kad_core::wire::limits::DATAGRAM_MAX;
use kad_core::wire::{
    Contact, Datagram, DeleteLock, Endpoint, FindNode, FindValue, ItemHeader, ItemType, NodesWriter, Reply, ReplyHead,
    Request, StoreMode, StoreWriter, Token, TransactionId, TypeMask,
};
use kad_core::{Key, Node, Received, Sender, Via};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer(number: u64, address: &str) -> Peer {
    Peer { id: id(number), address: at(address) }
}

/// The datagrams that a node has to send: destination, own address, content.
fn sent(node: &mut Node<'_>, now: kad_core::Instant) -> Vec<(SocketAddr, Via, Vec<u8>)> {
    let mut out = [0; DATAGRAM_MAX];
    let next = || node.poll_transmit(now, &mut out).map(|sent| (sent.to, sent.via, out[..sent.len].to_vec()));
    std::iter::from_fn(next).collect()
}

/// Gives a node a datagram that came to one of its addresses. Returns what it replies.
fn receive(bench: &mut Bench, peer: &Peer, via: Via, datagram: &[u8]) -> Vec<u8> {
    let (now, mut out) = (bench.now, [0; DATAGRAM_MAX]);
    let sender = Sender { address: peer.address, via };
    let bench::Home { node, store, .. } = &mut bench.homes[0];
    match node.handle_datagram(now, sender, datagram, &mut out) {
        Received::Reply(len) => out[..len].to_vec(),
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, &mut out);
            while let Some(offer) = answer.next_offer() {
                answer.answer(kad_store::Store::offer(store, now, &offer));
            }
            answer.finish().map_or(Vec::new(), |len| out[..len].to_vec())
        }
        Received::Find(ticket) => {
            let len = node.answer_find(ticket, &mut out).finish(0, 0);
            out[..len].to_vec()
        }
        _ => Vec::new(),
    }
}

fn token(bench: &mut Bench, peer: &Peer, via: Via) -> Token {
    let pong = receive(bench, peer, via, &peer.request(Token::NONE, &Request::PING));
    let Ok(Datagram::Reply { envelope, .. }) = Datagram::decode(&pong) else { panic!("a PONG") };
    envelope.token
}

#[test]
fn what_a_datagram_causes_leaves_from_the_address_that_it_came_to() {
    let mut bench = Bench::new(&[config()]);
    let (peer, via, other) = (peer(50, "10.0.0.9:9000"), Via(7), Via(8));
    let token = token(&mut bench, &peer, via);
    let now = bench.now;
    let probes = sent(&mut bench.homes[0].node, now);
    assert_eq!(probes.iter().map(|(to, via, _)| (*to, *via)).collect::<Vec<_>>(), [(peer.address, via)], "a PING");

    let (key, value) = (Key::hash("large"), [7; 5000]);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value).with_inline(0);
    let store = |nonce| {
        let (mut out, envelope) = ([0; DATAGRAM_MAX], peer.envelope(TransactionId::new(1, nonce, 0), token));
        let mut writer = StoreWriter::begin(&envelope, Default::default(), StoreMode::Publish, &mut out).unwrap();
        writer.push(&key, &header).unwrap();
        let len = writer.finish().unwrap();
        out[..len].to_vec()
    };
    for (nonce, via) in [(1, via), (2, other)] {
        assert!(receive(&mut bench, &peer, via, &store(nonce)).is_empty(), "it wants the bytes first");
        let mut pulls = Vec::new();
        for _ in 0..20 {
            let now = bench.now;
            let node = &mut bench.homes[0].node;
            node.handle_timeout(now);
            pulls.extend(sent(node, now).into_iter().filter(|(.., bytes)| bytes[1] == 4));
            bench.now = now.plus_millis(50);
        }
        assert!(!pulls.is_empty() && pulls.iter().all(|(_, from, _)| *from == via), "from {via:?}: {pulls:?}");
    }
    bench.homes[0].node.check();
}

#[test]
fn a_contact_is_asked_from_the_address_that_it_knows() {
    let mut bench = Bench::new(&[config()]);
    let (peer, via) = (peer(50, "10.0.0.9:9000"), Via(7));
    let token = token(&mut bench, &peer, via);
    receive(&mut bench, &peer, via, &peer.request(token, &Request::PING));
    let now = bench.now;
    let until = now.plus_millis(5000);
    let node = &mut bench.homes[0].node;
    assert_eq!(node.contacts().map(|known| known.via).collect::<Vec<_>>(), [via]);
    sent(node, now);
    node.find_node(now, until, Key::hash("somewhere")).unwrap();
    let asked = sent(node, now);
    assert_eq!(asked.iter().map(|(to, via, _)| (*to, *via)).collect::<Vec<_>>(), [(peer.address, via)]);
    // It answers another address: that is the one to show its token from.
    let nodes =
        peer.written(&asked[0].2, |envelope, head, out| Some(NodesWriter::begin(envelope, head, out)?.finish()));
    receive(&mut bench, &peer, Via(9), &nodes);
    let node = &mut bench.homes[0].node;
    assert_eq!(node.contacts().map(|known| known.via).collect::<Vec<_>>(), [Via(9)]);
    node.leave(now, until).unwrap();
    let goodbye = sent(node, now);
    assert!(!goodbye.is_empty() && goodbye.iter().all(|(_, via, _)| *via == Via(9)));
}

/// Addresses of every scope, from the narrowest to the widest.
const ADDRESSES: [&str; 7] =
    ["127.0.0.1:53", "[::1]:53", "169.254.169.254:80", "192.168.1.1:53", "[fd00::1]:53", "9.9.9.9:53", "[2600::1]:53"];

/// Which of them a node at an address may name, and be told of.
fn within(peer: &str) -> Vec<SocketAddr> {
    let from = match peer {
        peer if peer.starts_with("127.") || peer.starts_with("[::1]") => 0,
        peer if peer.starts_with("169.254.") => 2,
        peer if peer.starts_with("192.168.") || peer.starts_with("[fd") => 3,
        _ => 5,
    };
    ADDRESSES[from..].iter().map(|text| at(text)).collect()
}

fn named(reply: &[u8]) -> Vec<SocketAddr> {
    let contacts = match Datagram::decode(reply) {
        Ok(Datagram::Reply { reply: Reply::Nodes(contacts), .. }) => contacts,
        Ok(Datagram::Reply { reply: Reply::Value(value), .. }) => value.contacts,
        other => panic!("a list, not {other:?}"),
    };
    let mut named: Vec<_> = contacts.iter().map(|contact| SocketAddr::from(contact.endpoint)).collect();
    named.sort_by_key(|address| ADDRESSES.iter().position(|text| at(text) == *address));
    named
}

#[test]
fn a_node_is_told_of_those_that_it_can_reach() {
    let key = Key::hash("wanted");
    let find_node = Request::FindNode(FindNode { limit: 20, target: key, padding: 321 });
    let types = TypeMask::ALL;
    let find_value = Request::FindValue(FindValue {
        limit: 20,
        types,
        burst: 0,
        max_age_ms: u32::MAX,
        cursor: 0,
        key,
        padding: 311,
    });
    for (number, text) in ADDRESSES.iter().enumerate() {
        let mut bench = Bench::new(&[kad_core::Config { k: 6, ..config() }]);
        for (number, text) in ADDRESSES.iter().enumerate() {
            let contact = Contact { id: id(100 + number as u64), endpoint: at(text).into() };
            let now = bench.now;
            bench.homes[0].node.introduce(now, &contact, Via::ANY, None);
        }
        let all = bench.homes[0].node.contacts().count();
        assert!(all >= 6, "{all} have a place");
        let known: Vec<_> =
            bench.homes[0].node.contacts().map(|known| SocketAddr::from(known.contact.endpoint)).collect();
        let expected: Vec<_> = within(text).into_iter().filter(|address| known.contains(address)).collect();
        // Not its own port, so that it is none of the contacts.
        let asker = Peer { id: id(50), address: SocketAddr::new(at(text).ip(), 1000 + number as u16) };
        for request in [find_node, find_value] {
            let reply = receive(&mut bench, &asker, Via::ANY, &asker.request(Token::NONE, &request));
            assert_eq!(named(&reply), expected, "to {text}");
        }
    }
}

#[test]
fn a_node_goes_only_where_whoever_names_it_can_have_been() {
    for text in ADDRESSES {
        let mut bench = Bench::new(&[config()]);
        let liar = Peer { id: id(50), address: SocketAddr::new(at(text).ip(), 1000) };
        let token = token(&mut bench, &liar, Via::ANY);
        receive(&mut bench, &liar, Via::ANY, &liar.request(token, &Request::PING));
        let now = bench.now;
        let node = &mut bench.homes[0].node;
        sent(node, now);
        node.find_node(now, now.plus_millis(5000), Key::hash("wanted")).unwrap();
        let find = sent(node, now).remove(0);
        let answer = liar.written(&find.2, |envelope, head, out| {
            let mut writer = NodesWriter::begin(envelope, head, out)?;
            for (number, text) in ADDRESSES.iter().enumerate() {
                writer.push(&Contact { id: id(100 + number as u64), endpoint: at(text).into() })?;
            }
            Some(writer.finish())
        });
        receive(&mut bench, &liar, Via::ANY, &answer);
        let mut asked = Vec::new();
        while bench.now < now.plus_millis(5000) {
            bench.now = bench.now.plus_millis(50);
            let now = bench.now;
            let node = &mut bench.homes[0].node;
            node.handle_timeout(now);
            asked.extend(sent(node, now).into_iter().map(|(to, ..)| to).filter(|to| *to != liar.address));
        }
        asked.sort_by_key(|address| ADDRESSES.iter().position(|text| at(text) == *address));
        asked.dedup();
        assert_eq!(asked, within(text), "named by {text}");
    }
}

#[test]
fn a_link_local_contact_stays_on_its_link() {
    let mut bench = Bench::new(&[config()]);
    let (here, there) = (peer(50, "[fe80::50%3]:9000"), peer(51, "[fe80::51%4]:9000"));
    for peer in [here, there] {
        let token = token(&mut bench, &peer, Via::ANY);
        receive(&mut bench, &peer, Via::ANY, &peer.request(token, &Request::PING));
    }
    let find_node = Request::FindNode(FindNode { limit: 20, target: Key::hash("k"), padding: 321 });
    for (asker, expected) in [
        (peer(60, "[fe80::60%3]:9000"), vec![at("[fe80::50]:9000")]),
        (peer(60, "[fe80::60%4]:9000"), vec![at("[fe80::51]:9000")]),
        (peer(60, "[fd00::60]:9000"), vec![]),
        (peer(60, "[::1]:9000"), vec![]),
    ] {
        let reply = receive(&mut bench, &asker, Via::ANY, &asker.request(Token::NONE, &find_node));
        assert_eq!(named(&reply), expected, "to {}", asker.address);
        let Ok(Datagram::Reply { head, .. }) = Datagram::decode(&reply) else { panic!("a reply") };
        assert_eq!(head.observed, Endpoint::from(asker.address).without_link(), "links are this host's own affair");
    }
    // What a peer of the link names there is asked there.
    let now = bench.now;
    let node = &mut bench.homes[0].node;
    sent(node, now);
    node.find_node(now, now.plus_millis(5000), Key::hash("k")).unwrap();
    let find = sent(node, now).into_iter().find(|(to, ..)| *to == here.address).expect("asked on its link");
    let answer = here.written(&find.2, |envelope, head, out| {
        let mut writer = NodesWriter::begin(envelope, head, out)?;
        writer.push(&Contact { id: id(70), endpoint: at("[fe80::70]:9000").into() })?;
        Some(writer.finish())
    });
    receive(&mut bench, &here, Via::ANY, &answer);
    let asked = sent(&mut bench.homes[0].node, now);
    assert!(asked.iter().any(|(to, ..)| *to == at("[fe80::70%3]:9000")), "{asked:?}");
    bench.homes[0].node.check();
}

/// Answers every request of a node's that goes to one of these peers, who see it at these addresses.
fn answer_all(bench: &mut Bench, peers: &[(Peer, SocketAddr)]) {
    let now = bench.now;
    for (to, _, request) in sent(&mut bench.homes[0].node, now) {
        let Some((peer, seen)) = peers.iter().find(|(peer, _)| peer.address == to) else { continue };
        let pong = peer.written(&request, |envelope, _, out| {
            Reply::Pong.encode(envelope, &ReplyHead { flags: 0, observed: (*seen).into() }, out)
        });
        receive(bench, peer, Via::ANY, &pong);
    }
}

#[test]
fn where_a_node_is_seen_is_what_several_say() {
    let (truth, lie) = (at("9.1.2.3:9000"), at("8.8.8.8:53"));
    let honest = ["1.0.0.1:9", "2.0.0.1:9", "3.0.0.1:9"].map(|text| (peer(u64::from(text.as_bytes()[0]), text), truth));
    let liar = (peer(66, "66.6.6.6:9"), lie);
    let mut bench = Bench::new(&[config()]);
    let everyone = [honest[0], liar, honest[1], liar, honest[2], liar, liar];
    let mut seen = Vec::new();
    for (peer, observed) in everyone {
        let now = bench.now;
        bench.homes[0].node.ping(now, now.plus_millis(1000), peer.address).unwrap();
        answer_all(&mut bench, &[(peer, observed)]);
        while bench.homes[0].node.poll_event().is_some() {}
        seen.push(bench.homes[0].node.status().observed.map(SocketAddr::from));
        bench.now = now.plus_millis(100);
    }
    assert_eq!(seen, [Some(truth), None, None, None, Some(truth), Some(truth), Some(truth)]);
}

/// A PING that came from a peer's address and asks to be listed at another one. Returns the PONG, and what the node sends
/// besides because of it.
fn advertise(bench: &mut Bench, peer: &Peer, token: Token, at: SocketAddr) -> (Vec<u8>, Vec<(SocketAddr, Vec<u8>)>) {
    let ping = peer.request(token, &Request::Ping(Some(at.into())));
    assert_eq!(ping.len(), 75);
    let pong = receive(bench, peer, Via(3), &ping);
    let now = bench.now;
    let besides: Vec<_> = sent(&mut bench.homes[0].node, now).into_iter().map(|(to, _, bytes)| (to, bytes)).collect();
    let all = pong.len() + besides.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    assert!(all <= 3 * ping.len(), "{all} bytes for {}", ping.len());
    (pong, besides)
}

fn listed(bench: &mut Bench) -> Vec<Contact> {
    bench.homes[0].node.contacts().map(|known| known.contact).collect()
}

#[test]
fn who_advertises_an_address_is_listed_there_once_it_answers_there() {
    let mut bench = Bench::new(&[config()]);
    let (peer, advertised) = (peer(50, "10.0.0.9:1111"), at("10.0.0.8:9000"));
    let (pong, mut asked) = advertise(&mut bench, &peer, Token::NONE, advertised);
    let Ok(Datagram::Reply { envelope, .. }) = Datagram::decode(&pong) else { panic!("a PONG") };
    assert_eq!((asked.len(), asked[0].0, listed(&mut bench)), (1, advertised, vec![]), "nothing is believed");
    // A token proves the address that it was given to, and no other.
    let (_, again) = advertise(&mut bench, &peer, envelope.token, advertised);
    assert_eq!((again, listed(&mut bench)), (vec![], vec![]), "one question at a time");
    let there = Peer { address: advertised, ..peer };
    let pong = there.reply(&asked.remove(0).1, &Reply::Pong);
    receive(&mut bench, &there, Via::ANY, &pong);
    assert_eq!(listed(&mut bench), [Contact { id: peer.id, endpoint: advertised.into() }]);
    assert_eq!(advertise(&mut bench, &peer, envelope.token, advertised).1, [], "it is known");
    // It says goodbye from where it sends, which proves nothing of where it is listed: it is asked there.
    receive(&mut bench, &peer, Via::ANY, &peer.request(envelope.token, &Request::Goodbye));
    let now = bench.now;
    let asked = sent(&mut bench.homes[0].node, now);
    assert_eq!(asked.iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [advertised]);
    assert_eq!(listed(&mut bench).len(), 1);
    bench.run_ms(10_000);
    assert_eq!(listed(&mut bench), [], "it is silent there");
}

#[test]
fn an_advertised_address_that_is_the_senders_own_changes_nothing() {
    let mut bench = Bench::new(&[config()]);
    let peer = peer(50, "10.0.0.9:9000");
    let token = token(&mut bench, &peer, Via::ANY);
    let now = bench.now;
    sent(&mut bench.homes[0].node, now);
    advertise(&mut bench, &peer, token, peer.address);
    assert_eq!(listed(&mut bench), [Contact { id: peer.id, endpoint: peer.address.into() }]);
}

#[test]
fn nobody_has_a_node_ask_where_the_advertiser_itself_does_not_reach() {
    for from in ADDRESSES {
        let peer = Peer { id: id(50), address: SocketAddr::new(at(from).ip(), 1000) };
        let asked = |to: &&&str| {
            let mut bench = Bench::new(&[config()]);
            !advertise(&mut bench, &peer, Token::NONE, at(to)).1.is_empty()
        };
        let asked: Vec<_> = ADDRESSES.iter().filter(asked).map(|text| at(text)).collect();
        assert_eq!(asked, within(from), "advertised from {from}");
    }
    let mut bench = Bench::new(&[config()]);
    for text in ["0.0.0.0:9000", "224.0.0.1:9000", "255.255.255.255:1", "10.0.0.8:0", "[::]:9000", "[fe80::1]:9000"] {
        assert_eq!(advertise(&mut bench, &peer(50, "10.0.0.9:1"), Token::NONE, at(text)).1, [], "{text}");
    }
}

#[test]
fn advertised_addresses_do_not_make_a_node_a_weapon() {
    let mut bench = Bench::new(&[config()]);
    let victim = at("10.0.0.8:9000");
    let (mut spent, mut suffered, mut number) = (0, 0, 0u64);
    let end = bench.now.plus_millis(10_000);
    while bench.now < end {
        number += 1;
        // Another name and address each time.
        let liar = Peer { id: id(1000 + number), address: SocketAddr::new([10, 1, 0, 1].into(), number as u16 + 1) };
        let (_, besides) = advertise(&mut bench, &liar, Token::NONE, victim);
        spent += 75;
        suffered += besides.iter().filter(|(to, _)| *to == victim).map(|(_, bytes)| bytes.len()).sum::<usize>();
        bench.now = bench.now.plus_micros(1000);
        let now = bench.now;
        bench.homes[0].node.handle_timeout(now);
        suffered += sent(&mut bench.homes[0].node, now).iter().map(|(.., bytes)| bytes.len()).sum::<usize>();
    }
    assert!(suffered < spent / 50, "{suffered} bytes for {spent}");
    assert!(suffered <= 57 * 90, "{suffered} bytes in ten seconds");
}

#[test]
fn a_node_that_advertises_says_so_in_its_pings_and_is_a_client_otherwise() {
    let (v4, v6) = ("9.8.7.6:5".parse().unwrap(), "[2600::5]:5".parse().unwrap());
    let advertising = kad_core::Config { advertise_v4: Some(v4), advertise_v6: Some(v6), ..config() };
    for (bootstrap, expected) in [("8.1.1.1:9000", SocketAddr::from(v4)), ("[2601::1]:9000", v6.into())] {
        let mut bench = Bench::new(std::slice::from_ref(&advertising));
        let peer = peer(50, bootstrap);
        let now = bench.now;
        let node = &mut bench.homes[0].node;
        node.join(now, now.plus_millis(5000), &[peer.address]).unwrap();
        let find = sent(node, now).remove(0).2;
        let nodes = peer.written(&find, |envelope, head, out| Some(NodesWriter::begin(envelope, head, out)?.finish()));
        receive(&mut bench, &peer, Via::ANY, &nodes);
        let ping = sent(&mut bench.homes[0].node, now).remove(0).2;
        let client = kad_core::wire::RequestFlags::CLIENT;
        let Ok(Datagram::Request { flags, .. }) = Datagram::decode(&find) else { panic!("a FIND_NODE") };
        assert!(flags.has(client), "not to be listed where it sends from");
        let Ok(Datagram::Request { flags, request: Request::Ping(advertised), envelope }) = Datagram::decode(&ping)
        else {
            panic!("a PING")
        };
        assert_eq!((advertised, flags.has(client)), (Some(expected.into()), false));
        assert_ne!(envelope.token, Token::NONE);
    }
}

#[test]
fn what_a_peer_cannot_reach_is_not_advertised_to_it() {
    let advertising = kad_core::Config { advertise_v4: Some("192.168.1.9:5".parse().unwrap()), ..config() };
    for (to, expected) in [("8.1.1.1:9000", None), ("10.0.0.9:9000", Some(at("192.168.1.9:5").into()))] {
        let mut bench = Bench::new(std::slice::from_ref(&advertising));
        let now = bench.now;
        let node = &mut bench.homes[0].node;
        node.ping(now, now.plus_millis(1000), at(to)).unwrap();
        let ping = sent(node, now).remove(0).2;
        let Ok(Datagram::Request { flags, request, .. }) = Datagram::decode(&ping) else { panic!("a PING") };
        assert_eq!(request, Request::Ping(expected));
        assert_eq!(flags.has(kad_core::wire::RequestFlags::CLIENT), expected.is_none());
    }
    for wrong in ["0.0.0.0:9", "224.0.0.1:9", "169.254.1.1:9", "9.9.9.9:0"] {
        let config = kad_core::Config { advertise_v4: Some(wrong.parse().unwrap()), ..config() };
        let mut block = Box::new(bench::Block::EMPTY);
        let node = Node::new(id(1), &config, &[1; 32], block.memory());
        assert!(matches!(node, Err(kad_core::ConfigError::Advertise)), "{wrong}");
    }
}
