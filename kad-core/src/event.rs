//! What became of operations.

use core::time::Duration;

use kad_wire::{Contact, Digest, Endpoint, Instant, ItemStatus, Key, NodeId, TypeMask};

use crate::coverage::{Coverage, named};
use crate::lookup::nearest;
use crate::operation::{Candidate, Give, ItemSlot, ItemState, Operation, Walk};
use crate::via::Via;

/// Names an operation until its last event has been polled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OperationId {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

impl OperationId {
    /// The id as a number, for logs and recordings.
    pub const fn to_bits(self) -> u32 {
        (self.index as u32) << 16 | self.generation as u32
    }

    /// The id with this number, which [`to_bits`](Self::to_bits) gave.
    pub const fn from_bits(bits: u32) -> Self {
        Self { index: (bits >> 16) as u16, generation: bits as u16 }
    }
}

/// Why an operation could not be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// Every place for an operation is taken. Try again when one has ended, or give the node more.
    NoSlot,
    /// More items than an operation of this node has places for, none, or one twice.
    Items,
    /// An item's lifetime is zero or longer than the network's longest.
    Lifetime,
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoSlot => "every place for an operation is taken",
            Self::Items => "an operation handles at least one item, each once, and no more than it has places for",
            Self::Lifetime => "a lifetime must be at least a millisecond and at most seven days",
        })
    }
}

impl core::error::Error for StartError {}

/// Which values to look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FindOptions {
    /// Which types of items.
    pub types: TypeMask,
    /// Only values published at most this long ago.
    pub max_age: Option<Duration>,
    /// All values that the k closest nodes have, rather than the first that is found.
    pub all: bool,
}

impl FindOptions {
    /// The first value of any type and age.
    pub const FIRST: Self = Self { types: TypeMask::VALUES, max_age: None, all: false };
    /// Every value of any type and age.
    pub const ALL: Self = Self { all: true, ..Self::FIRST };
}

/// What became of an operation. Each ends with exactly one event, after which its [`OperationId`] names nothing; only
/// [`Quorum`](Self::Quorum) comes before.
#[derive(Debug)]
pub enum Event<'n> {
    /// A [`ping`](crate::Node::ping) ended.
    Pinged {
        /// Which operation.
        operation: OperationId,
        /// Who answered and after how long; `None` when nobody did.
        answer: Option<(Contact, Duration)>,
    },
    /// A [`join`](crate::Node::join) ended.
    Joined {
        /// Which operation.
        operation: OperationId,
        /// Nodes that answered: none means that the network was not reached.
        answered: usize,
    },
    /// A [`find_node`](crate::Node::find_node) ended.
    FoundNodes {
        /// Which operation.
        operation: OperationId,
        /// How the lookup went, with the closest nodes.
        trace: Trace<'n>,
    },
    /// A [`find_value`](crate::Node::find_value) ended. Its values came as [`Received::Values`](crate::Received::Values).
    FoundValues {
        /// Which operation.
        operation: OperationId,
        /// How many.
        values: usize,
        /// There are more than this operation had places for, or larger ones than this node takes.
        truncated: bool,
        /// What can be said of values that did not come.
        end: FindEnd,
        /// How the lookup went.
        trace: Trace<'n>,
        /// Which of the nodes that answered had what.
        holders: Holders<'n>,
    },
    /// A [`store`](crate::Node::store) has as many copies as were asked for. It goes on.
    Quorum {
        /// Which operation.
        operation: OperationId,
        /// Who holds what so far.
        receipt: Receipt<'n>,
    },
    /// A [`store`](crate::Node::store) ended.
    Stored {
        /// Which operation.
        operation: OperationId,
        /// Who holds what.
        receipt: Receipt<'n>,
    },
    /// A [`leave`](crate::Node::leave) ended: every contact was told.
    Left {
        /// Which operation.
        operation: OperationId,
    },
}

/// How a find ended: whether a value that did not come does not exist. "No such value" is the truth after
/// [`Complete`](Self::Complete), and after [`Alone`](Self::Alone) at a node that has no network to reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FindEnd {
    /// The first value came, where that was wanted; or [enough](Coverage::is_enough) of the nearest nodes answered, and all
    /// that they announced came.
    Complete,
    /// This node knows no other.
    Alone,
    /// Other nodes are known, and none answered.
    Unreachable,
    /// Fewer of the nearest nodes answered than would be [enough](Coverage::is_enough).
    TooFewAnswered,
    /// Nodes announced this many values that could not be fetched from them.
    Unfetched(usize),
    /// There are more values than the operation had places for, or larger ones than this node takes.
    Truncated,
    /// The deadline ended it.
    TimedOut,
}

