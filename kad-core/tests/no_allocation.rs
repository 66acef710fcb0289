//! A full run - join, store, find, small and large - without a single allocation by the nodes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use kad_core::wire::limits::DATAGRAM_MAX;
use kad_core::wire::{DeleteLock, ItemHeader, ItemType, StoreMode};
use kad_core::{Config, Event, FindOptions, Instant, Key, Node, NodeId, Received};
use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits, Store};

/// Counts every request for memory.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

kad_core::block! {
    struct Block {
        rows: 8,
        contacts_per_row: 5,
        operations: 3,
        candidates_per_operation: 12,
        items_per_operation: 2,
        transfers: 4,
        arena: 2 * 8192,
    }
}

struct Home {
    block: Block,
    records: [FixedRecord; 16],
    blocks: [FixedBlock; 256],
}

const NODES: usize = 6;
/// Datagrams on their way, in memory that is there from the start.
struct Wire {
    slots: [(usize, usize, usize, [u8; 2048]); 256],
    first: usize,
    len: usize,
}

impl Wire {
    fn push(&mut self, from: usize, to: SocketAddr, datagram: &[u8]) {
        assert!(self.len < self.slots.len(), "the wire is long enough for this run");
        let slot = &mut self.slots[(self.first + self.len) % 256];
        (slot.0, slot.1, slot.2) = (from, usize::from(to.port()) - 9000, datagram.len());
        slot.3[..datagram.len()].copy_from_slice(datagram);
        self.len += 1;
    }
}

fn address(number: usize) -> SocketAddr {
    ([10, 0, 0, 1], 9000 + number as u16).into()
}

struct World<'m> {
    nodes: [Option<(Node<'m>, FixedStore<'m>)>; NODES],
    wire: Wire,
    now: Instant,
    joined: usize,
    copies: usize,
    values: usize,
    found: [u8; 8192],
    found_len: usize,
}

impl World<'_> {
    /// Lets everything happen until nothing is on its way.
    fn settle(&mut self) {
        for _ in 0..4000 {
            for number in 0..NODES {
                self.transmit(number);
            }
            if self.wire.len == 0 {
                return;
            }
            self.deliver();
        }
        panic!("the network does not come to rest");
    }

    fn transmit(&mut self, number: usize) {
        let Some((node, store)) = &mut self.nodes[number] else { return };
        let mut out = [0; DATAGRAM_MAX];
        while let Some(transmit) = node.poll_transmit(self.now, &mut out) {
            for hole in transmit.holes(&mut out) {
                store.read(self.now, &hole.key, &hole.digest, 0, hole.bytes);
            }
            self.wire.push(number, transmit.to, &out[..transmit.len]);
        }
        while let Some(event) = node.poll_event() {
            match event {
                Event::Joined { answered, .. } => self.joined += answered,
                Event::Stored { receipt, .. } => self.copies = receipt.copies(),
                Event::FoundValues { values, .. } => self.values = values,
                _ => {}
            }
        }
    }

    fn deliver(&mut self) {
        let (from, to, len, datagram) = self.wire.slots[self.wire.first];
        self.wire.first = (self.wire.first + 1) % 256;
        self.wire.len -= 1;
        self.now = self.now.plus_micros(100);
        let (now, source) = (self.now, address(from));
        let Some((node, store)) = &mut self.nodes[to] else { return };
        let mut out = [0; 2048];
        match node.handle_datagram(now, source, &datagram[..len], &mut out[..DATAGRAM_MAX]) {
            Received::Nothing => {}
            Received::Reply(len) => self.wire.push(to, source, &out[..len]),
            Received::Find(ticket) => {
                let mut answer = node.answer_find(ticket, &mut out[..DATAGRAM_MAX]);
                let page = store.find(now, ticket.query(), &mut answer);
                let len = answer.finish(page.total, page.next_cursor);
                self.wire.push(to, source, &out[..len]);
            }
            Received::Pull(mut pull) => {
                while let Some(chunk) = pull.next_chunk(&mut out) {
                    let hole = &mut out[chunk.head_len..chunk.head_len + chunk.len];
                    let read = store.read(now, pull.key(), pull.digest(), chunk.offset, hole);
                    self.wire.push(to, source, &out[..chunk.head_len + read]);
                }
            }
            Received::Store(ticket) => {
                let mut answer = node.answer_store(ticket, &mut out[..DATAGRAM_MAX]);
                while let Some(offer) = answer.next_offer() {
                    answer.answer(store.offer(now, &offer));
                }
                if let Some(len) = answer.finish() {
                    self.wire.push(to, source, &out[..len]);
                }
            }
            Received::Pulled(ticket, offer) => {
                let answer = store.offer(now, &offer).unwrap();
                let len = node.answer_pulled(&ticket, answer, &mut out).unwrap();
                self.wire.push(to, source, &out[..len]);
            }
            Received::Values(values) => {
                for (_, bytes) in values.iter() {
                    self.found[..bytes.len()].copy_from_slice(bytes);
                    self.found_len = bytes.len();
                }
            }
        }
        for (node, _) in self.nodes.iter_mut().flatten() {
            node.handle_timeout(now);
        }
    }

    fn publish(&mut self, number: usize, key: Key, value: &[u8]) {
        let now = self.now;
        let (node, store) = self.nodes[number].as_mut().unwrap();
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 600_000, value);
        assert!(store.publish(now, &key, &header, value).status.is_held());
        node.store(now, now.plus_millis(20_000), StoreMode::Publish, 0, &[(key, header)]).unwrap();
        self.settle();
    }

    fn find(&mut self, number: usize, key: Key) {
        let now = self.now;
        let (node, _) = self.nodes[number].as_mut().unwrap();
        node.find_value(now, now.plus_millis(20_000), key, FindOptions::FIRST).unwrap();
        self.settle();
    }
}

