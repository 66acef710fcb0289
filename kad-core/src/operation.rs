//! What an operation remembers: its slot, its shortlist's places, its items. The decisions are in `lookup` and `delivery`.

use kad_wire::{
    Contact, Distance, Endpoint, Instant, ItemHeader, ItemStatus, Key, MaxDatagram, NodeId, StoreMode, Token,
    TransactionId, TypeMask,
};

use crate::coverage::Coverage;
use crate::via::Via;
use crate::wake::{Link, Wake};

/// What somebody wants of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Free,
    Ping,
    Join,
    FindNode,
    FindValue,
    Store,
    /// A bucket's lookup of a random id (paper, section 2.3): nobody waits for it.
    Refresh,
    Leave,
}

/// The two halves of an operation: finding the nodes nearest to the target, then giving them something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Walk,
    /// Items for a store, this node's token for a join, a farewell for a leave.
    Give,
}

/// What `poll_event` has to say of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pending {
    Nothing,
    Quorum,
    Final,
}

/// An operation's place. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub(crate) wake: Wake,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// Counts the operations that had this place, so that an old handle does not name a new one.
    pub(crate) generation: u16,
    pub(crate) target: Key,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// Candidates in the shortlist.
    pub(crate) known: u16,
    /// Addresses that it may have begun to ask, besides the first alpha: one more now and then.
    pub(crate) doors: u16,
    /// The usual round trip when the walk began; 0 if unknown, and where lookups do not look at round trips.
    pub(crate) usual_us: u32,
    pub(crate) requests: u16,
    /// The last answer brought nobody nearer than everyone known: it is time to ask the rest of the k nearest at once.
    pub(crate) stalled: bool,
    pub(crate) timed_out: bool,
    /// What it learned of the k nearest, once it is over.
    pub(crate) coverage: Coverage,
    /// The walk was over once with fewer than k answers, and began again from this node's own contacts.
    pub(crate) began_again: bool,
    pub(crate) pending: Pending,
    /// Next of the event list.
    pub(crate) next_event: Link,
    pub(crate) listed: bool,
    /// Next of the list of those that changed; `changed`: this is one of them.
    pub(crate) next_changed: Link,
    pub(crate) changed: bool,
    /// Next of the free list.
    pub(crate) next_free: Link,
    /// FIND_VALUE: which types, how old, all of them or the first.
    pub(crate) types: TypeMask,
    pub(crate) max_age_ms: u32,
    pub(crate) all: bool,
    pub(crate) values: u8,
    /// More values were seen than the operation has places for, or larger ones than this node takes.
    pub(crate) truncated: bool,
    /// STORE: why, how many items, how many copies of each are enough to say so.
    pub(crate) mode: StoreMode,
    pub(crate) items: u8,
    pub(crate) quorum: u8,
    /// STORE: only those that it was started with, not whom they name.
    pub(crate) given: bool,
    /// LEAVE: the slot of the table to go on from.
    pub(crate) cursor: u16,
}

impl Operation {
    /// An unused place.
    pub const EMPTY: Self = Self {
        wake: Wake::EMPTY,
        kind: Kind::Free,
        phase: Phase::Walk,
        generation: 0,
        target: Key::from_bytes([0; 32]),
        started: Instant::ZERO,
        deadline: Instant::ZERO,
        known: 0,
        doors: 0,
        usual_us: 0,
        requests: 0,
        stalled: false,
        timed_out: false,
        coverage: Coverage::NONE,
        began_again: false,
        pending: Pending::Nothing,
        next_event: Link::NONE,
        listed: false,
        next_changed: Link::NONE,
        changed: false,
        next_free: Link::NONE,
        types: TypeMask(0),
        max_age_ms: 0,
        all: false,
        values: 0,
        truncated: false,
        mode: StoreMode::Publish,
        items: 0,
        quorum: 0,
        given: false,
        cursor: 0,
    };

    pub(crate) fn is_free(&self) -> bool {
        self.kind == Kind::Free
    }

    /// Whether it still does something, rather than wait for its event to be polled.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_free() && self.pending != Pending::Final
    }

    /// One bit per item.
    pub(crate) fn item_mask(&self) -> u32 {
        match 1u32.checked_shl(self.items.into()) {
            Some(bit) => bit.wrapping_sub(1),
            None => u32::MAX,
        }
    }
}

/// How far the walk is with a candidate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Walk {
    /// The place is unused.
    #[doc(hidden)]
    Free,
    /// Known, not asked.
    Unasked,
    /// Asked; the answer has not come.
    Asked,
    /// It answered.
    Answered,
    /// It did not answer, or refused.
    Failed,
}

