//! A few nodes with stores on a wire of constant delay, and addresses at which a test itself answers.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use kad_core::wire::limits::DATAGRAM_MAX;
use kad_core::wire::{
    Chunk, Contact, Datagram, Envelope, ItemHeader, MaxDatagram, NetworkId, Prefix, Reply, ReplyHead, Request,
    RequestFlags, Token, TransactionId,
};
use kad_core::{Config, Event, Instant, Key, Node, NodeId, OperationId, Received};
use kad_store::{Limits, MemoryStore, Store};

kad_core::block! {
    pub struct Block {
        rows: 8,
        contacts_per_row: 6,
        operations: 4,
        candidates_per_operation: 24,
        items_per_operation: 16,
        transfers: 16,
        arena: 8 * 8192,
    }
}

/// What is on its way: when it arrives, from whom, to whom.
pub type Packet = (Instant, SocketAddr, SocketAddr, Vec<u8>);

pub struct Home {
    pub node: Node<'static>,
    pub store: MemoryStore,
    /// Events that ended operations, as they print.
    pub events: Vec<(OperationId, String)>,
    /// Copies of each item of the last store that ended.
    pub item_copies: Vec<usize>,
    pub found: Vec<(ItemHeader, Vec<u8>)>,
    /// The closest that the last lookup ended with.
    pub closest: Vec<Contact>,
}

pub struct Bench {
    pub now: Instant,
    pub delay_us: u64,
    pub homes: Vec<Home>,
    wire: VecDeque<Packet>,
    /// Datagrams that went to addresses of nobody: for the test to answer.
    pub outside: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Datagrams on the wire, counted by kind.
    pub sent: BTreeMap<u8, usize>,
    /// What becomes of a datagram: after how many microseconds it arrives, as often as it does.
    pub fate: Box<dyn FnMut() -> Vec<u64>>,
    /// Chunks for one PULL are lost together if they are longer than this together.
    pub together_max: usize,
    number: usize,
}

pub const K: u8 = 4;

pub fn address(number: usize) -> SocketAddr {
    ([10, 0, 0, 1], 9000 + number as u16).into()
}

/// An address at which no node is.
pub fn outside(number: u16) -> SocketAddr {
    ([192, 0, 2, 1], number).into()
}

pub fn id(number: u64) -> NodeId {
    NodeId::from_bytes(*Key::hash_int(number).as_bytes())
}

pub fn config() -> Config {
    Config { k: K, value_max: 8192, ..Config::default() }
}

impl Bench {
    pub fn new(configs: &[Config]) -> Self {
        let homes = configs.iter().enumerate().map(|(number, config)| {
            let block = Box::leak(Box::new(Block::EMPTY));
            let node = Node::new(id(number as u64), config, &[number as u8 + 1; 32], block.memory()).unwrap();
            let store = MemoryStore::new(Limits::new(node.id()));
            Home { node, store, events: Vec::new(), item_copies: Vec::new(), found: Vec::new(), closest: Vec::new() }
        });
        Self {
            now: Instant::from_micros(1_000_000),
            delay_us: 1000,
            homes: homes.collect(),
            wire: VecDeque::new(),
            outside: Vec::new(),
            sent: BTreeMap::new(),
            fate: Box::new(|| vec![0]),
            together_max: usize::MAX,
            number: 0,
        }
    }

    /// Nodes that all know each other.
    pub fn joined(configs: &[Config]) -> Self {
        let mut bench = Self::new(configs);
        for number in 1..configs.len() {
            let now = bench.now;
            bench.homes[number].node.join(now, now.plus_millis(5000), &[address(0)]).unwrap();
            bench.run_ms(6000);
        }
        bench
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.number += 1;
        *self.sent.entry(datagram[1]).or_default() += 1;
        for later_us in (self.fate)() {
            let at = self.now.plus_micros(self.delay_us + later_us);
            let place = self.wire.partition_point(|packet| packet.0 <= at);
            self.wire.insert(place, (at, from, to, datagram.to_vec()));
        }
    }