impl Event<'_> {
    /// Which operation this is about.
    pub const fn operation(&self) -> OperationId {
        match self {
            Self::Pinged { operation, .. }
            | Self::Joined { operation, .. }
            | Self::FoundNodes { operation, .. }
            | Self::FoundValues { operation, .. }
            | Self::Quorum { operation, .. }
            | Self::Stored { operation, .. }
            | Self::Left { operation } => *operation,
        }
    }
}

/// How a lookup went, or goes.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'n> {
    pub(crate) operation: &'n Operation,
    pub(crate) candidates: &'n [Candidate],
}

/// One candidate of a lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Who; the id of a bootstrap address that has not answered is all zeros.
    pub contact: Contact,
    /// How far the lookup is with it.
    pub state: Walk,
    /// Hops from this node's own table.
    pub depth: u8,
    /// The how many-th that was asked, from 1; 0 when it was not.
    pub order: u16,
    /// Its round-trip time in this lookup, if it answered.
    pub rtt: Option<Duration>,
    /// Whether it had a value that was looked for.
    pub had_value: bool,
}

impl<'n> Trace<'n> {
    /// What was looked for.
    pub const fn target(&self) -> &'n Key {
        &self.operation.target
    }

    /// The candidates, nearest to the target first.
    pub fn steps(&self) -> impl Iterator<Item = Step> + use<'n> {
        nearest(self.operation, self.candidates).map(|(_, candidate)| Step {
            contact: candidate.contact,
            state: candidate.walk,
            depth: candidate.depth,
            order: candidate.order,
            rtt: candidate.answer_us().map(|rtt_us| Duration::from_micros(rtt_us.into())),
            had_value: candidate.carried != 0 && candidate.give == Give::Nothing,
        })
    }

    /// The nodes that answered, nearest to the target first.
    pub fn closest(&self) -> impl Iterator<Item = Contact> + use<'n> {
        let steps = nearest(self.operation, self.candidates);
        steps.filter(|(_, candidate)| candidate.walk == Walk::Answered).map(|(_, candidate)| candidate.contact)
    }

    /// Requests sent, repeated ones included.
    pub fn requests(&self) -> usize {
        self.operation.requests.into()
    }

    /// Most hops that any node which answered is away from this node's own table.
    pub fn hops(&self) -> u8 {
        let answered = self.candidates.iter().filter(|candidate| candidate.walk == Walk::Answered);
        answered.map(|candidate| candidate.depth.saturating_add(1)).max().unwrap_or(0)
    }

    /// How long it took, or has taken so far.
    pub fn duration(&self, now: Instant) -> Duration {
        now.saturating_since(self.operation.started)
    }

    /// What was learned of the nodes nearest to the target, once the operation has ended.
    pub const fn coverage(&self) -> Coverage {
        self.operation.coverage
    }

    /// Whether it was ended by its deadline.
    pub const fn timed_out(&self) -> bool {
        self.operation.timed_out
    }
}

/// Who had the values that a find came across.
#[derive(Clone, Copy, Debug)]
pub struct Holders<'n> {
    pub(crate) trace: Trace<'n>,
    pub(crate) items: &'n [ItemSlot],
}

impl<'n> Holders<'n> {
    /// Each item that some node named, with how many nodes did. Only a find of all values asks all k nearest nodes.
    pub fn counts(&self) -> impl Iterator<Item = (Digest, usize)> + use<'n> {
        let trace = self.trace;
        let named = self.items.iter().enumerate().filter(|(_, slot)| slot.state != ItemState::Free);
        named.map(move |(index, slot)| {
            let bit = 1u32.checked_shl(index as u32).unwrap_or(0);
            let had = |candidate: &Candidate| candidate.walk == Walk::Answered && candidate.carried & bit != 0;
            let holders = nearest(trace.operation, trace.candidates).filter(|(_, candidate)| had(candidate)).count();
            (slot.header.digest, holders)
        })
    }
}

/// What a store achieved.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'n> {
    pub(crate) trace: Trace<'n>,
    pub(crate) items: &'n [ItemSlot],
    /// Holders per item, and this node if it is one of them where it is near enough.
    pub(crate) k: usize,
    pub(crate) own: Option<NodeId>,
}

/// What became of one item at one node that was asked to hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// It has it.
    Yes,
    /// It refused.
    Refused(ItemStatus),
    /// It was asked as often as is usual, and did not answer.
    Silent,
    /// It was asked, and had not answered yet.
    Asked,
    /// It was not asked yet.
    NotAsked,
}

/// One item of a store.
#[derive(Clone, Copy, Debug)]
pub struct ItemReceipt<'n> {
    /// The item's key.
    pub key: Key,
    /// Its identity among the items of its key.
    pub digest: Digest,
    /// Other nodes that hold it.
    pub copies: usize,
    bit: u32,
    receipt: Receipt<'n>,
}