/// How far the second half is with a candidate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Give {
    /// Not chosen.
    Nothing,
    /// To be sent.
    Due,
    /// Sent; the answer has not come.
    Sent,
    /// The holder pulls what it was offered.
    Pulling,
    /// The holder is busy until the deadline.
    Waiting,
    Done,
    Failed,
}

/// An entry of a shortlist's order: the leading bits of a distance to the target, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rank(u64);

impl Rank {
    /// Bits of a place: a shortlist's fit a cell.
    const PLACE: u32 = u16::BITS;
    /// Bits of a distance that fit beside it.
    pub(crate) const BITS: u32 = u64::BITS - Self::PLACE;
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(distance: &Distance, place: u16) -> Self {
        Self(Self::leading(distance) << Self::PLACE | u64::from(place))
    }

    /// As much of a distance as a rank holds.
    pub(crate) fn leading(distance: &Distance) -> u64 {
        distance.leading() >> Self::PLACE
    }

    pub(crate) fn near(self) -> u64 {
        self.0 >> Self::PLACE
    }

    /// Leading bits that the target and whoever is here share, as far as a rank tells.
    pub(crate) fn shared_bits(self) -> u32 {
        self.near().leading_zeros().saturating_sub(Self::PLACE)
    }

    pub(crate) fn place(self) -> usize {
        usize::from(self.0 as u16)
    }
}

/// A place of a shortlist. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node. It stays where it is while the order
/// changes around it, because the tag of a request names it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub(crate) contact: Contact,
    pub(crate) walk: Walk,
    pub(crate) give: Give,
    /// The order of the shortlist, spread over its places: the n-th says who is n-th nearest.
    pub(crate) rank: Rank,
    /// A bootstrap address: whose it is shows in the answer.
    pub(crate) anonymous: bool,
    /// Past its first deadline: it no longer counts among alpha.
    pub(crate) late: bool,
    /// The request is to be sent again.
    pub(crate) resend: bool,
    pub(crate) attempts: u8,
    /// Hops from this node's own table.
    pub(crate) depth: u8,
    /// How many requests of the operation went out before this one's first, plus one.
    pub(crate) order: u16,
    pub(crate) room: MaxDatagram,
    /// Where it is asked from: through which address it answered, or what the table knew.
    pub(crate) via: Via,
    /// What it gave this node.
    pub(crate) token: Token,
    pub(crate) tag: TransactionId,
    pub(crate) sent: Instant,
    pub(crate) deadline: Instant,
    /// Its round trip in this operation; before it answers, that which the table knew, if lookups look at it; 0 if unknown.
    pub(crate) rtt_us: u32,
    /// STORE: items in the datagram that waits for an answer. FIND_VALUE: items that it says it has.
    pub(crate) carried: u32,
    /// STORE: items that it holds now.
    pub(crate) acked: u32,
    /// STORE: items that it refused. FIND_VALUE: items that could not be pulled from it.
    pub(crate) closed: u32,
    /// STORE: items that it pulls.
    pub(crate) pulling: u32,
    /// STORE: items of the datagram that waits for an answer that it is too busy for.
    pub(crate) busy: u32,
    /// STORE: until when it may put this node off, or pull; zero before the first. A holder that strings a store along must
    /// not decide how long the store takes.
    pub(crate) patience: Instant,
    /// STORE: why it last refused one, as a place in [`ItemStatus::ALL`] plus one; 0 for never. FIND_VALUE: how many parts of its
    /// list came.
    pub(crate) refusal_or_parts: u8,
    /// FIND_VALUE: where its list goes on.
    pub(crate) cursor: u32,
    /// FIND_VALUE: it is asked for headers only.
    pub(crate) names_only: bool,
    /// The size of the last attempt's datagram, or of its answer, in units of 16 bytes; 0 for any.
    pub(crate) limit: u8,
    /// How many of the attempts were larger, and how long they were, rounded up to units of 16 bytes.
    pub(crate) larger: u8,
    pub(crate) longest: u8,
    /// The next attempt does not wait for the answer to the first, which is larger than those that are known to pass.
    pub(crate) probes: bool,
    /// STORE: the datagrams of the large chunks that it pulls, in units of 16 bytes.
    pub(crate) pulled: u8,
}

