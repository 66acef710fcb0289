//! What the node hands out when its store must be asked, and how the answer becomes a datagram.
//!
//! Tickets hold nothing of the node. Dropping one is one lost packet: the requester asks again.

use core::net::SocketAddr;

use kad_wire::limits::{CHUNK_HEAD_LEN, PULL_CHUNKS, TTL_MAX_MS};
use kad_wire::{
    Answer, Chunk, Contact, Digest, Endpoint, Envelope, Instant, ItemHeader, ItemStatus, Key, Offer, Prefix, Query,
    ReplyHead, Sink, StoreItem, StoreItems, StoreMode, StoredWriter, ValueItems, ValueWriter,
};

use crate::config::Families;
use crate::event::OperationId;
use crate::node::Node;

/// To whom, and in which words, a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) contact: Contact,
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

/// A FIND_VALUE: look into the store, then [`answer_find`](Node::answer_find).
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

/// The answer to a FIND_VALUE while it is being written.
pub struct FindAnswer<'a, 'm, 'b> {
    pub(crate) node: &'a mut Node<'m>,
    pub(crate) ticket: FindTicket,
    pub(crate) writer: Option<ValueWriter<'b>>,
}

impl Sink for FindAnswer<'_, '_, '_> {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        let writer = self.writer.as_mut()?;
        let (room, len) = (writer.inline_room()?, header.total_len as usize);
        let fits = len <= room && !self.ticket.headers_only;
        // What would have fitted an empty datagram is better off whole in the next one than pulled.
        let capacity = self.ticket.asker.budget.saturating_sub(kad_wire::limits::VALUE_HEAD_LEN);
        let whole_elsewhere = len <= capacity.saturating_sub(kad_wire::limits::ITEM_HEADER_LEN);
        if !fits && !self.ticket.headers_only && whole_elsewhere && writer.items() > 0 {
            return None;
        }
        writer.push(&header.with_inline(if fits { len as u16 } else { 0 }))
    }
}

impl FindAnswer<'_, '_, '_> {
    /// Adds the contacts nearest to the key and answers with the datagram's length; 0 when nothing may be sent.
    ///
    /// Before, every item that the store has was [pushed](Sink::push): whole where it fits, its header alone where it must be
    /// pulled. `total` is the number of items that match; `next_cursor` says where the list goes on, 0 when it does not.
    pub fn finish(self, total: usize, next_cursor: u32) -> usize {
        let Self { node, ticket, writer } = self;
        match writer {
            Some(mut writer) => {
                writer.set_total(u16::try_from(total).unwrap_or(u16::MAX), next_cursor);
                node.finish_value(&ticket, writer)
            }
            None => node.no_room(),
        }
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

/// A STORE: ask the store about each item, then finish the [answer](Node::answer_store).
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

/// The answer to a STORE while it is being written.
pub struct StoreAnswer<'a, 'm, 'd, 'b> {
    pub(crate) node: &'a mut Node<'m>,
    pub(crate) ticket: StoreTicket<'d>,
    pub(crate) writer: Option<StoredWriter<'b>>,
    pub(crate) next: usize,
    pub(crate) open: Option<Offer<'d>>,
}

impl<'d> StoreAnswer<'_, '_, 'd, '_> {
    /// The next item that the store must decide about. Items that are not what they claim to be are answered here.
    pub fn next_offer(&mut self) -> Option<Offer<'d>> {
        loop {
            // An offer that was passed over is an answer lost.
            self.open = None;
            let item = self.ticket.items.iter().nth(self.next)?;
            match self.checked(&item) {
                Ok(offer) => {
                    self.open = Some(offer);
                    return Some(offer);
                }
                Err(status) => self.say(Answer::refused(status)),
            }
        }
    }

    fn checked(&self, item: &StoreItem<'d>) -> Result<Offer<'d>, ItemStatus> {
        let header = ItemHeader { ttl_ms: item.header.ttl_ms.min(TTL_MAX_MS), ..item.header };
        if !header.item_type.is_known() {
            return Err(ItemStatus::Unsupported);
        }
        if header.ttl_ms == 0 {
            return Err(ItemStatus::Expired);
        }
        if header.total_len > self.node.value_max() {
            return Err(ItemStatus::TooLarge);
        }
        let bytes = header.is_whole().then_some(item.inline);
        if bytes.is_some_and(|bytes| header.verify(&item.key, bytes).is_err()) {
            return Err(ItemStatus::BadProof);
        }
        let (mode, received, source) = (self.ticket.mode, self.ticket.received, self.ticket.asker.contact.endpoint);
        Ok(Offer { key: item.key, header, bytes, mode, source, received })
    }

    fn say(&mut self, answer: Answer) {
        if let Some(writer) = self.writer.as_mut() {
            let _fits = writer.push(&answer.of_item(self.next as u8));
        }
        self.next = self.next.saturating_add(1);
    }

    /// What the store said of the offer from [`next_offer`](Self::next_offer). `None`: it wants the bytes, which the node
    /// pulls; the rest of the answer follows then.
    pub fn answer(&mut self, answer: Option<Answer>) {
        let Some(offer) = self.open.take() else { return };
        let answer = match answer {
            None if offer.bytes.is_none() => {
                let index = self.next as u8;
                match self.node.pull_offer(&offer, &self.ticket, index) {
                    Ok(()) => {
                        self.next = self.next.saturating_add(1);
                        return;
                    }
                    Err(busy) => busy,
                }
            }
            None => Answer::busy(1000),
            Some(answer) => answer,
        };
        self.say(answer);
    }

    /// The length of the datagram to send now; `None` when everything is being pulled first.
    pub fn finish(self) -> Option<usize> {
        self.node.ticket_answered();
        let len = self.writer?.finish()?;
        self.node.sent();
        Some(len)
    }
}

/// A value that was offered and pulled: ask the store, then [`answer_pulled`](Node::answer_pulled).
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

/// Values that a [`find_value`](Node::find_value) was looking for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'n, 'd> {
    /// Which operation.
    pub operation: OperationId,
    /// Who had them.
    pub origin: Contact,
    pub(crate) inline: Option<(ValueItems<'d>, u32)>,
    pub(crate) pulled: Option<(ItemHeader, &'n [u8])>,
}

impl Values<'_, '_> {
    /// Each value with its header, as it was when it arrived. All are checked and none came before.
    pub fn iter(&self) -> impl Iterator<Item = (ItemHeader, &[u8])> {
        let inline = self.inline.into_iter().flat_map(|(items, mask)| {
            let fresh = move |index: &usize| mask & 1u32.checked_shl(*index as u32).unwrap_or(0) != 0;
            items.iter().enumerate().filter(move |(index, _)| fresh(index)).map(|(_, item)| (item.header, item.inline))
        });
        inline.chain(self.pulled)
    }
}
