//! Values that this node pulls: places, rows of the arena, chunks, and who gets what when there is not enough.

use kad_wire::limits::{CHUNK_HEAD_LEN, DATAGRAM_MAX};
use kad_wire::{
    Answer, Chunk, Contact, Endpoint, Envelope, Instant, ItemStatus, MaxDatagram, Offer, Prefix, ReplyHead,
    StoredWriter, TransactionId, ValueItems,
};

use super::{Node, Received};
use crate::arena;
use crate::operation::{Candidate, ItemSlot, ItemState};
use crate::path::{Path, SMALLEST, Way};
use crate::schedule::Slot;
use crate::stats::count;
use crate::ticket::{Asker, PulledTicket, StoreTicket, Values};
use crate::transfer::{Purpose, SLOTS_PER_SOURCE, State, Transfer};
use crate::wake::Link;
use crate::window::{Arrival, Window};

/// How long an offer that finds no place is put off at the least, and without experience.
const PAUSE_MS: core::ops::RangeInclusive<u32> = 10..=50;
/// Room that is left in every chunk for the tail of an authenticated datagram.
const TAIL: usize = 16;

impl Node<'_> {
    /// Rows of the arena, and places for transfers, that only this node's own finds may use.
    fn reserve(of: usize) -> usize {
        of.div_ceil(4).min(of.saturating_sub(1))
    }

    fn allocate_transfer(&mut self) -> Option<usize> {
        let memory = &mut self.memory;
        let free = &mut memory.head.free_transfers;
        if let Some(index) = free.first.get() {
            free.first = core::mem::replace(&mut memory.transfers.get_mut(index)?.next_free, Link::NONE);
            return Some(index);
        }
        let index = usize::from(free.fresh);
        if index >= memory.transfers.len() {
            return None;
        }
        free.fresh = free.fresh.saturating_add(1);
        Some(index)
    }

    /// Frees a transfer's place and its row, and lets others have them.
    fn free_transfer(&mut self, index: usize) {
        let was_short = self.is_short_of_credit();
        let memory = &mut self.memory;
        let Some(transfer) = memory.transfers.get_mut(index) else { return };
        if transfer.is_free() {
            return;
        }
        // The planted bug (fuzz/README.md): credit for chunks that never came is lost with their transfer.
        if cfg!(not(kad_planted_bug)) {
            memory.head.granted = memory.head.granted.saturating_sub(transfer.window.outstanding());
        }
        memory.head.arena.release(transfer.row);
        let pulled = (transfer.state == State::Pulling).then_some((transfer.source, transfer.window.remember()));
        // The wake stays: the schedule's lists go through it.
        let wake = transfer.wake;
        *transfer = Transfer::EMPTY;
        transfer.wake = wake;
        transfer.next_free = core::mem::replace(&mut memory.head.free_transfers.first, Link::to(index));
        memory.reschedule(Slot::Transfer(index), false, None);
        if let Some((source, window)) = pulled
            && let Some(slot) = memory.find_at(&source)
        {
            slot.window = window;
        }
        self.assign_rows();
        self.credit_changed(was_short, index);
    }

    /// Starts to pull a value that somebody offered.
    pub(crate) fn pull_offer(&mut self, offer: &Offer<'_>, ticket: &StoreTicket<'_>, index: u8) -> Result<(), Answer> {
        let source = &ticket.asker.contact;
        let Prefix { tag: store, lane, .. } = ticket.asker.envelope.prefix;
        let room = MaxDatagram::of(ticket.asker.room);
        let purpose = Purpose::Offered { index, mode: offer.mode };
        if self.is_pulled_already(offer, &ticket.asker, purpose) {
            return Ok(());
        }
        if self.memory.head.arena.rows() == Self::reserve(self.memory.head.arena.rows()) {
            return Err(Answer::refused(ItemStatus::TooLarge));
        }
        let offered = || self.memory.transfers.iter().filter(|transfer| transfer.is_offered());
        let of_source = offered().filter(|transfer| transfer.source.endpoint == source.endpoint).count();
        let places = self.memory.transfers.len();
        let crowded =
            of_source >= SLOTS_PER_SOURCE || offered().count() >= places.saturating_sub(Self::reserve(places));
        let Some(place) = (if crowded { None } else { self.allocate_transfer() }) else {
            count!(self.memory.head.stats, offers_busy);
            return Err(Answer::busy(self.pause_ms()));
        };
        if let Some(transfer) = self.memory.transfers.get_mut(place) {
            (transfer.purpose, transfer.source, transfer.room) = (purpose, *source, room);
            transfer.via = ticket.asker.via;
            (transfer.offer, transfer.lane) = (store, lane);
            (transfer.key, transfer.header) = (offer.key, offer.header);
        }
        self.start_transfer(place, offer.received);
        Ok(())
    }

    /// How long an offer that finds no place is put off: about as long as places are taken, and not all for the same time.
    fn pause_ms(&mut self) -> u16 {
        let usual_ms = self.memory.head.pull_time.smoothed_us().map_or(u32::MAX, |us| us / 1000);
        let least = usual_ms.clamp(*PAUSE_MS.start(), *PAUSE_MS.end());
        let jitter = self.memory.head.random.below(u64::from(least.saturating_mul(3)));
        (least as u16).saturating_add(jitter as u16)
    }

    /// Whether the same offer is being pulled. A publisher that repeats it wants a sign of life, which a new proof is. The
    /// answer goes to the last STORE, in which the item may have another place.
    fn is_pulled_already(&mut self, offer: &Offer<'_>, asker: &Asker, purpose: Purpose) -> bool {
        let same = |transfer: &Transfer| {
            transfer.is_offered()
                && transfer.source.endpoint == asker.contact.endpoint
                && transfer.key == offer.key
                && transfer.header.digest == offer.header.digest
        };
        let Some(index) = self.memory.transfers.iter().position(same) else { return false };
        if let Some(transfer) = self.memory.transfers.get_mut(index) {
            let Prefix { tag, lane, .. } = asker.envelope.prefix;
            (transfer.offer, transfer.lane, transfer.via) = (tag, lane, asker.via);
            transfer.purpose = purpose;
            transfer.proven = transfer.proven && transfer.state == State::Pulling;
            transfer.proving = false;
        }
        self.settle_transfer(index);
        true
    }

    /// Starts a transfer of which is written down what to pull from whom.
    fn start_transfer(&mut self, place: usize, now: Instant) {
        let cell = self.memory.transfer_cell(place);
        let tag = TransactionId::new(cell, self.memory.head.random.next(), 0);
        if let Some(transfer) = self.memory.transfers.get_mut(place) {
            (transfer.state, transfer.tag, transfer.received) = (State::Waiting, tag, now);
            transfer.deadline = Transfer::deadline(now, transfer.header.total_len);
        }
        self.assign_rows();
        self.settle_transfer(place);
    }

    /// Starts to pull the items that an operation wants, as far as there are places and holders. Answers whether all that
    /// can be done now is done; if not, the operation waits for a place.
    pub(crate) fn pull_wanted(&mut self, now: Instant, operation: usize) {
        loop {
            let Some(lookup) = self.memory.lookup(operation) else { return };
            // Where the first value is enough, no second one is pulled while one is on its way.
            if !lookup.operation.all && lookup.items.iter().any(|slot| slot.state == ItemState::Pulling) {
                return;
            }
            let Some(item) = lookup.items.iter().position(|slot| slot.state == ItemState::Wanted) else { return };
            let bit = 1u32.checked_shl(item as u32).unwrap_or(0);
            let has = |place: &usize| {
                lookup.candidates.get(*place).is_some_and(|candidate| candidate.carried & !candidate.closed & bit != 0)
            };
            let holder = lookup.nearest().map(|(place, _)| place).find(has);
            let holder = holder.and_then(|place| lookup.candidates.get(place));
            let of = |holder: &Candidate| (holder.contact, holder.via, holder.pull_room(), holder.token);
            let Some(holder) = holder.map(of) else {
                let is_named = lookup.candidates.iter().any(|candidate| candidate.carried & bit != 0);
                if let Some(slot) = lookup.items.get_mut(item) {
                    match is_named {
                        true => slot.state = ItemState::Failed,
                        // All who had it say that it is gone: the place is for other items.
                        false => *slot = ItemSlot::EMPTY,
                    }
                }
                continue;
            };
            let Some((key, header)) = lookup.items.get(item).map(|slot| (slot.key, slot.header)) else { return };
            let Some(place) = self.allocate_transfer() else {
                self.memory.head.starved = true;
                return;
            };
            if let Some(lookup) = self.memory.lookup(operation)
                && let Some(slot) = lookup.items.get_mut(item)
            {
                slot.state = ItemState::Pulling;
            }
            if let Some(transfer) = self.memory.transfers.get_mut(place) {
                transfer.purpose = Purpose::Own { operation: operation as u16, item: item as u8 };
                (transfer.source, transfer.via, transfer.room, transfer.token) = holder;
                (transfer.key, transfer.header) = (key, header);
            }
            self.start_transfer(place, now);
        }
    }

    /// Gives free rows of the arena to transfers that wait for one: own ones first, then proven sources, the longest
    /// waiting first. A source that has proven nothing gets one only while nobody else wants it.
    fn assign_rows(&mut self) {
        let rows = self.memory.head.arena.rows();
        let reserve = Self::reserve(rows);
        loop {
            let free = self.memory.head.arena.free();
            let Some((index, own)) = self.next_in_line(free, rows.saturating_sub(reserve)) else { return };
            let Some(row) = self.memory.head.arena.take(if own { 0 } else { reserve }) else { return };
            let receive_max = usize::from(self.memory.head.settings.receive_max);
            let source = self.memory.transfers.get(index).map(|transfer| transfer.source);
            let known = source.and_then(|source| self.memory.find_at(&source)).map(|slot| (slot.window, slot.path));
            let (remembered, path) = known.unwrap_or((0, Path::UNKNOWN));
            let (draw, narrow) = (self.memory.head.random.next(), self.is_narrow());
            let (limit, probe) = path.pull(draw, narrow);
            if let Some(transfer) = self.memory.transfers.get_mut(index) {
                let most = receive_max.min(transfer.room.bytes());
                let within = |limit: Option<u16>| chunk_len(limit.map_or(most, |limit| most.min(limit.into())));
                let chunk_len = within(limit);
                transfer.state = State::Pulling;
                transfer.row = row;
                transfer.window = Window::new(transfer.header.total_len, chunk_len, remembered);
                transfer.round_ends = Instant::ZERO;
                transfer.empty_rounds = 0;
                transfer.proving = false;
                let larger = probe.map_or(0, within);
                let tells = larger > chunk_len && transfer.header.total_len > chunk_len.into();
                transfer.probe = if tells { larger } else { 0 };
            }
            self.settle_transfer(index);
        }
    }

    fn next_in_line(&self, free_rows: usize, shared_rows: usize) -> Option<(usize, bool)> {
        let transfers = &*self.memory.transfers;
        let is_waiting = |transfer: &&Transfer| transfer.state == State::Waiting;
        let offers = transfers.iter().filter(is_waiting).filter(|transfer| transfer.is_offered());
        let contended = offers.count() > free_rows;
        let per_source = shared_rows.div_ceil(4).max(1);
        let may_have = |transfer: &Transfer| {
            let pulled_from = |other: &&Transfer| {
                other.state == State::Pulling && other.is_offered() && other.source.endpoint == transfer.source.endpoint
            };
            let of_source = transfers.iter().filter(pulled_from).count();
            of_source < per_source && (transfer.proven || !contended)
        };
        let rank = |transfer: &Transfer| (transfer.is_offered(), !transfer.proven, transfer.received);
        let mut first: Option<(usize, &Transfer)> = None;
        for (index, transfer) in transfers.iter().enumerate().filter(|(_, transfer)| is_waiting(transfer)) {
            let able = !transfer.is_offered() || may_have(transfer);
            if able && first.is_none_or(|(_, first)| rank(transfer) < rank(first)) {
                first = Some((index, transfer));
            }
        }
        first.map(|(index, transfer)| (index, !transfer.is_offered()))
    }

    /// Takes in a chunk.
    pub(crate) fn chunk<'s>(
        &'s mut self,
        now: Instant,
        from: Endpoint,
        prefix: &Prefix,
        chunk: &Chunk<'_>,
        reply: &mut [u8],
    ) -> Received<'s, 'static> {
        let crate::memory::Cell::Transfer(index) = self.memory.cell(prefix.tag.slot()) else {
            count!(self.memory.head.stats, dropped_unsolicited);
            return Received::Nothing;
        };
        match self.chunk_arrived(now, index, &from, prefix.tag, chunk) {
            Some(true) => self.complete(now, index, reply),
            Some(false) => Received::Nothing,
            None => {
                count!(self.memory.head.stats, dropped_unsolicited);
                Received::Nothing
            }
        }
    }

    /// Believes a chunk, or not (`None`); says whether the value is complete.
    fn chunk_arrived(
        &mut self,
        now: Instant,
        index: usize,
        from: &Endpoint,
        tag: TransactionId,
        chunk: &Chunk<'_>,
    ) -> Option<bool> {
        let was_short = self.is_short_of_credit();
        let memory = &mut self.memory;
        let value_max = memory.head.settings.value_max;
        let transfer = memory.transfers.get_mut(index)?;
        if !transfer.awaits(tag, from) {
            return None;
        }
        let before = transfer.window.outstanding();
        if transfer.state == State::Pulling && !chunk.bytes.is_empty() {
            match transfer.window.arrived(chunk.offset, chunk.bytes.len()) {
                Arrival::Invalid if transfer.is_larger(chunk) => {
                    // It was asked for as a probe, or before the window became smaller.
                    transfer.larger = false;
                    let (source, len) = (transfer.source, chunk.bytes.len());
                    count!(memory.head.stats, chunks);
                    self.passed(&source, Way::In, len.saturating_add(CHUNK_HEAD_LEN));
                    return Some(false);
                }
                Arrival::Invalid => return None,
                Arrival::Duplicate => {}
                Arrival::New => {
                    let row = arena::row(memory.arena, transfer.row, value_max)?;
                    let start = chunk.offset as usize;
                    row.get_mut(start..start.checked_add(chunk.bytes.len())?)?.copy_from_slice(chunk.bytes);
                }
            }
        }
        let whole = chunk.bytes.len() >= transfer.window.chunk_len().into() && !chunk.bytes.is_empty();
        let first = whole && !transfer.passed;
        transfer.passed |= whole;
        let shrunk = first && transfer.shrunk;
        count!(memory.head.stats, chunks);
        let sample = tag == transfer.tag && transfer.sent != Instant::ZERO;
        let elapsed_us = now.micros_since(transfer.sent);
        if sample {
            // Only the first chunk of a round measures the path; the rest measures the bandwidth.
            transfer.sent = Instant::ZERO;
        }
        transfer.proven = true;
        transfer.proving = false;
        transfer.empty_rounds = 0;
        let after = transfer.window.outstanding();
        memory.head.granted = memory.head.granted.saturating_sub(before.saturating_sub(after));
        let (complete, waiting) = (transfer.window.is_complete(), transfer.state == State::Waiting);
        let source = transfer.source;
        let timeout_us = self.timeout_us(&source);
        if let Some(transfer) = self.memory.transfers.get_mut(index) {
            transfer.round_ends = if after == 0 { Instant::ZERO } else { now.plus_micros(timeout_us) };
        }
        if sample && let Some(slot) = self.memory.find(&source.id) {
            slot.rtt.sample(elapsed_us);
        }
        let len = chunk.bytes.len().saturating_add(CHUNK_HEAD_LEN);
        if shrunk {
            self.failed(&source, Way::In, (len, DATAGRAM_MAX));
        } else if first {
            self.passed(&source, Way::In, len);
        }
        if waiting {
            self.assign_rows();
        }
        self.settle_transfer(index);
        self.credit_changed(was_short, index);
        Some(complete && !waiting)
    }

    pub(crate) fn is_short_of_credit(&self) -> bool {
        self.memory.head.granted >= u32::from(self.memory.head.settings.receive_window)
    }

    /// When the last credit is spent no transfer has anything to send, and when some comes back all may have: whoever
    /// changes what was granted says how it was before. First come those after the transfer that changed it, which is the
    /// last to have it again.
    pub(crate) fn credit_changed(&mut self, was_short: bool, from: usize) {
        if was_short == self.is_short_of_credit() {
            return;
        }
        let places = self.memory.transfers.len();
        let mut index = from;
        for _ in 0..places {
            index = index.saturating_add(1);
            if index >= places {
                index = 0;
            }
            self.settle_transfer(index);
        }
    }

    /// All chunks are there: checks them, frees the transfer and lends the bytes out.
    fn complete<'s>(&'s mut self, now: Instant, index: usize, reply: &mut [u8]) -> Received<'s, 'static> {
        let value_max = self.memory.head.settings.value_max;
        let Some(transfer) = self.memory.transfers.get(index).copied() else { return Received::Nothing };
        let len = transfer.header.total_len as usize;
        let bytes = arena::row(self.memory.arena, transfer.row, value_max).and_then(|row| row.get(..len));
        let right = bytes.is_some_and(|bytes| transfer.header.verify(&transfer.key, bytes).is_ok());
        if !right {
            count!(self.memory.head.stats, digest_mismatches);
            return self.wrong_bytes(now, index, &transfer, reply);
        }
        if transfer.larger && !transfer.shrunk {
            let len = usize::from(transfer.window.chunk_len()).saturating_add(CHUNK_HEAD_LEN).saturating_add(TAIL);
            self.failed(&transfer.source, Way::In, (len, DATAGRAM_MAX));
        }
        count!(self.memory.head.stats, transfers_completed);
        // The row is free from here on, but nothing writes to it before the next datagram comes in.
        self.free_transfer(index);
        match transfer.purpose {
            Purpose::Own { operation, item } => self.pulled_own(now, &transfer, operation.into(), item.into()),
            Purpose::Offered { index, mode } => {
                count!(self.memory.head.stats, tickets_out);
                self.memory.head.pull_time.sample(now.micros_since(transfer.received));
                let (envelope, head) = self.final_answer(now, &transfer);
                let ticket = PulledTicket { to: transfer.source.endpoint, envelope, head, index };
                let bytes = arena::row(self.memory.arena, transfer.row, value_max).and_then(|row| row.get(..len));
                let Transfer { key, header, received, source, .. } = transfer;
                Received::Pulled(ticket, Offer { key, header, bytes, mode, source: source.endpoint, received })
            }
        }
    }

    fn pulled_own(
        &mut self,
        now: Instant,
        transfer: &Transfer,
        operation: usize,
        item: usize,
    ) -> Received<'_, 'static> {
        let Some(lookup) = self.memory.lookup(operation) else { return Received::Nothing };
        if let Some(slot) = lookup.items.get_mut(item) {
            slot.state = ItemState::Delivered;
        }
        lookup.operation.values = lookup.operation.values.saturating_add(1);
        let id = self.operation_id(operation);
        self.wake_starved(now);
        self.settle_operation(now, operation);
        let (value_max, len) = (self.memory.head.settings.value_max, transfer.header.total_len as usize);
        let row = arena::row(self.memory.arena, transfer.row, value_max).and_then(|row| row.get(..len));
        let Some(bytes) = row else { return Received::Nothing };
        Received::Values(Values {
            operation: id,
            origin: transfer.source,
            inline: (ValueItems::default(), 0),
            pulled: Some((transfer.header, bytes)),
        })
    }

    /// Envelope and head of the STORED that ends an offered transfer.
    fn final_answer(&self, now: Instant, transfer: &Transfer) -> (Envelope, ReplyHead) {
        let head = &self.memory.head;
        let (network, Contact { id, endpoint }) = (head.settings.network, transfer.source);
        let prefix = Prefix { lane: transfer.lane, room: head.settings.room(), network, tag: transfer.offer };
        let token = head.tokens.mint(now, network, &endpoint, &id);
        (Envelope { prefix, token, sender: head.id }, ReplyHead { flags: 0, observed: endpoint.without_link() })
    }

    fn wrong_bytes(
        &mut self,
        now: Instant,
        index: usize,
        transfer: &Transfer,
        reply: &mut [u8],
    ) -> Received<'static, 'static> {
        let answer = match transfer.purpose {
            Purpose::Own { .. } => None,
            Purpose::Offered { index, .. } => {
                let (envelope, head) = self.final_answer(now, transfer);
                StoredWriter::begin(&envelope, &head, reply).and_then(|mut writer| {
                    writer.push(&Answer::refused(ItemStatus::BadProof).of_item(index))?;
                    writer.finish()
                })
            }
        };
        self.fail_transfer(now, index, false);
        match answer {
            Some(len) => {
                self.sent();
                Received::Reply(len)
            }
            None => Received::Nothing,
        }
    }

    /// Gives a transfer up. An operation that waited for it tries another holder. `gone`: the holder says that it has the value
    /// no longer, which is as if it had never named it.
    pub(crate) fn fail_transfer(&mut self, now: Instant, index: usize, gone: bool) {
        let Some(transfer) = self.memory.transfers.get(index) else { return };
        let (purpose, source) = (transfer.purpose, transfer.source.endpoint);
        count!(self.memory.head.stats, transfers_failed);
        self.free_transfer(index);
        if let Purpose::Own { operation, item } = purpose {
            let (operation, item) = (usize::from(operation), usize::from(item));
            if let Some(lookup) = self.memory.lookup(operation) {
                let holder = lookup.by_endpoint(&source);
                if let Some(candidate) = holder.and_then(|place| lookup.candidates.get_mut(place)) {
                    let bit = 1u32.checked_shl(item as u32).unwrap_or(0);
                    match gone {
                        true => candidate.carried &= !bit,
                        false => candidate.closed |= bit,
                    }
                }
                if let Some(slot) = lookup.items.get_mut(item)
                    && slot.state == ItemState::Pulling
                {
                    slot.state = ItemState::Wanted;
                }
            }
            self.settle_operation(now, operation);
        }
        self.wake_starved(now);
    }

    /// A place is free: operations that waited for one try again.
    fn wake_starved(&mut self, now: Instant) {
        if !core::mem::replace(&mut self.memory.head.starved, false) {
            return;
        }
        for operation in 0..self.memory.operations.len() {
            let wants = self.memory.items_of(operation).iter().any(|slot| slot.state == ItemState::Wanted);
            if wants {
                self.settle_operation(now, operation);
            }
        }
    }

    /// Ends the transfers of an operation that is over.
    pub(crate) fn drop_transfers_of(&mut self, now: Instant, operation: usize) {
        for index in 0..self.memory.transfers.len() {
            let of_operation = self.memory.transfers.get(index).is_some_and(|transfer| {
                !transfer.is_free()
                    && matches!(transfer.purpose, Purpose::Own { operation: own, .. } if usize::from(own) == operation)
            });
            if of_operation {
                self.free_transfer(index);
            }
        }
        self.wake_starved(now);
    }

    /// After a round of which nothing came: if no whole chunk has come at all, the next ones are smaller.
    pub(crate) fn pull_smaller(&mut self, index: usize) {
        let Some(source) = self.memory.transfers.get(index).map(|transfer| transfer.source) else { return };
        let is_open = self.memory.find_at(&source).is_some_and(|slot| slot.path.is_open(Way::In));
        let Some(transfer) = self.memory.transfers.get_mut(index) else { return };
        let before = transfer.window.chunk_len();
        let size = if before > chunk_len(DATAGRAM_MAX) { DATAGRAM_MAX } else { SMALLEST };
        let smaller = chunk_len(size);
        // A request or a single chunk may be lost, too: on a path that has carried large ones that is more likely at first.
        let waits = is_open && transfer.empty_rounds < 2;
        let pulls = transfer.state == State::Pulling && !transfer.passed;
        if pulls && !waits && before > smaller && transfer.header.total_len > smaller.into() {
            transfer.window = Window::new(transfer.header.total_len, smaller, 0);
            (transfer.larger, transfer.shrunk) = (true, true);
        }
    }

    /// Whether other offers wait for a row.
    pub(crate) fn rows_are_contended(&self) -> bool {
        self.memory.transfers.iter().any(|transfer| transfer.state == State::Waiting && transfer.is_offered())
    }

    /// Puts a transfer's readiness and deadline into the schedule.
    pub(crate) fn settle_transfer(&mut self, index: usize) {
        let window = u32::from(self.memory.head.settings.receive_window);
        let credit = window.saturating_sub(self.memory.head.granted);
        let Some(transfer) = self.memory.transfers.get(index) else { return };
        let (ready, deadline) = (transfer.wants(credit).is_some(), transfer.wakes());
        self.memory.reschedule(Slot::Transfer(index), ready, deadline);
    }
}

/// Bytes per chunk: what fits a datagram with a tail, in whole 16 bytes.
fn chunk_len(datagram: usize) -> u16 {
    let len = datagram.saturating_sub(CHUNK_HEAD_LEN).saturating_sub(TAIL);
    u16::try_from(len).unwrap_or(u16::MAX) & !15
}
