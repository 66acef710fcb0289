//! What calls ask for, and what they answer.

use core::time::Duration;

use kad_core::{Held, Receipt as CoreReceipt};
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Contact, DeleteLock, Digest, ItemHeader, ItemStatus, ItemType, NodeId};

use crate::error::Error;

/// How many copies a store waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// Until every one of the k nearest nodes has answered or failed.
    All,
    /// Until so many other nodes hold the value, or no more can be reached. The rest goes on meanwhile.
    AtLeast(u8),
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

impl Default for StoreOptions {
    /// A raw value that lives for an hour; waits for three copies.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3600),
            item_type: ItemType::RAW,
            lock: DeleteLock::NONE,
            copies: Copies::AtLeast(3),
        }
    }
}

/// Checks a lifetime.
pub(crate) fn ttl_ms(ttl: Duration) -> Result<u32, Error> {
    let ttl_ms = u32::try_from(ttl.as_millis()).ok().filter(|ms| (1..=TTL_MAX_MS).contains(ms));
    ttl_ms.ok_or(Error::Lifetime)
}

/// What a store achieved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Receipt {
    /// Other nodes that hold the value and said so.
    pub copies: u8,
    /// Nodes that refused to hold it.
    pub refused: u8,
    /// Why the last of them did.
    pub refusal: Option<ItemStatus>,
    /// Nodes that were asked and did not answer.
    pub silent: u8,
}

impl Receipt {
    pub(crate) fn of(receipt: &CoreReceipt<'_>) -> Self {
        let mut summary = Self::default();
        let holders = receipt.items().next().map(|item| item.holders());
        for (_, held) in holders.into_iter().flatten() {
            match held {
                Held::Yes => summary.copies = summary.copies.saturating_add(1),
                Held::Refused(status) => {
                    summary.refused = summary.refused.saturating_add(1);
                    summary.refusal = Some(status);
                }
                Held::Silent => summary.silent = summary.silent.saturating_add(1),
                Held::Asked | Held::NotAsked => {}
            }
        }
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