    /// Sends a datagram from outside.
    pub fn inject(&mut self, from: SocketAddr, to: usize, datagram: &[u8]) {
        self.send(from, address(to), datagram);
    }

    pub fn run_ms(&mut self, ms: u64) {
        let until = self.now.plus_millis(ms);
        while self.step(until) {}
        self.now = until;
    }

    /// Lets the next thing happen that happens before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        for number in 0..self.homes.len() {
            self.transmit(number);
        }
        let timers = self.homes.iter().filter_map(|home| home.node.poll_timeout());
        let arrival = self.wire.front().map(|packet| packet.0);
        let Some(next) = timers.chain(arrival).min().filter(|at| *at <= until) else { return false };
        assert!(self.number < 1_000_000, "the network comes to rest");
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now)
            && let Some((_, from, to, datagram)) = self.wire.pop_front()
        {
            match usize::from(to.port()).checked_sub(9000) {
                Some(number) if to == address(number) && number < self.homes.len() => {
                    self.receive(number, from, &datagram);
                }
                _ => self.outside.push((from, to, datagram)),
            }
        }
        for home in &mut self.homes {
            home.node.handle_timeout(self.now);
            let overdue = home.node.poll_timeout().is_some_and(|at| at <= self.now);
            assert!(!overdue, "a timeout that was handled lies in the future");
        }
        for number in 0..self.homes.len() {
            self.transmit(number);
        }
        true
    }

    fn transmit(&mut self, number: usize) {
        let mut out = [0; DATAGRAM_MAX];
        loop {
            let Home { node, store, .. } = &mut self.homes[number];
            let Some(transmit) = node.poll_transmit(self.now, &mut out) else { break };
            for hole in transmit.holes(&mut out) {
                store.read(self.now, &hole.key, &hole.digest, 0, hole.bytes);
            }
            self.send(address(number), transmit.to, &out[..transmit.len]);
        }
        let home = &mut self.homes[number];
        while let Some(event) = home.node.poll_event() {
            let ended = event.operation();
            if let Event::Stored { receipt, .. } = &event {
                home.item_copies = receipt.items().map(|item| item.copies).collect();
            }
            if let Event::FoundNodes { trace, .. } = &event {
                home.closest = trace.closest().collect();
            }
            if !matches!(event, Event::Quorum { .. }) {
                home.events.push((ended, format!("{event:?}")));
            }
        }
        home.node.check();
    }

    pub fn receive(&mut self, number: usize, from: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        let mut replies = Vec::new();
        let mut out = [0; 4096];
        let Home { node, store, found, .. } = &mut self.homes[number];
        match node.handle_datagram(now, from, datagram, &mut out[..DATAGRAM_MAX]) {
            Received::Nothing => {}
            Received::Reply(len) => replies.push(out[..len].to_vec()),
            Received::Find(ticket) => {
                let mut answer = node.answer_find(ticket, &mut out[..DATAGRAM_MAX]);
                let page = store.find(now, ticket.query(), &mut answer);
                let len = answer.finish(page.total, page.next_cursor);
                replies.push(out[..len].to_vec());
            }
            Received::Pull(mut pull) => {
                let mut sent = 0;
                while let Some(chunk) = pull.next_chunk(&mut out) {
                    let hole = &mut out[chunk.head_len..chunk.head_len + chunk.len];
                    let read = store.read(now, pull.key(), pull.digest(), chunk.offset, hole);
                    if read == 0 && chunk.len > 0 {
                        break;
                    }
                    sent += 1;
                    replies.push(out[..chunk.head_len + read].to_vec());
                }
                if sent > 0 {
                    node.pull_answered(sent);
                } else if let Some(len) = node.refuse_pull(&pull, &mut out) {
                    replies.push(out[..len].to_vec());
                }
            }
            Received::Store(ticket) => {
                let mut answer = node.answer_store(ticket, &mut out[..DATAGRAM_MAX]);
                while let Some(offer) = answer.next_offer() {
                    answer.answer(store.offer(now, &offer));
                }
                if let Some(len) = answer.finish() {
                    replies.push(out[..len].to_vec());
                }
            }
            Received::Pulled(ticket, offer) => {
                if let Some(answer) = store.offer(now, &offer)
                    && let Some(len) = node.answer_pulled(&ticket, answer, &mut out)
                {
                    replies.push(out[..len].to_vec());
                }
            }
            Received::Values(values) => {
                found.extend(values.iter().map(|(header, bytes)| (header, bytes.to_vec())));
            }
        }
        node.check();
        if replies.iter().map(Vec::len).sum::<usize>() > self.together_max {
            return;
        }
        for reply in replies.iter().filter(|reply| !reply.is_empty()) {
            self.send(address(number), from, reply);
        }
    }

    /// Lets what is on the wire arrive, and takes what went outside since.
    pub fn taken(&mut self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.run_ms(2 * self.delay_us / 1000);
        std::mem::take(&mut self.outside)
    }

    /// What a node answers to a request from outside.
    pub fn ask(&mut self, peer: &Peer, to: usize, token: Token, request: &Request<'_>) -> Vec<u8> {
        self.inject(peer.address, to, &peer.request(token, request));
        let taken = self.taken();
        let reply = taken.into_iter().find(|(_, at, bytes)| *at == peer.address && bytes[1] & 0x80 != 0);
        reply.map(|(_, _, bytes)| bytes).unwrap_or_default()
    }

    /// A token of a node's for a peer.
    pub fn token(&mut self, peer: &Peer, to: usize) -> Token {
        match Datagram::decode(&self.ask(peer, to, Token::NONE, &Request::PING)) {
            Ok(Datagram::Reply { envelope, .. }) => envelope.token,
            other => panic!("a PONG, not {other:?}"),
        }
    }

    /// Brings a peer into a node's table.
    pub fn acquaint(&mut self, peer: &Peer, with: usize) {
        let token = self.token(peer, with);
        self.ask(peer, with, token, &Request::PING);
        assert!(self.homes[with].node.contacts().any(|known| known.contact.id == peer.id), "it has a place");
    }
}

