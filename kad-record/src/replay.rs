//! Replaying a recording.

use core::net::SocketAddr;
use std::io::Read;

use kad_core::{Instant, OperationId, PathLimits, Sender, Slabs, Via};
use kad_store::{MemoryStore, Store as _};
use kad_upkeep::{Shelves, Upkeep};

use crate::command::start;
use crate::format::{Entry, Error, Input, Reader};
use crate::pinned::Pinned;
use crate::recorder::Outputs;

/// A summary of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Entries.
    pub entries: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// The node's clock at the end.
    pub ended: Instant,
    /// The digest of all outputs.
    pub outputs: u64,
}

/// The sink of the replayed node's datagrams.
#[derive(Default)]
struct Sent {
    outputs: Outputs,
    all: u64,
}

impl Sent {
    fn send(&mut self, to: SocketAddr, via: Via, datagram: &[u8]) {
        self.outputs.sent(to, via, datagram);
        self.all += 1;
    }
}

/// The replayed node.
struct Machine {
    slabs: Slabs,
    store: MemoryStore,
    upkeep: Upkeep,
    pinned: Pinned<Vec<u8>>,
    sent: Sent,
    buffer: Box<[u8; 4096]>,
}

/// Replays a recording through the code that wrote it. `step` sees every entry before its replay. All invariants of the node
/// are checked after each.
///
/// # Errors
/// [`Error::Diverged`] at the first output that differs, and other [`Error`]s when the recording cannot be read.
///
/// # Panics
/// If an invariant is violated, as in the recorded node.
pub fn replay(input: impl Read, mut step: impl FnMut(&Entry)) -> Result<Replayed, Error> {
    let (mut reader, header) = Reader::new(input)?;
    let slabs = Slabs::new(header.id, &header.config(), &header.seed, header.capacity());
    let slabs = slabs.map_err(|_| Error::Damaged { entry: 0 })?;
    let store = MemoryStore::new(header.limits());
    let mut machine = Machine {
        slabs,
        store,
        upkeep: Upkeep::new(),
        pinned: Pinned::default(),
        sent: Sent::default(),
        buffer: Box::new([0; 4096]),
    };
    let mut replayed = Replayed { entries: 0, datagrams_in: 0, datagrams_out: 0, ended: Instant::ZERO, outputs: 0 };
    while let Some(entry) = reader.next_entry()? {
        step(&entry);
        replayed.entries += 1;
        replayed.datagrams_in += u64::from(matches!(entry.input, Input::Datagram { .. }));
        replayed.ended = entry.at;
        machine.apply(entry.at, &entry.input);
        machine.slabs.node().check();
        if machine.sent.outputs.so_far() != entry.outputs {
            return Err(Error::Diverged { entry: replayed.entries, input: format!("{:?}", entry.input) });
        }
    }
    (replayed.datagrams_out, replayed.outputs) = (machine.sent.all, machine.sent.outputs.so_far());
    Ok(replayed)
}

impl Machine {
    fn apply(&mut self, now: Instant, input: &Input) {
        let Self { slabs, store, upkeep, pinned, sent, .. } = self;
        match input {
            Input::Datagram { from, via, bytes } => {
                self.receive(now, Sender { address: (*from).into(), via: Via(*via) }, bytes);
            }
            Input::Timeout => slabs.node().handle_timeout(now),
            Input::Event => {
                let mut node = slabs.node();
                let operation = node.poll_event().map(|event| event.operation());
                if let Some(operation) = operation {
                    sent.outputs.said(operation.to_bits());
                    upkeep.ended(operation);
                }
            }
            Input::Upkeep => drop(upkeep.drive(now, &mut slabs.node(), store)),
            Input::Expire => drop(store.expire(now)),
            Input::Transmit { datagrams, full } => {
                let room = if *full { *datagrams } else { u32::MAX };
                self.transmit(now, room);
            }
            Input::Start(command) => {
                if let Ok(operation) = start(slabs, now, command) {
                    sent.outputs.said(operation.to_bits());
                }
            }
            Input::Cancel(operation) => slabs.node().cancel(now, OperationId::from_bits(*operation)),
            Input::Publish { key, header, bytes } => {
                let answer = store.publish(now, key, header, bytes);
                sent.outputs.said(answer.status as u32);
            }
            Input::Forget { key, digest } => {
                let forgotten = store.forget(key, digest.as_ref());
                sent.outputs.said(forgotten as u32);
            }
            Input::PathTakes { address, out, into } => {
                let limits = PathLimits { out: *out, into: *into };
                slabs.node().path_takes(now, (*address).into(), limits);
            }
            Input::Leave { until } => upkeep.leave(*until),
            Input::Pin { digest, bytes } => pinned.pin(*digest, bytes.clone()),
            Input::Unpin { digest } => pinned.unpin(digest),
            Input::AskContacts => slabs.node().ask_contacts(now),
        }
    }

    fn receive(&mut self, now: Instant, sender: Sender, datagram: &[u8]) {
        let Self { slabs, store, pinned, sent, buffer, .. } = self;
        let node = &mut slabs.node();
        let mut response = kad_upkeep::receive(now, node, store, (sender, datagram), &mut buffer[..], |_| {});
        let mut shelves = Shelves { store, aside: pinned };
        while let Some(len) = response.next(now, node, &mut shelves, &mut buffer[..]) {
            sent.send(sender.address, sender.via, &buffer[..len]);
        }
    }

    /// Sends the node's datagrams, as many as the recorded node's socket accepted.
    fn transmit(&mut self, now: Instant, room: u32) {
        let Self { slabs, store, pinned, sent, buffer, .. } = self;
        let mut shelves = Shelves { store, aside: pinned };
        for _ in 0..room {
            let next = kad_upkeep::next_transmit(now, &mut slabs.node(), &mut shelves, &mut buffer[..]);
            let Some(next) = next else { return };
            sent.send(next.to, next.via, &buffer[..next.len]);
        }
    }
}