impl Candidate {
    /// An unused place.
    pub const EMPTY: Self = Self {
        contact: Contact { id: NodeId::from_bytes([0; 32]), endpoint: Endpoint::UNSPECIFIED },
        walk: Walk::Free,
        give: Give::Nothing,
        rank: Rank::NONE,
        anonymous: false,
        late: false,
        resend: false,
        attempts: 0,
        depth: 0,
        order: 0,
        room: MaxDatagram::SMALLEST,
        via: Via::ANY,
        token: Token::NONE,
        tag: TransactionId::from_bits(0),
        sent: Instant::ZERO,
        deadline: Instant::ZERO,
        rtt_us: 0,
        carried: 0,
        acked: 0,
        closed: 0,
        pulling: 0,
        busy: 0,
        patience: Instant::ZERO,
        refusal_or_parts: 0,
        cursor: 0,
        names_only: false,
        limit: 0,
        larger: 0,
        longest: 0,
        probes: false,
        pulled: 0,
    };

    /// Whether a request to it waits for an answer.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.walk == Walk::Asked || self.give == Give::Sent
    }

    /// The round-trip time of its answer in this operation, in microseconds.
    pub(crate) fn answer_us(&self) -> Option<u32> {
        (self.walk == Walk::Answered && self.rtt_us > 0).then_some(self.rtt_us)
    }

    /// Notes why it refused an item; a status that this version does not know counts as unsupported.
    pub(crate) fn refused(&mut self, status: Option<ItemStatus>) {
        self.refusal_or_parts = (status.unwrap_or(ItemStatus::Unsupported) as u8).saturating_add(1);
    }

    /// Why it last refused an item.
    pub(crate) fn refusal(&self) -> Option<ItemStatus> {
        ItemStatus::ALL.get(usize::from(self.refusal_or_parts.checked_sub(1)?)).copied()
    }

    /// Whether an answer to its last request is still welcome: also one that comes after it was given up.
    pub(crate) fn is_awaited(&self) -> bool {
        let late = (self.walk == Walk::Failed && self.give == Give::Nothing) || self.give == Give::Failed;
        self.attempts > 0 && (self.is_in_flight() || self.give == Give::Pulling || late)
    }

    /// Bytes of the largest datagram that the last attempt allowed.
    pub(crate) fn size(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { usize::from(self.limit).saturating_mul(kad_wire::limits::ROOM_UNIT) }
    }

    /// The largest chunks to pull from it: also in an operation that knows more of the path than the table.
    pub(crate) fn pull_room(&self) -> MaxDatagram {
        if self.limit == 0 { self.room } else { self.room.min(MaxDatagram::of(self.size())) }
    }

    /// When something must be done about it if nothing comes.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        let timed = self.is_in_flight() || matches!(self.give, Give::Pulling | Give::Waiting);
        if timed && !self.resend { Some(self.deadline) } else { None }
    }
}

/// How far an operation is with one of its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ItemState {
    Free,
    /// STORE: to be given to holders.
    Held,
    /// FIND_VALUE: known by its header, to be pulled.
    Wanted,
    Pulling,
    Delivered,
    /// Some node says that it has it, and it could not be pulled from any.
    Failed,
}

/// A place for an item of an operation: what is stored, or what was found. Opaque: made by [`EMPTY`](Self::EMPTY), used by
/// the node.
#[derive(Clone, Copy, Debug)]
pub struct ItemSlot {
    pub(crate) state: ItemState,
    pub(crate) key: Key,
    pub(crate) header: ItemHeader,
    /// When the header was true: lifetimes count from here.
    pub(crate) received: Instant,
    /// STORE: holders that have it.
    pub(crate) copies: u8,
}

impl ItemSlot {
    /// An unused place.
    pub const EMPTY: Self = Self {
        state: ItemState::Free,
        key: Key::from_bytes([0; 32]),
        header: ItemHeader::EMPTY,
        received: Instant::ZERO,
        copies: 0,
    };

    /// The header as it is when it arrives: its life has passed until then at the latest, its age is what is to be expected.
    /// Rounded so that a life only shrinks.
    pub(crate) fn header_at(&self, expected: Instant, latest: Instant) -> ItemHeader {
        let elapsed_ms =
            |until: Instant| u32::try_from(until.micros_since(self.received).div_ceil(1000)).unwrap_or(u32::MAX);
        ItemHeader {
            ttl_ms: self.header.ttl_ms.saturating_sub(elapsed_ms(latest)),
            age_ms: self.header.age_ms.saturating_add(elapsed_ms(expected)),
            ..self.header
        }
    }
}