#[test]
fn joining_storing_and_finding_allocate_nothing() {
    let mut homes =
        [const { Home { block: Block::EMPTY, records: [FixedRecord::EMPTY; 16], blocks: [FixedBlock::EMPTY; 256] } };
            NODES];
    let large: [u8; 8000] = std::array::from_fn(|at| (at % 251) as u8);
    let wire = Wire { slots: [(0, 0, 0, [0; 2048]); 256], first: 0, len: 0 };
    let before = REQUESTS.load(Ordering::Relaxed);

    let config = Config { k: 4, value_max: 8192, ..Config::default() };
    let mut number = 0u8;
    let nodes = homes.each_mut().map(|home| {
        number += 1;
        let id = NodeId::from_bytes(*Key::hash_int(number.into()).as_bytes());
        let node = Node::new(id, &config, &[number; 32], home.block.memory()).unwrap();
        Some((node, FixedStore::new(Limits::new(id), &mut home.records, &mut home.blocks)))
    });
    let now = Instant::from_micros(1);
    let mut world = World { nodes, wire, now, joined: 0, copies: 0, values: 0, found: [0; 8192], found_len: 0 };
    for number in 1..NODES {
        let now = world.now;
        let (node, _) = world.nodes[number].as_mut().unwrap();
        node.join(now, now.plus_millis(20_000), &[address(number - 1)]).unwrap();
        world.settle();
    }
    for (value, key) in [(&b"small"[..], Key::hash("small")), (&large, Key::hash("large")), (b"", Key::hash("empty"))] {
        (world.copies, world.values, world.found_len) = (0, 0, usize::MAX);
        world.publish(0, key, value);
        assert!(world.copies >= 3, "{} copies", world.copies);
        world.find(NODES - 1, key);
        assert_eq!((world.values, &world.found[..world.found_len]), (1, value));
    }
    for (node, _) in world.nodes.iter_mut().flatten() {
        node.check();
    }

    let requests = REQUESTS.load(Ordering::Relaxed) - before;
    assert!(world.joined >= NODES - 1);
    assert_eq!(requests, 0, "requests for memory");
}
