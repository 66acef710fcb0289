//! A value that this node pulls: as a reader, or as a holder to which it was offered.

use kad_wire::{Contact, Endpoint, Instant, ItemHeader, Key, MaxDatagram, NodeId, StoreMode, Token, TransactionId};

use crate::via::Via;
use crate::wake::{Link, Wake};
use crate::window::Window;

/// A holder gives a transfer up after this many round-trip times without a chunk.
pub(crate) const EMPTY_ROUNDS: u8 = 4;
/// Transfers that one source may have waiting at a holder.
pub(crate) const SLOTS_PER_SOURCE: usize = 8;
/// Slowest transfer that is worth waiting for, in bytes per second, on top of [`GRACE_US`].
const SLOWEST: u64 = 16 * 1024;
const GRACE_US: u64 = 2_000_000;

/// For whom a value is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// For an operation of this node that looks for it.
    Own { operation: u16, item: u8 },
    /// To keep it, for a publisher.
    Offered {
        /// Its place in the STORE.
        index: u8,
        mode: StoreMode,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Free,
    /// For a row of the arena. Meanwhile an offering source is asked to prove that it is there.
    Waiting,
    Pulling,
}

/// A place for a value on its way. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    pub(crate) wake: Wake,
    pub(crate) state: State,
    pub(crate) purpose: Purpose,
    /// Whom it is pulled from.
    pub(crate) source: Contact,
    /// Where it is pulled from: the source knows this node by that address.
    pub(crate) via: Via,
    /// The largest datagram that the source takes: it may have no room to write larger ones either.
    pub(crate) room: MaxDatagram,
    /// What the source gave this node, when it reads.
    pub(crate) token: Token,
    /// The STORE that offered the value, when this node holds.
    pub(crate) offer: TransactionId,
    /// The worker of the publisher that asked, for the final answer.
    pub(crate) lane: u8,
    pub(crate) key: Key,
    pub(crate) header: ItemHeader,
    /// When the header arrived: lifetimes count from here.
    pub(crate) received: Instant,
    /// When it is given up whatever happens. Never moved.
    pub(crate) deadline: Instant,
    pub(crate) row: Link,
    pub(crate) window: Window,
    pub(crate) tag: TransactionId,
    pub(crate) attempt: u8,
    pub(crate) sent: Instant,
    /// When what is on its way counts as lost; none while nothing is.
    pub(crate) round_ends: Instant,
    pub(crate) empty_rounds: u8,
    /// Whether the source has sent anything for this transfer.
    pub(crate) proven: bool,
    /// Whether a proof has been asked for and not come yet.
    pub(crate) proving: bool,
    /// Whether larger chunks than those of the window have been asked for: by rounds of which nothing came, or by a probe.
    pub(crate) larger: bool,
    /// Whether the window's chunks are smaller than those that this began with.
    pub(crate) shrunk: bool,
    /// Whether a whole chunk of the window has come.
    pub(crate) passed: bool,
    /// Bytes of a larger chunk to try beside the others; 0 for none.
    pub(crate) probe: u16,
    /// Next of the free list.
    pub(crate) next_free: Link,
}

impl Transfer {
    /// An unused place.
    pub const EMPTY: Self = Self {
        wake: Wake::EMPTY,
        state: State::Free,
        purpose: Purpose::Own { operation: 0, item: 0 },
        source: Contact { id: NodeId::from_bytes([0; 32]), endpoint: Endpoint::UNSPECIFIED },
        via: Via::ANY,
        room: MaxDatagram::SMALLEST,
        token: Token::NONE,
        offer: TransactionId::from_bits(0),
        lane: 0,
        key: Key::from_bytes([0; 32]),
        header: ItemHeader::EMPTY,
        received: Instant::ZERO,
        deadline: Instant::ZERO,
        row: Link::NONE,
        window: Window::EMPTY,
        tag: TransactionId::from_bits(0),
        attempt: 0,
        sent: Instant::ZERO,
        round_ends: Instant::ZERO,
        empty_rounds: 0,
        proven: false,
        proving: false,
        larger: false,
        shrunk: false,
        passed: false,
        probe: 0,
        next_free: Link::NONE,
    };

    /// When a transfer of `total_len` bytes that starts now is given up.
    pub(crate) fn deadline(now: Instant, total_len: u32) -> Instant {
        now.plus_micros(GRACE_US.saturating_add(u64::from(total_len).saturating_mul(1_000_000) / SLOWEST))
    }

    pub(crate) fn is_free(&self) -> bool {
        self.state == State::Free
    }

    pub(crate) fn is_offered(&self) -> bool {
        !self.is_free() && matches!(self.purpose, Purpose::Offered { .. })
    }

    /// Whether an answer with this tag from this address is for it.
    pub(crate) fn awaits(&self, tag: TransactionId, from: &Endpoint) -> bool {
        !self.is_free() && self.attempt > 0 && self.tag.same_exchange(tag) && self.source.endpoint == *from
    }

    /// What it would send now, if there is credit: chunks to pull and their length, or an empty pull as the source's proof.
    pub(crate) fn wants(&self, credit: u32) -> Option<(crate::window::Request, u16)> {
        match self.state {
            State::Free => None,
            State::Waiting if self.is_offered() && !self.proven && !self.proving => {
                Some((crate::window::Request { offset: 0, bitmap: 0 }, 256))
            }
            State::Waiting => None,
            // Before the others: it must not come when they have made the value whole.
            State::Pulling if self.probe != 0 => Some((crate::window::Request { offset: 0, bitmap: 1 }, self.probe)),
            State::Pulling => Some((self.window.next(credit)?, self.window.chunk_len())),
        }
    }

    /// Whether a chunk is one that was asked for and is larger than those of the window.
    pub(crate) fn is_larger(&self, chunk: &kad_wire::Chunk<'_>) -> bool {
        let end = u32::try_from(chunk.bytes.len()).ok().and_then(|len| chunk.offset.checked_add(len));
        let within = end.is_some_and(|end| end <= self.header.total_len);
        self.larger && within && chunk.bytes.len() > usize::from(self.window.chunk_len())
    }

    /// The next moment at which something must be done if nothing comes.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        if self.is_free() {
            return None;
        }
        let round = if self.round_ends == Instant::ZERO { self.deadline } else { self.round_ends };
        Some(round.min(self.deadline))
    }
}
