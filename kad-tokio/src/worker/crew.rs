//! What the workers of a node tell each other: datagrams that came to the wrong one, contacts, commits.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kad_core::{PathLimits, Via};
use kad_store::NotDurable;
use kad_wire::{Contact, NodeId, Steering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Worker;
use crate::socket::Source;

/// Notes from peers' doings that may wait at a worker. More are dropped, and counted.
const WAITING: usize = 1024;
/// Notes that are looked at before the socket gets its turn again.
const NOTES: usize = 256;

/// How often the log is told of a duplicate.
const WARN_INTERVAL_SECS: u64 = 600;

/// What one worker tells another.
#[derive(Debug)]
pub(crate) enum Note {
    /// A datagram that is for the other one.
    Datagram(Source, Box<[u8]>),
    /// Somebody who has answered, through which of the node's addresses, and the round-trip time.
    Contact(Contact, Via, Option<Duration>),
    /// An address that did not answer, as the core marks it.
    Silent(u32),
    /// An address, and the largest datagrams that pass, to it and from it.
    Path(SocketAddr, PathLimits),
    /// The first attempt to join has ended.
    Settled,
    /// The host has slept, or has other addresses.
    Moved,
    /// What became of the commit of this number.
    Commit(u64, Result<(), NotDurable>),
}

/// A worker's place for notes.
#[derive(Debug)]
struct Place {
    notes: UnboundedSender<Note>,
    waiting: Arc<AtomicUsize>,
}

/// All workers of a node.
#[derive(Debug)]
pub(crate) struct Crew {
    boxes: Vec<Place>,
    dropped: AtomicU64,
    /// When the log was last told of a duplicate of this node, in seconds after the start, plus one; 0 for never.
    warned: AtomicU64,
}

/// Where a worker finds its notes.
#[derive(Debug)]
pub(crate) struct Notes {
    receiver: UnboundedReceiver<Note>,
    waiting: Arc<AtomicUsize>,
}

impl Notes {
    pub(crate) async fn next(&mut self) -> Option<Note> {
        let note = self.receiver.recv().await?;
        self.taken(&note);
        Some(note)
    }

    fn try_next(&mut self) -> Option<Note> {
        let note = self.receiver.try_recv().ok()?;
        self.taken(&note);
        Some(note)
    }

    fn taken(&self, note: &Note) {
        if note.is_of_peers() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Note {
    /// Whether peers decide how many there are.
    const fn is_of_peers(&self) -> bool {
        matches!(self, Self::Datagram(..) | Self::Contact(..) | Self::Silent(_) | Self::Path(..))
    }
}

impl Crew {
    /// A crew of so many, and where each finds its notes.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<Notes>) {
        let (boxes, notes) = (0..workers)
            .map(|_| {
                let ((sender, receiver), waiting) = (unbounded_channel(), Arc::new(AtomicUsize::new(0)));
                (Place { notes: sender, waiting: waiting.clone() }, Notes { receiver, waiting })
            })
            .unzip();
        (Arc::new(Self { boxes, dropped: AtomicU64::new(0), warned: AtomicU64::new(0) }), notes)
    }

    /// The lane of a worker: 0 for one that is alone, else counted from 1.
    pub(crate) fn lane(&self, index: usize) -> u8 {
        if self.boxes.len() == 1 { 0 } else { index as u8 + 1 }
    }

    /// Notes that were dropped because a worker did not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether the log should be told of a duplicate of this node now: once in ten minutes, by whichever worker.
    pub(crate) fn may_warn_of_duplicate(&self, since_start: Duration) -> bool {
        let now = since_start.as_secs() + 1;
        let is_due = |last: u64| (last == 0 || now >= last + WARN_INTERVAL_SECS).then_some(now);
        self.warned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_ok()
    }

    /// Tells everybody.
    pub(crate) fn tell_all(&self, note: impl Fn() -> Note) {
        for index in 0..self.boxes.len() {
            self.tell(index, note());
        }
    }

    /// Tells everybody but one.
    pub(crate) fn tell_others(&self, own: usize, note: impl Fn() -> Note) {
        for index in (0..self.boxes.len()).filter(|index| *index != own) {
            self.tell(index, note());
        }
    }

    fn tell(&self, index: usize, note: Note) {
        let Some(Place { notes, waiting }) = self.boxes.get(index) else { return };
        if note.is_of_peers() && waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A worker that has ended needs no notes.
        let _ = notes.send(note);
    }
}

impl Worker {
    /// Whether the node has tried to reach its network, or has none to reach.
    pub(super) fn is_settled(&self) -> bool {
        if self.is_first() { self.joining.is_settled() } else { self.told.settled }
    }

    /// The first worker has tried to join: the others may begin, as soon as they know whom it has met.
    pub(super) fn tell_settled(&mut self) {
        if !std::mem::replace(&mut self.told.settled, true) {
            self.tell_contacts();
            self.parts.crew.tell_all(|| Note::Settled);
        }
    }

    /// Passes on a datagram that other workers need, and says whether it is not for this one.
    pub(super) fn pass_on(&self, source: Source, datagram: &[u8]) -> bool {
        let (workers, own) = (self.parts.crew.boxes.len(), self.parts.index);
        if workers == 1 {
            return false;
        }
        match Steering::of(datagram) {
            Steering::Lane(lane) if usize::from(lane) <= workers && usize::from(lane) != own + 1 => {
                self.parts.crew.tell(usize::from(lane) - 1, Note::Datagram(source, datagram.into()));
                true
            }
            Steering::All => {
                for other in (0..workers).filter(|other| *other != own) {
                    self.parts.crew.tell(other, Note::Datagram(source, datagram.into()));
                }
                false
            }
            _ => false,
        }
    }

    /// Tells the others who has come into this worker's table.
    pub(super) fn tell_contacts(&mut self) {
        let (workers, own) = (self.parts.crew.boxes.len(), self.parts.index);
        let stats = *self.node().stats();
        let changes = stats.contacts_added.wrapping_add(stats.contacts_moved);
        if workers == 1 || std::mem::replace(&mut self.told.changes, changes) == changes {
            return;
        }
        let node = self.parts.slabs.node();
        let mut known = HashSet::new();
        for contact in node.contacts() {
            known.insert((contact.contact.id, contact.contact.endpoint.into()));
            if self.told.known.contains(&(contact.contact.id, contact.contact.endpoint.into())) {
                continue;
            }
            for other in (0..workers).filter(|other| *other != own) {
                self.parts.crew.tell(other, Note::Contact(contact.contact, contact.via, contact.rtt));
            }
        }
        self.told.known = known;
    }

    /// Tells the others who has fallen silent, so that they need not wait for it too.
    pub(super) fn tell_silences(&mut self) {
        let (workers, own) = (self.parts.crew.boxes.len(), self.parts.index);
        let timeouts = self.node().stats().timeouts;
        if workers == 1 || std::mem::replace(&mut self.told.timeouts, timeouts) == timeouts {
            return;
        }
        let silent: HashSet<u32> = self.node().silent().collect();
        for mark in silent.difference(&self.told.silent) {
            for other in (0..workers).filter(|other| *other != own) {
                self.parts.crew.tell(other, Note::Silent(*mark));
            }
        }
        self.told.silent = silent;
    }

    /// Takes in the notes that wait, but not for ever.
    pub(super) fn take_notes(&mut self) {
        for _ in 0..NOTES {
            let Some(note) = self.parts.notes.try_next() else { return };
            self.take_note(note);
        }
    }

    pub(super) fn take_note(&mut self, note: Note) {
        let now = self.now();
        match note {
            Note::Datagram(source, bytes) => self.receive_one(now, source, &bytes),
            Note::Contact(contact, via, rtt) => {
                // It comes from another worker, who need not hear of it again.
                self.told.known.insert((contact.id, contact.endpoint.into()));
                self.node().introduce(now, &contact, via, rtt);
            }
            Note::Silent(mark) => {
                self.told.silent.insert(mark);
                self.node().hear_silent(now, mark);
            }
            Note::Path(address, limits) => self.path_takes(address, limits),
            // It was woken, too: what waits for it can begin.
            Note::Settled => self.told.settled = true,
            Note::Moved => self.moved(),
            Note::Commit(number, result) => self.committed(number, result),
        }
    }
}

/// What the workers have told each other.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Whether the first worker has tried to join.
    settled: bool,
    /// Whom the other workers know of, and how many had come or moved when this one last told them.
    changes: u64,
    known: HashSet<(NodeId, SocketAddr)>,
    /// Who they know is silent, and how many requests this one had given up when it last told them.
    timeouts: u64,
    silent: HashSet<u32>,
}
