//! What the node hands out when its store must be asked, and how the answer becomes a datagram.
//!
//! Tickets hold nothing of the node. Dropping one is one lost packet: the requester asks again.

use core::net::SocketAddr;

use kad_wire::limits::{CHUNK_HEAD_LEN, PULL_CHUNKS};
use kad_wire::{
    Chunk, Contact, Digest, Endpoint, Envelope, Instant, ItemHeader, Key, Prefix, Query, ReplyHead, StoreItems,
    StoreMode, ValueItems,
};

use crate::config::Families;
use crate::event::OperationId;
use crate::via::Via;

/// To whom, and in which words, a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) contact: Contact,
    /// The address of this node that it asked.
    pub(crate) via: Via,
    pub(crate) envelope: Envelope,
    pub(crate) head: ReplyHead,
    /// Largest datagram that it takes, in bytes.
    pub(crate) room: usize,
    /// Largest reply in bytes.
    pub(crate) budget: usize,
}

impl Asker {
    pub(crate) fn to(&self) -> SocketAddr {
        self.contact.endpoint.into()
    }
}

/// A FIND_VALUE: look into the store, then [`answer_find`](crate::Node::answer_find).
#[derive(Clone, Copy)]
#[must_use = "a dropped ticket is a lost packet"]
pub struct FindTicket {
    pub(crate) asker: Asker,
    pub(crate) query: Query,
    pub(crate) limit: u8,
    pub(crate) headers_only: bool,
    pub(crate) families: Families,
}

impl FindTicket {
    /// What is asked for.
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// Who asks.
    pub fn to(&self) -> SocketAddr {
        self.asker.to()
    }
}

/// A PULL: send the chunks one by one.
#[derive(Clone, Copy)]
#[must_use = "a dropped ticket is a lost packet"]
pub struct PullTicket {
    pub(crate) to: Endpoint,
    pub(crate) prefix: Prefix,
    pub(crate) key: Key,
    pub(crate) digest: Digest,
    pub(crate) chunk_len: u16,
    pub(crate) offset: u32,
    pub(crate) bitmap: u64,
    /// An empty pull: the answer is an empty chunk.
    pub(crate) proof: bool,
}

/// A chunk whose head is written: the value's bytes from `offset` on go to `buffer[head_len..]`, at most `len` of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkHole {
    /// Bytes of the head.
    pub head_len: usize,
    /// From where in the value.
    pub offset: u32,
    /// How many bytes at most.
    pub len: usize,
}

impl PullTicket {
    /// Whose value.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Which value.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Who pulls.
    pub fn to(&self) -> SocketAddr {
        self.to.into()
    }

    /// Chunks left.
    pub const fn remaining(&self) -> u32 {
        self.bitmap.count_ones()
    }

    /// Writes the head of the next chunk to `out`. `None`: that was all. Stop when the store has no byte for a hole that
    /// wants some; a hole of no bytes is a sign of life that was asked for, and is sent as it is.
    pub fn next_chunk(&mut self, out: &mut [u8]) -> Option<ChunkHole> {
        if self.proof {
            self.proof = false;
            let head_len = Chunk::encode_head(&self.prefix, 0, out)?;
            return Some(ChunkHole { head_len, offset: 0, len: 0 });
        }
        let bit = self.bitmap.trailing_zeros();
        if bit >= PULL_CHUNKS {
            return None;
        }
        self.bitmap &= self.bitmap.wrapping_sub(1);
        let offset = u32::from(self.chunk_len).checked_mul(bit)?.checked_add(self.offset)?;
        let head_len = Chunk::encode_head(&self.prefix, offset, out)?;
        let len = usize::from(self.chunk_len).min(out.len().saturating_sub(head_len));
        Some(ChunkHole { head_len, offset, len })
    }

    pub(crate) const fn len_fits(chunk_len: u16, room: usize) -> bool {
        chunk_len as usize >= 256 && chunk_len as usize + CHUNK_HEAD_LEN <= room
    }
}

/// A STORE: ask the store about each item, then finish the [answer](crate::Node::answer_store).
#[derive(Clone, Copy)]
#[must_use = "a dropped ticket is a lost packet"]
pub struct StoreTicket<'d> {
    pub(crate) asker: Asker,
    pub(crate) mode: StoreMode,
    pub(crate) received: Instant,
    pub(crate) items: StoreItems<'d>,
}

impl StoreTicket<'_> {
    /// Who stores.
    pub fn to(&self) -> SocketAddr {
        self.asker.to()
    }
}

/// A value that was offered and pulled: ask the store, then [`answer_pulled`](crate::Node::answer_pulled).
#[derive(Clone, Copy)]
#[must_use = "a dropped ticket is a lost packet"]
pub struct PulledTicket {
    pub(crate) to: Endpoint,
    pub(crate) envelope: Envelope,
    pub(crate) head: ReplyHead,
    pub(crate) index: u8,
}

impl PulledTicket {
    /// Who stores.
    pub fn to(&self) -> SocketAddr {
        self.to.into()
    }
}

/// Values that a [`find_value`](crate::Node::find_value) was looking for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'n, 'd> {
    /// Which operation.
    pub operation: OperationId,
    /// Who had them.
    pub origin: Contact,
    /// Those of a datagram, and which of them are meant, one bit each.
    pub(crate) inline: (ValueItems<'d>, u32),
    pub(crate) pulled: Option<(ItemHeader, &'n [u8])>,
}

impl Values<'_, '_> {
    /// Each value with its header, as it was when it arrived. All are checked and none came before.
    pub fn iter(&self) -> impl Iterator<Item = (ItemHeader, &[u8])> {
        let (items, mask) = self.inline;
        let fresh = move |index: usize| mask & 1u32.checked_shl(index as u32).unwrap_or(0) != 0;
        let inline = items.iter().enumerate().filter(move |(index, _)| fresh(*index));
        inline.map(|(_, item)| (item.header, item.inline)).chain(self.pulled)
    }
}
