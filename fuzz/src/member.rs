//! A node under test with its owner: store, upkeep, and the loop of the core's front page. What it says is held against what
//! was promised, and every invariant is checked.

use std::net::SocketAddr;

use kad_core::{Capacity, Config, FindTicket, Node, OperationId, Received, Slabs, StartError};
use kad_store::Store;
use kad_upkeep::Upkeep;
use kad_wire::limits::{AMPLIFICATION, DATAGRAM_MAX};
use kad_wire::{Contact, Datagram, Digest, Instant, Key, NodeId};

use crate::ledger::{Asked, Ledger};

/// Largest datagram that a member writes: a chunk of a value.
const BUFFER: usize = 4096;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What the owner does with a datagram that needs the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// Answers.
    Willing,
    /// Drops the ticket, as one that is overloaded may.
    Overloaded,
    /// Answers a find when it comes to it.
    Slow,
}

/// What a node is made of, besides its id.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    pub(crate) config: Config,
    pub(crate) capacity: Capacity,
}

pub(crate) struct Member<'m> {
    slabs: Slabs,
    pub(crate) store: Box<dyn Store + 'm>,
    pub(crate) upkeep: Upkeep,
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Ledger,
    /// Values that came, for those who want to compare them.
    pub(crate) found: Vec<(Key, Digest, Vec<u8>)>,
    late: Option<(FindTicket, SocketAddr)>,
}

impl<'m> Member<'m> {
    pub(crate) fn new(id: NodeId, address: SocketAddr, seed: u8, make: &Make, store: Box<dyn Store + 'm>) -> Self {
        Self {
            slabs: slabs(id, seed, make),
            store,
            upkeep: Upkeep::new(),
            address,
            ledger: Ledger::default(),
            found: Vec::new(),
            late: None,
        }
    }

    /// The node starts anew under this id, and remembers nothing but its values.
    pub(crate) fn restart(&mut self, id: NodeId, seed: u8, make: &Make) {
        self.slabs = slabs(id, seed, make);
        self.upkeep = Upkeep::new();
        self.ledger = Ledger::default();
        self.late = None;
    }

