//! Answers of the store on their way into a datagram.

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Answer, ItemHeader, ItemStatus, Offer, Sink, StoreItem, StoredWriter, ValueWriter};

use super::Node;
use crate::ticket::{FindTicket, StoreTicket};

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
