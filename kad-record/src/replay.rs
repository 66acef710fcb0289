//! Repeating a recording.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io::Read;

use kad_core::{Instant, OperationId, Slabs};
use kad_store::{MemoryStore, Store as _};
use kad_upkeep::{Outlet, Upkeep};
use kad_wire::Digest;

use crate::command::start;
use crate::format::{Entry, Error, Input, Reader};
use crate::recorder::Outputs;

/// What a recording was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Entries.
    pub entries: u64,
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Datagrams that were sent.
    pub datagrams_out: u64,
    /// The node's clock at the end.
    pub ended: Instant,
    /// Fingerprint of everything that the node sent and said.
    pub outputs: u64,
}

/// Where datagrams of the repeated node go.
#[derive(Default)]
struct Sent {
    outputs: Outputs,
    pinned: HashMap<Digest, (Vec<u8>, usize)>,
    all: u64,
    /// How many may still be sent in this go.
    room: u32,
}

impl Outlet for Sent {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.outputs.sent(to, datagram);
        self.all += 1;
        self.room = self.room.saturating_sub(1);
    }

    fn aside(&mut self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let rest = self.pinned.get(digest)?.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        Some(len)
    }

    fn is_full(&self) -> bool {
        self.room == 0
    }
}

/// The node again.
struct Machine {
    slabs: Slabs,
    store: MemoryStore,
    upkeep: Upkeep,
    sent: Sent,
    buffer: Box<[u8; 4096]>,
}

/// Repeats a recording through the same code that wrote it. `step` sees every entry before it is repeated. All invariants of
/// the node are checked after each.
///
/// # Errors
/// [`Error::Diverged`] at the first output that differs, and other [`Error`]s when the recording cannot be read.
///
/// # Panics
/// When an invariant is broken, as in the recorded node: that is what a recording is for.
pub fn replay(input: impl Read, mut step: impl FnMut(&Entry)) -> Result<Replayed, Error> {
    let (mut reader, header) = Reader::new(input)?;
    let slabs = Slabs::new(header.id, &header.config(), &header.seed, header.capacity());
    let slabs = slabs.map_err(|_| Error::Damaged { entry: 0 })?;
    let store = MemoryStore::new(header.limits());
    let mut machine =
        Machine { slabs, store, upkeep: Upkeep::new(), sent: Sent::default(), buffer: Box::new([0; 4096]) };
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
        let Self { slabs, store, upkeep, sent, buffer } = self;
        sent.room = u32::MAX;
        match input {
            Input::Datagram { from, bytes } => {
                kad_upkeep::receive(&mut slabs.node(), store, sent, now, (*from, bytes), &mut buffer[..], |_| {});
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
                sent.room = if *full { *datagrams } else { u32::MAX };
                kad_upkeep::transmit(&mut slabs.node(), store, sent, now, &mut buffer[..]);
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
            Input::Leave { until } => upkeep.leave(*until),
            Input::Pin { digest, bytes } => {
                sent.pinned.entry(*digest).or_insert_with(|| (bytes.clone(), 0)).1 += 1;
            }
            Input::Unpin { digest } => {
                if let Some((_, users)) = sent.pinned.get_mut(digest) {
                    *users -= 1;
                    if *users == 0 {
                        sent.pinned.remove(digest);
                    }
                }
            }
        }
    }
}
