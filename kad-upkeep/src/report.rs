//! What calls ask for, and what they answer.

use core::time::Duration;

use kad_core::{Held, Receipt as CoreReceipt};
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Contact, DeleteLock, Digest, ItemHeader, ItemStatus, ItemType, NodeId};

use crate::error::Error;

/// How many copies a store asks for, and waits for. A store that does not get them ends with
/// [`Error::TooFewCopies`]; what it began goes on all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// Asks all of the k nearest nodes, and waits until each has answered or failed. At least one must hold the value, unless
    /// this node is [alone](Self::UpTo).
    All,
    /// So many other nodes must hold the value. The rest goes on meanwhile. 0: this node's own store is enough.
    AtLeast(u8),
    /// The same, but where there are fewer other nodes, all of them must hold it. None is enough for a node that is alone: one
    /// that was given no network to join, and has met no other node.
    UpTo(u8),
}

impl Copies {
    /// What a store asks for if not told otherwise.
    pub const DEFAULT: Self = Self::UpTo(3);

    /// Returns the copies after which the caller need not wait any longer; 0 for all.
    pub const fn quorum(self) -> u8 {
        match self {
            Self::All => 0,
            Self::AtLeast(copies) | Self::UpTo(copies) => copies,
        }
    }

    /// Returns whether a store achieved this: so many other nodes hold the value, each of the k nearest does (`complete`), every node
    /// that was asked has answered or failed (`ended`), there are no other nodes (`is_alone`).
    pub const fn is_reached(self, elsewhere: usize, complete: bool, ended: bool, is_alone: bool) -> bool {
        let any = elsewhere > 0 || is_alone;
        match self {
            Self::All => any && ended,
            Self::AtLeast(0) | Self::UpTo(0) => true,
            Self::AtLeast(count) => elsewhere >= count as usize,
            Self::UpTo(count) => elsewhere >= count as usize || (any && complete),
        }
    }

    /// Returns whether this node's own store is enough: then the caller need not wait at all.
    pub const fn is_here_enough(self) -> bool {
        matches!(self, Self::AtLeast(0) | Self::UpTo(0))
    }
}

/// How a value is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// How long it lives: at least a millisecond, at most seven days.
    pub ttl: Duration,
    /// What kind of record it is.
    pub item_type: ItemType,
    /// Who may change it.
    pub lock: DeleteLock,
    /// How many copies to wait for.
    pub copies: Copies,
}

impl StoreOptions {
    /// A raw value that lives for an hour; waits for three copies, or as many as there are other nodes.
    pub const DEFAULT: Self = Self {
        ttl: Duration::from_secs(3600),
        item_type: ItemType::RAW,
        lock: DeleteLock::NONE,
        copies: Copies::DEFAULT,
    };
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Returns a lifetime in milliseconds.
///
/// # Errors
/// [`Error::Lifetime`] if it is shorter than a millisecond or longer than seven days.
pub fn lifetime_ms(ttl: Duration) -> Result<u32, Error> {
    let ttl_ms = u32::try_from(ttl.as_millis()).ok().filter(|ms| (1..=TTL_MAX_MS).contains(ms));
    ttl_ms.ok_or(Error::Lifetime)
}

/// What a store achieved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Receipt {
    /// Nodes that hold the value and said so, this one included if it serves what it stores.
    pub copies: u8,
    /// Of these, other nodes.
    pub elsewhere: u8,
    /// Nodes that refused to hold it.
    pub refused: u8,
    /// Why the last of them did.
    pub refusal: Option<ItemStatus>,
    /// Nodes that were asked and did not answer.
    pub silent: u8,
    /// Whether all of the k nearest nodes that are known hold the value.
    pub complete: bool,
}

impl Receipt {
    pub(crate) fn of(receipt: &CoreReceipt<'_>, serves: bool, ended: bool) -> Self {
        let mut summary = Self::default();
        let Some(item) = receipt.items().next() else { return summary };
        for (_, held) in item.holders() {
            match held {
                Held::Yes => summary.elsewhere = summary.elsewhere.saturating_add(1),
                Held::Refused(status) => {
                    summary.refused = summary.refused.saturating_add(1);
                    summary.refusal = Some(status);
                }
                Held::Silent => summary.silent = summary.silent.saturating_add(1),
                Held::Asked | Held::NotAsked => {}
            }
        }
        summary.copies = summary.elsewhere.saturating_add(u8::from(serves));
        summary.complete = ended && item.is_complete();
        summary
    }
}

/// A value that was found, but for its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its length in bytes.
    pub len: usize,
    /// What kind of record it is.
    pub item_type: ItemType,
    /// Its identity among the values of its key.
    pub digest: Digest,
    /// How much longer it lives.
    pub ttl: Duration,
    /// How long ago it was published.
    pub age: Duration,
    /// Who supplied it; this node itself if it held it.
    pub origin: NodeId,
}

impl Found {
    pub(crate) fn of(header: &ItemHeader, origin: NodeId) -> Self {
        Self {
            len: header.total_len as usize,
            item_type: header.item_type,
            digest: header.digest,
            ttl: Duration::from_millis(header.ttl_ms.into()),
            age: Duration::from_millis(header.age_ms.into()),
            origin,
        }
    }
}

/// An answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pong {
    /// Who answered.
    pub contact: Contact,
    /// How long it took.
    pub rtt: Duration,
}
