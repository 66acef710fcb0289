//! Hot paths of kad-core and kad-wire, counted in instructions: the same on every run, however busy the machine is.
//!
//! `cargo xtask instructions` runs this under valgrind and compares it with docs/instructions.md.

#![allow(missing_docs, unused_qualifications, reason = "what the macros make is public, and spelled out")]

use std::hint::black_box;
use std::net::SocketAddr;

use gungraun::{library_benchmark, library_benchmark_group, main};
use kad_core::{Capacity, Config, FindOptions, Slabs};
use kad_store::{Limits, MemoryStore, Store};
use kad_upkeep::{Shelves, next_transmit, receive};
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{
    Contact, Datagram, DeleteLock, Envelope, FindNode, FindValue, Instant, ItemHeader, ItemType, Key, NodeId,
    NodesWriter, Reply, ReplyHead, Request, RequestFlags, StoreMode, StoreWriter, Token, TransactionId, TypeMask,
};

const NOW: Instant = Instant::from_micros(1_000_000);
const VALUE: [u8; 100] = [7; 100];
/// Bytes of the largest datagram that is read or written here.
const BUFFER: usize = 4096;

fn id(number: u64) -> NodeId {
    NodeId::from_bytes(*Key::hash_int(number).as_bytes())
}

fn address(number: u64) -> SocketAddr {
    ([10, 0, (number >> 8) as u8, number as u8], 9000).into()
}

/// A node with its store, and what is to happen to it.
struct Home {
    slabs: Slabs,
    store: MemoryStore,
    datagrams: Vec<Vec<u8>>,
    /// Bytes of the answers that must come of it.
    answers: usize,
    out: [u8; BUFFER],
}

impl Home {
    /// A server whose table was offered two thousand contacts.
    fn new(number: u64) -> Self {
        let id = id(number);
        let mut slabs = Slabs::new(id, &Config::default(), &[1; 32], Capacity::SERVER).expect("the defaults fit");
        for other in 1_000..3_000 {
            let contact = Contact { id: self::id(other), endpoint: address(other).into() };
            slabs.node().adopt(NOW, &contact);
        }
        let mut store = MemoryStore::new(Limits::new(id));
        store.publish(NOW, &key(), &header(), &VALUE);
        Self { slabs, store, datagrams: Vec::new(), answers: 0, out: [0; BUFFER] }
    }

    /// Takes in a datagram, and answers with what it is answered with.
    fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        let (node, shelves) = (&mut self.slabs.node(), &mut Shelves { store: &mut self.store, aside: &() });
        let mut response = receive(NOW, node, shelves.store, (from, datagram), &mut self.out, |_| ());
        while let Some(len) = response.next(NOW, node, shelves, &mut self.out) {
            answers.push(self.out[..len].to_vec());
        }
        answers
    }

    /// The next datagram that it has to send.
    fn send(&mut self) -> Option<Vec<u8>> {
        let shelves = &mut Shelves { store: &mut self.store, aside: &() };
        let len = next_transmit(NOW, &mut self.slabs.node(), shelves, &mut self.out)?.len;
        Some(self.out[..len].to_vec())
    }

    fn asked(mut self, request: Vec<u8>, answers: usize) -> Self {
        (self.datagrams, self.answers) = (vec![request], answers);
        self
    }
}

fn key() -> Key {
    Key::hash("value")
}

fn header() -> ItemHeader {
    ItemHeader::publish(&key(), ItemType::RAW, DeleteLock::NONE, 3_600_000, &VALUE)
}

/// Whoever asks: a client, so that nobody asks it in turn.
fn envelope(token: Token) -> Envelope {
    let prefix = kad_wire::Prefix { tag: TransactionId::new(1, 2, 0), ..Default::default() };
    Envelope { prefix, token, sender: id(1) }
}

const CLIENT: RequestFlags = RequestFlags(RequestFlags::CLIENT);

fn request(request: &Request<'_>) -> Vec<u8> {
    let mut out = vec![0; DATAGRAM_MAX];
    let len = request.encode(&envelope(Token::NONE), CLIENT, &mut out).expect("it fits");
    out.truncate(len);
    out
}

fn find_node_request() -> Vec<u8> {
    request(&Request::FindNode(FindNode { limit: 20, target: Key::hash("target"), padding: 411 - 90 }))
}

fn a_ping() -> Home {
    Home::new(0).asked(request(&Request::PING), 76)
}

fn a_find_node() -> Home {
    Home::new(0).asked(find_node_request(), 76 + 20 * 50)
}

fn a_find_value() -> Home {
    let (types, max_age_ms) = (TypeMask::ALL, u32::MAX);
    let find = FindValue { limit: 0, types, burst: 0, max_age_ms, cursor: 0, key: key(), padding: 411 - 100 };
    Home::new(0).asked(request(&Request::FindValue(find)), 84 + 48 + VALUE.len())
}

/// A STORE of a new value that fits the datagram, with a token.
fn a_store() -> Home {
    let mut home = Home::new(0);
    let pong = home.take(address(1), &request(&Request::PING)).remove(0);
    let Ok(Datagram::Reply { envelope: of_reply, .. }) = Datagram::decode(&pong) else { panic!("a PONG") };
    let mut out = vec![0; DATAGRAM_MAX];
    let mut writer =
        StoreWriter::begin(&envelope(of_reply.token), CLIENT, StoreMode::Publish, &mut out).expect("it fits");
    let (key, value) = (Key::hash("another"), [8; 64]);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value).with_inline(64);
    writer.push(&key, &header).expect("it fits").copy_from_slice(&value);
    let len = writer.finish().expect("an item");
    out.truncate(len);
    home.asked(out, 84)
}