impl<'n> ItemReceipt<'n> {
    /// Everyone who was chosen to hold it, nearest to the key first, with what became of it there.
    pub fn holders(&self) -> impl Iterator<Item = (Contact, Held)> + use<'n> {
        let (trace, bit) = (self.receipt.trace, self.bit);
        let chosen =
            nearest(trace.operation, trace.candidates).filter(|(_, candidate)| candidate.give != Give::Nothing);
        chosen.map(move |(_, candidate)| (candidate.contact, held(candidate, bit)))
    }
}

impl ItemReceipt<'_> {
    /// Returns whether each of the k nearest nodes that are known holds it. A node that failed before it could be offered the
    /// item counts: it should hold it, and does not.
    pub fn is_complete(&self) -> bool {
        let Receipt { trace, k, own, .. } = self.receipt;
        let target = trace.operation.target;
        let own = own.map(|own| own.distance(&target));
        let mut wanted = named(trace.operation, trace.candidates).enumerate().filter(|(rank, candidate)| {
            let nearer_self = own.is_some_and(|own| own < candidate.contact.id.distance(&target));
            rank.saturating_add(usize::from(nearer_self)) < k
        });
        trace.operation.coverage.silent == 0 && wanted.all(|(_, candidate)| candidate.acked & self.bit != 0)
    }
}

fn held(candidate: &Candidate, bit: u32) -> Held {
    let busy = matches!(candidate.give, Give::Waiting | Give::Failed) && candidate.refusal() == Some(ItemStatus::Busy);
    match candidate.refusal() {
        _ if candidate.acked & bit != 0 => Held::Yes,
        Some(status) if candidate.closed & bit != 0 || busy => Held::Refused(status),
        _ => match candidate.give {
            Give::Nothing | Give::Due => Held::NotAsked,
            Give::Sent | Give::Pulling | Give::Waiting => Held::Asked,
            Give::Done | Give::Failed => Held::Silent,
        },
    }
}

impl<'n> Receipt<'n> {
    /// Fewest copies on other nodes that any of the items has.
    pub fn copies(&self) -> usize {
        self.items().map(|item| item.copies).min().unwrap_or(0)
    }

    /// Each item with what became of it.
    pub fn items(&self) -> impl Iterator<Item = ItemReceipt<'n>> + use<'n> {
        let receipt = *self;
        let held = self.items.iter().enumerate().filter(|(_, slot)| slot.state == ItemState::Held);
        held.map(move |(index, slot)| ItemReceipt {
            key: slot.key,
            digest: slot.header.digest,
            copies: slot.copies.into(),
            bit: 1u32.checked_shl(index as u32).unwrap_or(0),
            receipt,
        })
    }

    /// The nodes near the items that did not answer the lookup, and so were offered nothing.
    pub fn unreached(&self) -> impl Iterator<Item = Contact> + use<'n> {
        let near = named(self.trace.operation, self.trace.candidates).take(self.k);
        let failed = near.filter(|candidate| candidate.walk == Walk::Failed && candidate.give == Give::Nothing);
        failed.map(|candidate| candidate.contact)
    }

    /// How the lookup before it went.
    pub const fn trace(&self) -> Trace<'n> {
        self.trace
    }
}

/// A node of the routing table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownContact {
    /// Who and where.
    pub contact: Contact,
    /// Row of the table: leading bits shared with this node, as far as the table tells them apart.
    pub row: usize,
    /// Through which of this node's addresses it was heard last.
    pub via: Via,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// When it last proved to be there.
    pub seen: Instant,
    /// A request that it did not answer, and checks in a row since. With one it is neither used nor told to others.
    pub failures: u8,
    /// Bytes of the largest datagrams that pass, where that is known to be few.
    pub path: PathLimits,
}

/// Bytes of the largest datagrams that pass on the path to a node, as far as that is known to be fewer than usual.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PathLimits {
    /// To it.
    pub out: Option<u16>,
    /// From it.
    pub into: Option<u16>,
}

/// Another node with this node's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// Where it is.
    pub endpoint: Endpoint,
    /// When it last answered.
    pub seen: Instant,
}

/// Everything about this node that is not a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Who it is.
    pub id: NodeId,
    /// Contacts in the routing table that are not known to be silent.
    pub contacts: usize,
    /// Rows of the table in use.
    pub buckets: usize,
    /// Operations under way.
    pub operations: usize,
    /// Values being pulled, or waiting for it.
    pub transfers: usize,
    /// Where others see this node: the address that three of those who answered last agree on, or all if fewer are known.
    pub observed: Option<Endpoint>,
    /// Another node with this node's id: a copied data directory, say. Others reach one of the two at a time.
    pub duplicate: Option<Duplicate>,
}