/// Somebody whose words a test makes up.
#[derive(Clone, Copy)]
pub struct Peer {
    pub id: NodeId,
    pub address: SocketAddr,
}

impl Peer {
    pub fn envelope(&self, tag: TransactionId, token: Token) -> Envelope {
        let prefix = Prefix { lane: 0, room: MaxDatagram::default(), network: NetworkId::default(), tag };
        Envelope { prefix, token, sender: self.id }
    }

    pub fn request(&self, token: Token, request: &Request<'_>) -> Vec<u8> {
        let mut out = [0; DATAGRAM_MAX];
        let len = request
            .encode(&self.envelope(TransactionId::new(1, 2, 0), token), RequestFlags::default(), &mut out)
            .unwrap();
        out[..len].to_vec()
    }

    /// Answers a request that went to this peer.
    pub fn reply(&self, request: &[u8], reply: &Reply<'_>) -> Vec<u8> {
        self.written(request, |envelope, head, out| reply.encode(envelope, head, out))
    }

    /// Answers with what `write` writes.
    pub fn written(
        &self,
        request: &[u8],
        write: impl FnOnce(&Envelope, &ReplyHead, &mut [u8]) -> Option<usize>,
    ) -> Vec<u8> {
        let tag = Datagram::decode(request).unwrap().prefix().tag;
        let mut out = [0; DATAGRAM_MAX];
        let head = ReplyHead { flags: 0, observed: address(0).into() };
        let len = write(&self.envelope(tag, Token([7; 8])), &head, &mut out).unwrap();
        out[..len].to_vec()
    }

    pub fn chunk(&self, pull: &[u8], offset: u32, bytes: &[u8]) -> Vec<u8> {
        let prefix = *Datagram::decode(pull).unwrap().prefix();
        let mut out = [0; 4096];
        let len = Chunk { offset, bytes }.encode(&prefix, &mut out).unwrap();
        out[..len].to_vec()
    }
}