/// A lookup that has just begun: the first request is to be written.
fn a_lookup() -> Home {
    let mut home = Home::new(0);
    home.slabs.node().find_node(NOW, NOW.plus_millis(30_000), Key::hash("target")).expect("there is a place");
    home
}

/// A reader that has asked for chunks, and the chunks.
fn chunks() -> Home {
    let (mut holder, value) = (Home::new(0), vec![9; 16 * 1024]);
    let key = Key::hash("large");
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
    holder.store.publish(NOW, &key, &header, &value);
    let mut reader = Home::new(1);
    reader.slabs = Slabs::new(id(1), &Config::default(), &[2; 32], Capacity::SERVER).expect("the defaults fit");
    reader.slabs.node().adopt(NOW, &Contact { id: id(0), endpoint: address(0).into() });
    reader.slabs.node().find_value(NOW, NOW.plus_millis(30_000), key, FindOptions::FIRST).expect("there is a place");
    for _ in 0..8 {
        let Some(request) = reader.send() else { break };
        let answers = holder.take(address(1), &request);
        if answers.iter().all(|answer| matches!(Datagram::decode(answer), Ok(Datagram::Chunk { .. }))) {
            reader.datagrams = answers;
            return reader;
        }
        for answer in answers {
            reader.take(address(0), &answer);
        }
    }
    panic!("a reader pulls what it was offered");
}

/// Handles what the home is given.
fn handle(home: &mut Home, from: SocketAddr) -> usize {
    let mut bytes = 0;
    let (node, shelves) = (&mut home.slabs.node(), &mut Shelves { store: &mut home.store, aside: &() });
    for datagram in &home.datagrams {
        let mut response = receive(NOW, node, shelves.store, (from, datagram), &mut home.out, |_| ());
        while let Some(len) = response.next(NOW, node, shelves, &mut home.out) {
            bytes += len;
        }
    }
    bytes
}

#[library_benchmark]
#[bench::ping(a_ping())]
#[bench::find_node(a_find_node())]
#[bench::find_value(a_find_value())]
#[bench::store(a_store())]
fn answer(mut home: Home) -> Home {
    assert_eq!(black_box(handle(&mut home, address(1))), home.answers, "it is answered in full");
    home
}

#[library_benchmark]
#[bench::chunks(chunks())]
fn take(mut home: Home) -> Home {
    assert_eq!(black_box(handle(&mut home, address(0))), 0, "a chunk is not answered");
    assert!(home.slabs.node().stats().chunks >= home.datagrams.len() as u64, "they were taken");
    home
}

#[library_benchmark]
#[bench::request(a_lookup())]
fn transmit(mut home: Home) -> Home {
    let shelves = &mut Shelves { store: &mut home.store, aside: &() };
    assert!(next_transmit(NOW, &mut home.slabs.node(), shelves, &mut home.out).is_some(), "there is one");
    home
}

/// Hashing keys is no part of what is counted.
fn a_target() -> (Home, Key, [Contact; 20]) {
    (Home::new(0), Key::hash("target"), [Contact { id: id(0), endpoint: address(0).into() }; 20])
}

#[library_benchmark]
#[bench::twenty(a_target())]
fn closest((mut home, target, mut out): (Home, Key, [Contact; 20])) -> Home {
    assert_eq!(home.slabs.node().closest(black_box(&target), &mut out), 20);
    black_box(out);
    home
}

fn contacts() -> (Envelope, Vec<Contact>) {
    let contacts = (0..20).map(|number| Contact { id: id(number), endpoint: address(number).into() });
    (envelope(Token::NONE), contacts.collect())
}

fn write_nodes(envelope: &Envelope, contacts: &[Contact], out: &mut [u8]) -> usize {
    let mut writer = NodesWriter::begin(envelope, &ReplyHead::default(), out).expect("it fits");
    for contact in contacts {
        writer.push(contact).expect("it fits");
    }
    writer.finish()
}

fn nodes() -> Vec<u8> {
    let mut out = vec![0; DATAGRAM_MAX];
    let (envelope, contacts) = contacts();
    let len = write_nodes(&envelope, &contacts, &mut out);
    out.truncate(len);
    out
}

#[library_benchmark]
#[bench::twenty_contacts(contacts())]
fn encode((envelope, contacts): (Envelope, Vec<Contact>)) -> Vec<Contact> {
    let mut out = [0; DATAGRAM_MAX];
    assert_eq!(black_box(write_nodes(&envelope, &contacts, &mut out)), 76 + 20 * 50);
    black_box(out);
    contacts
}

#[library_benchmark]
#[bench::twenty_contacts(nodes())]
fn decode(datagram: Vec<u8>) -> Vec<u8> {
    let Ok(Datagram::Reply { reply: Reply::Nodes(contacts), .. }) = Datagram::decode(black_box(&datagram)) else {
        panic!("NODES")
    };
    // As a lookup does: it looks at each.
    assert_eq!(contacts.iter().map(black_box).filter(|contact| contact.endpoint.port == 9000).count(), 20);
    datagram
}

library_benchmark_group!(name = hot_paths, benchmarks = [answer, take, transmit, closest, encode, decode]);
main!(library_benchmark_groups = hot_paths);
