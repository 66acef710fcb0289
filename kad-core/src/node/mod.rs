//! The node: its public face, and the one place where datagrams of all kinds come in.

mod answer;
mod commands;
mod duplicate;
mod events;
mod neighbourhood;
mod paths;
mod pulls;
mod receive;
mod replies;
mod serve;
mod settle;
mod silences;
mod timeouts;
mod transmit;
mod upkeep;

use core::net::SocketAddr;
use core::time::Duration;

use kad_wire::{Contact, Holes, Instant, Key, NodeId, Offer};

use crate::config::{Config, ConfigError, Settings};
use crate::event::{KnownContact, OperationId, Status, Trace};
use crate::memory::Memory;
use crate::schedule::Slot;
use crate::stats::{Stats, count};
use crate::ticket::{FindTicket, PullTicket, PulledTicket, StoreTicket, Values};
use crate::token::{Random, TokenKey};
use crate::via::Via;

pub use answer::{FindAnswer, StoreAnswer};
pub(crate) use duplicate::Duplicates;
pub(crate) use timeouts::BOOTSTRAP_ATTEMPTS;
pub(crate) use transmit::alpha;

/// One node of the network: a cursor over its [`Memory`], and nothing else.
///
/// Since all state is in the memory, an owner may keep the memory and make the cursor with [`resume`](Self::resume)
/// whenever it needs one. The [crate's front page](crate) shows the loop around it.
pub struct Node<'m> {
    pub(crate) memory: Memory<'m>,
}

/// What became of a datagram. `'n` borrows from the node, `'d` from the datagram.
pub enum Received<'n, 'd> {
    /// Nothing to do.
    Nothing,
    /// The reply buffer holds a reply of this many bytes: send it to where the datagram came from.
    Reply(usize),
    /// Somebody looks for a value.
    Find(FindTicket),
    /// Somebody pulls a value.
    Pull(PullTicket),
    /// Somebody stores items.
    Store(StoreTicket<'d>),
    /// A value that was offered is complete.
    Pulled(PulledTicket, Offer<'n>),
    /// Values that this node looked for.
    Values(Values<'n, 'd>),
}

/// A datagram to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a dropped datagram is a lost packet"]
pub struct Transmit {
    /// To whom.
    pub to: SocketAddr,
    /// From which of the node's addresses: its addressee answers only the one that it knows.
    pub via: Via,
    /// Its length in the buffer.
    pub len: usize,
    /// Whether it has holes for values, to be filled through [`holes`](Self::holes).
    pub has_holes: bool,
}

impl Transmit {
    pub(crate) fn through(self, via: Via) -> Self {
        Self { via, ..self }
    }

    /// The places in the datagram where bytes of this node's own values belong. All must be filled before it is sent.
    pub fn holes<'b>(&self, buffer: &'b mut [u8]) -> Holes<'b> {
        match buffer.get_mut(..self.len) {
            Some(datagram) if self.has_holes => Holes::of(datagram),
            _ => Holes::of(&mut []),
        }
    }
}

impl<'m> Node<'m> {
    /// Makes a node in `memory`, whose former contents are lost. The seed must come from a source of entropy and never be
    /// used twice: nonces and tokens follow from it.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting makes no sense or does not fit the memory.
    pub fn new(id: NodeId, config: &Config, seed: &[u8; 32], memory: Memory<'m>) -> Result<Self, ConfigError> {
        if seed.iter().all(|&byte| byte == 0) {
            return Err(ConfigError::ZeroSeed);
        }
        let settings = Settings::new(config)?;
        memory.accepts(&settings)?;
        // A seed is two keys.
        let ([nonce_key, token_key], []) = seed.as_chunks() else { return Err(ConfigError::ZeroSeed) };
        let mut memory = memory;
        let tokens = TokenKey(config.token_secret.unwrap_or(*token_key));
        memory.initialise(id, settings, tokens, Random { key: *nonce_key, counter: 0 });
        Ok(Self { memory })
    }

    /// The node that lives in `memory`, or `None` when none was made there or the slices are not the same. The slices of
    /// operations, candidates and items may have grown at their ends, in proportion, and so may those of rows and contacts.
    pub fn resume(memory: Memory<'m>) -> Option<Self> {
        let mut memory = memory;
        if memory.is_initialised() { Some(Self { memory }) } else { None }
    }

    /// The node that lives in `memory`, which the caller knows to be its own.
    #[cfg(feature = "alloc")]
    pub(crate) fn over(memory: Memory<'m>) -> Self {
        Self { memory }
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.memory.head.id
    }

    /// What it counted.
    pub fn stats(&self) -> &Stats {
        &self.memory.head.stats
    }

    /// Largest value that it takes, in bytes.
    pub fn value_max(&self) -> u32 {
        self.memory.head.settings.value_max
    }

