//! What the upkeep does when intervals are short, and when somebody keeps it busy.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_core::{Capacity, Config, Instant, Key, NodeId, Received, Slabs};
use kad_store::{Limits, MemoryStore, Store};
use kad_upkeep::Upkeep;
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{
    Datagram, DeleteLock, Envelope, ItemHeader, ItemType, MaxDatagram, NetworkId, Offer, Prefix, Request, RequestFlags,
    StoreMode, Token, TransactionId,
};

const OWN: NodeId = NodeId::from_bytes([0; 32]);

fn at_ms(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(1_000_000 + ms)
}

fn node() -> Slabs {
    Slabs::new(OWN, &Config::default(), &[1; 32], Capacity::SMALL).unwrap()
}

/// An id near the node's own.
fn peer(number: u32) -> (NodeId, SocketAddr) {
    let mut id = *Key::hash_int(number.into()).as_bytes();
    (id[0], id[1]) = (0, 0);
    (NodeId::from_bytes(id), (Ipv4Addr::from(0x0a00_0000 + number), 9000).into())
}

/// Hands a request of a peer's to the node, and answers with the token of the reply.
fn ask(slabs: &mut Slabs, now: Instant, number: u32, token: Token, request: &Request<'_>) -> Token {
    let (id, address) = peer(number);
    let prefix = Prefix {
        lane: 0,
        room: MaxDatagram::default(),
        network: NetworkId::default(),
        tag: TransactionId::new(1, 2, 0),
    };
    let (mut datagram, mut reply) = ([0; DATAGRAM_MAX], [0; DATAGRAM_MAX]);
    let envelope = Envelope { prefix, token, sender: id };
    let len = request.encode(&envelope, RequestFlags::default(), &mut datagram).unwrap();
    match slabs.node().handle_datagram(now, address, &datagram[..len], &mut reply) {
        Received::Reply(len) => match Datagram::decode(&reply[..len]) {
            Ok(Datagram::Reply { envelope, .. }) => envelope.token,
            _ => Token::NONE,
        },
        _ => Token::NONE,
    }
}

/// A peer proves itself, which brings it into the table. Answers with its token.
fn comes(slabs: &mut Slabs, now: Instant, number: u32) -> Token {
    let token = ask(slabs, now, number, Token::NONE, &Request::PING);
    ask(slabs, now, number, token, &Request::PING);
    assert!(slabs.node().contacts().any(|known| known.contact.id == peer(number).0));
    token
}

/// Lets operations send, time out and end: nobody answers.
fn turn(slabs: &mut Slabs, upkeep: &mut Upkeep, now: Instant) {
    let (mut node, mut out) = (slabs.node(), [0; DATAGRAM_MAX]);
    while node.poll_transmit(now, &mut out).is_some() {}
    node.handle_timeout(now);
    while let Some(event) = node.poll_event() {
        upkeep.ended(event.operation());
    }
}

fn holding(limits: Limits, now: Instant, items: u32, key: fn(u32) -> Key) -> MemoryStore {
    let mut store = MemoryStore::new(limits);
    for number in 0..items {
        let (key, value) = (key(number), number.to_le_bytes());
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 36_000_000, &value);
        let source = (Ipv4Addr::new(10, 1, 0, 1), 9000).into();
        let offer = Offer { key, header, bytes: Some(&value), mode: StoreMode::Publish, source, received: now };
        assert!(store.offer(now, &offer).is_some_and(|answer| answer.status.is_held()));
    }
    store
}

fn anywhere(number: u32) -> Key {
    Key::hash_int(number.into())
}

/// A key that one of ten peers is nearer to than the node, so that it hands nothing over.
fn beside_neighbours(number: u32) -> Key {
    let mut bytes = *peer(1000 + number % 10).0.as_bytes();
    bytes[28..].copy_from_slice(&number.to_le_bytes());
    Key::from_bytes(bytes)
}

#[test]
fn what_is_passed_on_every_minute_is_passed_on() {
    let limits = Limits { replicate: Duration::from_secs(60), ..Limits::new(OWN) };
    let (mut slabs, mut store, mut upkeep) = (node(), holding(limits, at_ms(0), 1, anywhere), Upkeep::new());
    comes(&mut slabs, at_ms(0), 1);
    while slabs.node().poll_newcomer().is_some() {}
    upkeep.drive(at_ms(80_000), &mut slabs.node(), &mut store);
    let stats = *upkeep.stats();
    assert_eq!((stats.replicated, stats.operations), (1, 1), "what counts as passed on is on its way");
}

/// Somebody who comes near the node and leaves again, over and over, has it look through all that it holds each time. What
/// is due must have its turn all the same.
#[test]
fn newcomers_do_not_keep_the_upkeep_from_what_is_due() {
    let (mut slabs, mut upkeep) = (node(), Upkeep::new());
    let mut store = holding(Limits::new(OWN), at_ms(0), 3000, anywhere);
    // An honest neighbour, to which everything belongs as much as to the node.
    comes(&mut slabs, at_ms(0), 1);
    let hour = 80 * 60 * 1000;
    for number in 0..200 {
        let now = at_ms(hour + u64::from(number));
        let token = comes(&mut slabs, now, 2 + number);
        upkeep.drive(now, &mut slabs.node(), &mut store);
        ask(&mut slabs, now, 2 + number, token, &Request::Goodbye);
        if upkeep.stats().replicated > 0 {
            return;
        }
    }
    panic!("nothing is replicated: {:?}", upkeep.stats());
}

/// How often somebody can have the node look through all that it holds is bounded.
#[test]
fn a_stream_of_newcomers_costs_a_bounded_number_of_looks() {
    let (mut slabs, mut upkeep) = (node(), Upkeep::new());
    let mut store = holding(Limits::new(OWN), at_ms(0), 640, beside_neighbours);
    // Its neighbours hand over what a newcomer should have.
    for number in 1000..1010 {
        comes(&mut slabs, at_ms(0), number);
    }
    while slabs.node().poll_newcomer().is_some() {}
    // A minute, in which a newcomer comes and goes every tenth of a second. The node is driven as often as it asks for.
    let mut slices = 0;
    for number in 0..600 {
        let now = at_ms(u64::from(number) * 100);
        let token = comes(&mut slabs, now, 2 + number);
        turn(&mut slabs, &mut upkeep, now);
        while upkeep.drive(now, &mut slabs.node(), &mut store) == Some(now) {
            slices += 1;
            assert!(slices < 1_000_000, "it comes to rest");
        }
        ask(&mut slabs, now, 2 + number, token, &Request::Goodbye);
    }
    assert!(slices <= 20 * (640 / 64 + 1), "{slices} slices of 64 items in a minute, for a store of 640");
}