    pub(crate) fn node(&mut self) -> Node<'_> {
        self.slabs.node()
    }

    /// More places for operations.
    pub(crate) fn grow(&mut self) {
        self.slabs.grow();
    }

    pub(crate) fn contact(&mut self) -> Contact {
        Contact { id: self.node().id(), endpoint: self.address.into() }
    }

    /// Starts an operation, if it can be.
    pub(crate) fn start(
        &mut self,
        asked: Asked,
        command: impl FnOnce(&mut Node<'_>) -> Result<OperationId, StartError>,
    ) -> Option<OperationId> {
        let mut node = self.slabs.node();
        let free = node.free_operations();
        match command(&mut node) {
            Ok(operation) => {
                assert!(free > 0, "an operation needs a place");
                self.ledger.started(operation, asked);
                Some(operation)
            }
            Err(error) => {
                assert!(error != StartError::NoSlot || free == 0, "a free place can be used");
                None
            }
        }
    }

    /// Ends an operation of the owner.
    pub(crate) fn cancel(&mut self, now: Instant, operation: OperationId) {
        self.ledger.cancelled(operation);
        self.node().cancel(now, operation);
    }

    /// A datagram comes in. The caller drives or checks the node.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        owner: Owner,
        out: &mut impl Extend<Packet>,
    ) {
        let mut buffer = [0; BUFFER];
        let address = self.address;
        let mut send = |bytes: &[u8]| out.extend([Packet { from: address, to: from, bytes: bytes.into() }]);
        let mut node = self.slabs.node();
        match node.handle_datagram(now, from, datagram, &mut buffer[..DATAGRAM_MAX]) {
            Received::Nothing => {}
            Received::Reply(len) => {
                check_reply(datagram, len);
                send(&buffer[..len]);
            }
            Received::Find(_) | Received::Pull(_) | Received::Store(_) | Received::Pulled(..)
                if owner == Owner::Overloaded => {}
            Received::Find(ticket) if owner == Owner::Slow => self.late = Some((ticket, from)),
            Received::Find(ticket) => {
                let len = answer_find(&mut node, &mut *self.store, now, ticket, &mut buffer);
                check_reply(datagram, len);
                if len > 0 {
                    send(&buffer[..len]);
                }
            }
            Received::Pull(mut pull) => {
                let mut sent = 0;
                while let Some(chunk) = pull.next_chunk(&mut buffer) {
                    let hole = &mut buffer[chunk.head_len..chunk.head_len + chunk.len];
                    let read = self.store.read(now, pull.key(), pull.digest(), chunk.offset, hole);
                    if read == 0 && chunk.len > 0 {
                        break;
                    }
                    sent += 1;
                    send(&buffer[..chunk.head_len + read]);
                }
                match sent {
                    0 => {
                        if let Some(len) = node.refuse_pull(&pull, &mut buffer) {
                            send(&buffer[..len]);
                        }
                    }
                    _ => node.pull_answered(sent),
                }
            }
            Received::Store(ticket) => {
                let mut answer = node.answer_store(ticket, &mut buffer[..DATAGRAM_MAX]);
                while let Some(offer) = answer.next_offer() {
                    answer.answer(self.store.offer(now, &offer));
                }
                if let Some(len) = answer.finish() {
                    send(&buffer[..len]);
                }
            }
            Received::Pulled(ticket, offer) => {
                let bytes = offer.bytes.expect("what was pulled has its bytes");
                assert_eq!(offer.header.verify(&offer.key, bytes), Ok(()), "what was pulled is what was offered");
                let answer = self.store.offer(now, &offer).expect("with bytes there is always an answer");
                if let Some(len) = node.answer_pulled(&ticket, answer, &mut buffer) {
                    send(&buffer[..len]);
                }
            }
            Received::Values(values) => {
                self.ledger.values(&from.into(), &values);
                let key = self.ledger.key_of(values.operation);
                self.found.extend(values.iter().map(|(header, bytes)| (key, header.digest, bytes.to_vec())));
            }
        }
    }

    /// The owner comes to a find that it left lying.
    pub(crate) fn answer_late(&mut self, now: Instant, out: &mut impl Extend<Packet>) {
        let Some((ticket, to)) = self.late.take() else { return };
        let mut buffer = [0; BUFFER];
        let len = answer_find(&mut self.slabs.node(), &mut *self.store, now, ticket, &mut buffer);
        out.extend([Packet { from: self.address, to, bytes: buffer[..len].into() }]);
        self.node().check();
    }

    /// Tells the node the time, due or not.
    pub(crate) fn timeout(&mut self, now: Instant) {
        let mut node = self.slabs.node();
        node.handle_timeout(now);
        node.check();
        assert!(node.poll_timeout().is_none_or(|at| at > now), "what was due is done: {:?}", node.timeout_reason());
    }

    /// Takes one datagram that the node wants to send. Answers whether there was one.
    pub(crate) fn transmit(&mut self, now: Instant, out: &mut impl Extend<Packet>) -> bool {
        let mut buffer = [0; BUFFER];
        let mut node = self.slabs.node();
        let Some(transmit) = node.poll_transmit(now, &mut buffer[..DATAGRAM_MAX]) else { return false };
        let mut complete = true;
        for hole in transmit.holes(&mut buffer) {
            complete &= self.store.read(now, &hole.key, &hole.digest, 0, hole.bytes) == hole.bytes.len();
        }
        let bytes = &buffer[..transmit.len];
        assert!(Datagram::decode(bytes).is_ok(), "a node sends only what others can read");
        if complete {
            out.extend([Packet { from: self.address, to: transmit.to, bytes: bytes.into() }]);
        }
        true
    }

    /// Takes one event. Answers whether there was one.
    pub(crate) fn event(&mut self) -> bool {
        let mut node = self.slabs.node();
        let Some(event) = node.poll_event() else { return false };
        let known = self.ledger.event(&event) || self.upkeep.ended(event.operation());
        // What a leaving upkeep gives up for lack of time still ends.
        assert!(known || self.upkeep.is_leaving(), "an event of nobody: {event:?}");
        true
    }

    /// The rest of the loop. Answers whether anything has changed since the node was last checked.
    pub(crate) fn drive(&mut self, now: Instant, out: &mut impl Extend<Packet>) -> bool {
        if self.node().poll_timeout().is_some_and(|at| at <= now) {
            self.timeout(now);
        }
        let mut changed = false;
        while self.transmit(now, out) || self.event() {
            changed = true;
        }
        changed
    }

    /// Passes on what is due.
    pub(crate) fn drive_upkeep(&mut self, now: Instant) {
        let mut node = self.slabs.node();
        self.upkeep.drive(now, &mut node, &mut *self.store);
        node.check();
    }

    /// Whether nothing is under way.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let status = self.node().status();
        self.ledger.is_empty() && status.operations == 0 && status.transfers == 0
    }

    /// Asserts that a node at rest has all its places: each can be taken and given back.
    pub(crate) fn check_rest(&mut self, now: Instant) {
        let mut node = self.slabs.node();
        let stats = *node.stats();
        assert_eq!(stats.operations_started, stats.operations_ended, "every operation has ended");
        let nobody = SocketAddr::from(([203, 0, 113, 1], 1));
        let places = node.operations();
        let taken: Vec<_> = (0..places).map(|_| node.ping(now, now.plus_millis(1000), nobody)).collect();
        assert!(taken.iter().all(Result::is_ok), "every place can be used");
        for operation in taken.into_iter().flatten() {
            node.cancel(now, operation);
        }
        node.check();
        assert_eq!(node.free_operations(), places, "every place is free again");
    }
}

fn slabs(id: NodeId, seed: u8, make: &Make) -> Slabs {
    Slabs::new(id, &make.config, &[seed.max(1); 32], make.capacity).expect("every shape is a valid one")
}

fn answer_find(
    node: &mut Node<'_>,
    store: &mut dyn Store,
    now: Instant,
    ticket: FindTicket,
    buffer: &mut [u8; BUFFER],
) -> usize {
    let mut answer = node.answer_find(ticket, &mut buffer[..DATAGRAM_MAX]);
    let page = store.find(now, ticket.query(), &mut answer);
    answer.finish(page.total, page.next_cursor)
}

/// Asserts what holds for every reply: it answers no reply, and is no lever against whoever did not ask.
fn check_reply(request: &[u8], len: usize) {
    match Datagram::decode(request) {
        Ok(Datagram::Request { .. }) => assert!(len <= AMPLIFICATION * request.len(), "a reply of {len} bytes"),
        // The last chunk of a value that was offered brings the answer to the offer.
        Ok(Datagram::Chunk { .. }) => {}
        other => panic!("a reply to {other:?}"),
    }
}