    /// Contacts per bucket, and holders per value.
    pub fn k(&self) -> usize {
        self.memory.head.settings.k.into()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let head = &self.memory.head;
        let contacts = self.memory.contacts.iter().filter(|slot| slot.may_live()).count();
        Status {
            id: head.id,
            contacts,
            buckets: head.depth.into(),
            operations: self.memory.operations.iter().filter(|operation| !operation.is_free()).count(),
            transfers: self.memory.transfers.iter().filter(|transfer| !transfer.is_free()).count(),
            observed: head.observed.confirmed(contacts),
            duplicate: self.duplicate(),
        }
    }

    /// Everyone in the routing table, also those that have fallen silent and that nobody has replaced.
    pub fn contacts(&self) -> impl Iterator<Item = KnownContact> {
        let (own, last) = (self.memory.head.id, usize::from(self.memory.head.depth).saturating_sub(1));
        self.memory.contacts.iter().filter(|slot| slot.is_live()).map(move |slot| KnownContact {
            contact: slot.contact,
            row: own.as_key().shared_bits(slot.contact.id.as_key()).min(last),
            via: slot.via,
            rtt: slot.rtt.smoothed_us().map(|us| Duration::from_micros(us.into())),
            seen: slot.seen,
            failures: slot.failures,
            path: slot.path.limits(),
        })
    }

    /// Takes in a contact that another worker of this node has verified: through which address it was heard, and the round-trip
    /// time that was measured.
    pub fn introduce(&mut self, now: Instant, contact: &Contact, via: Via, rtt: Option<Duration>) {
        let rtt_us = rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
        self.admit(now, contact, via, rtt_us);
    }

    /// Writes the known contacts nearest to `target` to `out`, nearest first, and says how many.
    pub fn closest(&mut self, target: &Key, out: &mut [Contact]) -> usize {
        let mut slots = [0; 64];
        let wanted = out.len().min(slots.len());
        let found = self.memory.nearest_of_all(target, slots.get_mut(..wanted).unwrap_or_default());
        for (to, from) in out.iter_mut().zip(found) {
            if let Some(contact) = self.memory.contact(*from) {
                *to = *contact;
            }
        }
        found.len()
    }

    /// How an operation goes; `None` once its last event was polled.
    pub fn progress(&self, operation: OperationId) -> Option<Trace<'_>> {
        let index = usize::from(operation.index);
        let slot = self.memory.operations.get(index)?;
        let alive = !slot.is_free() && slot.generation == operation.generation;
        alive.then(|| Trace { operation: slot, candidates: self.memory.candidates_of(index) })
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(at, _)| at)
    }

    /// What the next timeout is about, for those who wonder why a node wakes.
    pub fn timeout_reason(&self) -> Option<&'static str> {
        self.next_deadline().map(|(_, slot)| match slot {
            Slot::Upkeep => "upkeep of the routing table",
            Slot::Transfer(_) => "a value that is being pulled",
            Slot::Operation(_) => "an operation",
        })
    }

    pub(crate) fn next_deadline(&self) -> Option<(Instant, Slot)> {
        let memory = &self.memory;
        crate::schedule::earliest(&memory.head.schedule, &memory.head.upkeep, memory.transfers, memory.operations)
    }

    /// The next datagram to send, written to `out`, which should have room for [`DATAGRAM_MAX`] bytes. Call it until it
    /// answers `None`, after anything else was called.
    ///
    /// [`DATAGRAM_MAX`]: kad_wire::limits::DATAGRAM_MAX
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        while let Some(slot) = self.memory.schedule().pop_ready() {
            let transmit = match slot {
                Slot::Upkeep => self.transmit_probe(now, out),
                Slot::Transfer(index) => self.transmit_pull(now, index, out),
                Slot::Operation(index) => self.transmit_operation(now, index, out),
            };
            match slot {
                Slot::Upkeep => self.settle_upkeep(),
                Slot::Transfer(index) => self.settle_transfer(index),
                Slot::Operation(index) => self.settle_operation(now, index),
            }
            if transmit.is_some() {
                self.sent();
                return transmit;
            }
        }
        None
    }

    /// Counts a datagram that was handed out.
    pub(crate) fn sent(&mut self) {
        count!(self.memory.head.stats, datagrams_out);
    }

    /// Counts a datagram from [`poll_transmit`](Self::poll_transmit) as dropped: the value that belonged in it is gone.
    pub fn transmit_dropped(&mut self) {
        let stats = &mut self.memory.head.stats;
        stats.datagrams_out = stats.datagrams_out.wrapping_sub(1);
        count!(stats, dropped_no_value);
    }

    /// Counts a ticket that came back.
    pub(crate) fn ticket_answered(&mut self) {
        count!(self.memory.head.stats, tickets_answered);
    }

    /// A reply that its buffer has no room for is dropped and counted.
    pub(crate) fn no_room(&mut self) -> usize {
        count!(self.memory.head.stats, dropped_no_room);
        0
    }
}
