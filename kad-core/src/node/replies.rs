//! Replies to this node's own requests: found by their tag, believed by nonce and source.

use kad_wire::{
    Contact, Contacts, Endpoint, Envelope, Instant, ItemHeader, NodeId, Refusal, Reply, ReplyHead, StoredItems,
    TransactionId, Value, ValueItems, reply_flags,
};

use super::receive::Heard;
use super::{Node, Received};
use crate::lookup::Lookup;
use crate::memory::Cell;
use crate::operation::{Give, ItemSlot, ItemState, Kind, Phase, Rank, Walk};
use crate::probe::{Probe, Reason};
use crate::stats::count;
use crate::ticket::Values;
use crate::via::Via;

/// Parts of a holder's list that one operation reads at the most: one for each item that an operation can have places for.
const PAGES: u8 = 32;

impl Node<'_> {
    pub(crate) fn replied<'d>(
        &mut self,
        now: Instant,
        Heard { from, via, len }: Heard,
        envelope: &Envelope,
        head: &ReplyHead,
        reply: Reply<'d>,
    ) -> Received<'static, 'd> {
        let tag = envelope.prefix.tag;
        let contact = Contact { id: envelope.sender, endpoint: from };
        let known = match self.memory.cell(tag.slot()) {
            Cell::Probe(cell) => self.probe_answered(now, cell, tag, (&contact, via), head),
            Cell::Transfer(index) => {
                let gone = matches!(reply, Reply::Refused { refusal: Some(Refusal::Gone), .. });
                self.pull_refused(now, index, tag, &from, gone)
            }
            Cell::Candidate(operation, place) => {
                if self.candidate_answered(now, operation, place, envelope, (&contact, via), head) {
                    count!(self.memory.head.stats, replies);
                    self.size_answered(operation, place, tag, &reply, len);
                    return self.answered(now, operation, place, reply);
                }
                self.size_answered_late(operation, place, tag, &from, len);
                false
            }
            Cell::None => false,
        };
        if known {
            count!(self.memory.head.stats, replies);
        } else {
            count!(self.memory.head.stats, dropped_unsolicited);
        }
        Received::Nothing
    }

    fn probe_answered(
        &mut self,
        now: Instant,
        cell: usize,
        tag: TransactionId,
        (contact, via): (&Contact, Via),
        head: &ReplyHead,
    ) -> bool {
        let Some(probe) = self.memory.head.probes.answered(cell, tag, &contact.endpoint) else { return false };
        let rtt_us = (tag == probe.tag).then(|| now.micros_since(probe.sent));
        let asked = self.memory.table().at(&probe.to).unwrap_or(*contact);
        self.answered_from(now, &asked, (contact, via), rtt_us, head);
        if asked.id != contact.id && probe.elsewhere != Endpoint::UNSPECIFIED {
            // Somebody else has that address now, and who had it has proven another one.
            self.admit(now, &Contact { endpoint: probe.elsewhere, ..asked }, Via::ANY, None);
        }
        self.ask_next(now);
        self.settle_upkeep();
        true
    }

    /// What an answer from an address says of whoever was thought to be there, and of who is.
    fn answered_from(
        &mut self,
        now: Instant,
        asked: &Contact,
        (answering, via): (&Contact, Via),
        rtt_us: Option<u64>,
        head: &ReplyHead,
    ) {
        let memory = &mut self.memory;
        memory.head.observed.note(&answering.endpoint, &head.observed);
        if let Some(rtt_us) = rtt_us {
            count!(memory.head.stats, rtt_samples);
            memory.head.rtt.sample(rtt_us);
        }
        if asked.id != answering.id {
            count!(memory.head.stats, identities_changed);
            // Who was thought to be there may well be elsewhere: anybody can be named at an address that is not theirs.
            if memory.find_at(asked).is_some() {
                self.remove_contact(&asked.id);
            }
        }
        if head.flags & reply_flags::CLIENT == 0 {
            self.admit(now, answering, via, rtt_us);
        }
    }

    /// Believes a reply to a candidate, or not. A believed one ends the candidate's wait.
    fn candidate_answered(
        &mut self,
        now: Instant,
        operation: usize,
        place: usize,
        envelope: &Envelope,
        (contact, via): (&Contact, Via),
        head: &ReplyHead,
    ) -> bool {
        let Some((slot, candidate)) = self.memory.candidate(operation, place) else { return false };
        let ours = !slot.is_free()
            && candidate.is_awaited()
            && candidate.tag.same_exchange(envelope.prefix.tag)
            && candidate.contact.endpoint == contact.endpoint;
        if !ours {
            return false;
        }
        let asked = if candidate.anonymous { *contact } else { candidate.contact };
        // A STORE's answer may include a disk's commit, and says nothing of the path.
        let sample = envelope.prefix.tag == candidate.tag && candidate.give != Give::Pulling;
        let elapsed_us = now.micros_since(candidate.sent);
        let is_path = candidate.give == Give::Nothing || slot.kind != Kind::Store;
        candidate.token = envelope.token;
        candidate.room = envelope.prefix.room;
        candidate.via = via;
        candidate.resend = false;
        candidate.late = false;
        if sample && is_path {
            candidate.rtt_us = u32::try_from(elapsed_us).unwrap_or(u32::MAX).max(1);
        } else if candidate.walk != Walk::Answered {
            // What the table knew is no measurement of this operation's.
            candidate.rtt_us = 0;
        }
        let changed = asked.id != contact.id;
        if changed {
            candidate.walk = Walk::Failed;
            candidate.attempts = 0;
            candidate.give = if candidate.give == Give::Nothing { Give::Nothing } else { Give::Failed };
        }
        let own = self.memory.head.id;
        let identified = self.identify(operation, place, contact, own);
        if sample && !is_path {
            self.memory.head.store_rtt.sample(elapsed_us);
        }
        self.answered_from(now, &asked, (contact, via), (sample && is_path).then_some(elapsed_us), head);
        if changed || !identified {
            self.settle_operation(now, operation);
        }
        // Somebody else at that address, or one bootstrap address too many: the answer is no news for the operation.
        !changed && identified && self.memory.operations.get(operation).is_some_and(|slot| slot.is_running())
    }

    fn identify(&mut self, operation: usize, place: usize, contact: &Contact, own: NodeId) -> bool {
        let Some(mut lookup) = self.memory.lookup(operation) else { return false };
        let anonymous = lookup.candidates.get(place).is_some_and(|candidate| candidate.anonymous);
        if !anonymous {
            return true;
        }
        if contact.id == own {
            lookup.remove(place);
            return false;
        }
        lookup.identify(place, contact.id)
    }

    /// An answer that was believed: what it says.
    fn answered<'d>(
        &mut self,
        now: Instant,
        operation: usize,
        place: usize,
        reply: Reply<'d>,
    ) -> Received<'static, 'd> {
        let mut values = None;
        match reply {
            Reply::Pong => self.ponged(operation, place),
            Reply::Nodes(contacts) => self.candidates_heard(now, operation, place, contacts),
            Reply::Value(value) => values = self.value(now, operation, place, &value),
            Reply::Stored(items) => self.stored(operation, place, items),
            Reply::Refused { refusal, argument, .. } => self.refused(now, operation, place, refusal, argument),
        }
        self.settle_operation(now, operation);
        values.map_or(Received::Nothing, Received::Values)
    }

    fn ponged(&mut self, operation: usize, place: usize) {
        if let Some((slot, candidate)) = self.memory.candidate(operation, place) {
            match (slot.kind, slot.phase) {
                (Kind::Ping | Kind::Leave, Phase::Walk) => candidate.walk = Walk::Answered,
                (Kind::Join, Phase::Give) => candidate.give = Give::Done,
                _ => {}
            }
        }
    }

    /// Ends a candidate's part of the walk and takes in the contacts that it named.
    fn candidates_heard(&mut self, now: Instant, operation: usize, place: usize, contacts: Contacts<'_>) {
        let (own, families) = (self.memory.head.id, self.memory.head.settings.families);
        let Some(lookup) = self.memory.lookup(operation) else { return };
        if lookup.operation.phase != Phase::Walk {
            return;
        }
        let Some(candidate) = lookup.candidates.get_mut(place) else { return };
        candidate.walk = Walk::Answered;
        let (namer, depth) = (candidate.contact.endpoint, candidate.depth.saturating_add(1));
        if lookup.operation.given {
            return;
        }
        let (nearest_before, horizon, target) = (lookup.nearest_id(), lookup.horizon(), lookup.operation.target);
        let any_silent = self.knows_silent();
        let mut namesake = None;
        for contact in contacts.iter() {
            if contact.id == own {
                namesake = contact.endpoint.named_by(&namer);
                continue;
            }
            // Most of the contacts that answers name are too far to matter, or known.
            let matters = Rank::leading(&contact.id.distance(&target)) <= horizon;
            if !(matters && families.reach(&contact.endpoint)) {
                continue;
            }
            let Some(endpoint) = contact.endpoint.named_by(&namer) else { continue };
            let contact = Contact { endpoint, ..contact };
            let silent = any_silent && self.is_silent(now, &contact);
            let Some(mut lookup) = self.memory.lookup(operation) else { return };
            let place = lookup.insert(&contact, false, depth);
            if silent && let Some(candidate) = place.and_then(|place| lookup.candidates.get_mut(place)) {
                // Nobody waits for it again.
                candidate.walk = Walk::Failed;
            }
        }
        let Some(lookup) = self.memory.lookup(operation) else { return };
        lookup.operation.stalled = lookup.nearest_id() == nearest_before;
        if let Some(endpoint) = namesake {
            self.id_claimed(now, endpoint);
        }
    }

    fn value<'d>(
        &mut self,
        now: Instant,
        operation: usize,
        place: usize,
        value: &Value<'d>,
    ) -> Option<Values<'static, 'd>> {
        let (slot, candidate) = self.memory.candidate(operation, place)?;
        if slot.kind != Kind::FindValue {
            return None;
        }
        let origin = candidate.contact;
        // Items first: the contacts may take this candidate's place.
        let fresh = self.items_heard(now, operation, place, value.items);
        self.candidates_heard(now, operation, place, value.contacts);
        let (slot, candidate) = self.memory.candidate(operation, place)?;
        let more = slot.all && value.next_cursor != 0 && !value.items.is_empty();
        if more && candidate.contact == origin && candidate.refusal_or_parts < PAGES {
            candidate.refusal_or_parts = candidate.refusal_or_parts.saturating_add(1);
            candidate.cursor = value.next_cursor;
            candidate.walk = Walk::Unasked;
            candidate.attempts = 0;
        }
        if fresh == 0 {
            return None;
        }
        Some(Values { operation: self.operation_id(operation), origin, inline: (value.items, fresh), pulled: None })
    }

    /// Takes in the items of a VALUE. Answers with a mask of those that are whole, right and new.
    fn items_heard(&mut self, now: Instant, operation: usize, place: usize, items: ValueItems<'_>) -> u32 {
        let value_max = self.memory.head.settings.value_max;
        let mut fresh = 0;
        let mut mismatches = 0;
        let Some(mut lookup) = self.memory.lookup(operation) else { return 0 };
        for (index, item) in items.iter().enumerate() {
            let (all, values, key) = (lookup.operation.all, lookup.operation.values, lookup.operation.target);
            if !all && values > 0 {
                break;
            }
            if !wanted(&lookup, &item.header) {
                continue;
            }
            if item.header.total_len > value_max {
                lookup.operation.truncated = true;
                continue;
            }
            let whole = item.header.is_whole();
            if whole && item.header.verify(&key, item.inline).is_err() {
                mismatches += 1u64;
                continue;
            }
            let Some(slot) = place_item(now, &mut lookup, place, &item.header) else { continue };
            let bit = 1u32.checked_shl(slot as u32).unwrap_or(0);
            if let Some(candidate) = lookup.candidates.get_mut(place) {
                candidate.carried |= bit;
            }
            let Some(slot) = lookup.items.get_mut(slot) else { continue };
            if whole && slot.state == ItemState::Wanted {
                slot.state = ItemState::Delivered;
                lookup.operation.values = lookup.operation.values.saturating_add(1);
                fresh |= 1u32.checked_shl(index as u32).unwrap_or(0);
            }
        }
        let counter = &mut self.memory.head.stats.digest_mismatches;
        *counter = counter.wrapping_add(mismatches);
        fresh
    }

    fn stored(&mut self, operation: usize, place: usize, items: StoredItems<'_>) {
        let Some(mut lookup) = self.memory.lookup(operation) else { return };
        if lookup.operation.kind != Kind::Store || lookup.operation.phase != Phase::Give {
            return;
        }
        let Some(carried) = lookup.candidates.get(place).map(|candidate| candidate.carried) else {
            return;
        };
        let mut retry_ms = 0;
        for answer in items.iter() {
            let Some(item) = nth_bit(carried, answer.index.into()) else { continue };
            if answer.status == Some(kad_wire::ItemStatus::Busy) {
                retry_ms = retry_ms.max(u32::from(answer.retry_ms).max(1));
                lookup.item_waits(place, item);
                continue;
            }
            lookup.item_answered(place, item, answer.status);
        }
        lookup.holder_goes_on(place, retry_ms);
    }

    fn refused(&mut self, now: Instant, operation: usize, place: usize, refusal: Option<Refusal>, argument: u32) {
        let attempts = self.attempts();
        let Some((slot, candidate)) = self.memory.candidate(operation, place) else { return };
        let retries = candidate.attempts < attempts;
        match refusal {
            // The reply brought a fresh token: the same request again.
            Some(Refusal::NeedToken) if retries => candidate.resend = true,
            Some(Refusal::Busy) if retries && slot.phase == Phase::Give => {
                candidate.give = Give::Waiting;
                candidate.deadline = now.plus_millis(u64::from(argument.clamp(10, 5000)));
            }
            _ => {
                candidate.attempts = 0;
                match slot.phase {
                    Phase::Walk => candidate.walk = Walk::Failed,
                    Phase::Give => candidate.give = Give::Failed,
                }
            }
        }
    }

    /// A PULL was refused: the value cannot be had there, or is no longer there.
    fn pull_refused(&mut self, now: Instant, index: usize, tag: TransactionId, from: &Endpoint, gone: bool) -> bool {
        let ours = self.memory.transfers.get(index).is_some_and(|transfer| transfer.awaits(tag, from));
        if ours {
            self.fail_transfer(now, index, gone);
        }
        ours
    }

    /// What is concluded when a probe got no answer.
    pub(crate) fn probe_failed(&mut self, now: Instant, probe: &Probe) {
        count!(self.memory.head.stats, timeouts);
        let known = self.memory.table().at(&probe.to);
        match (probe.reason, known) {
            (Reason::Free | Reason::Duplicate, _) => {}
            (Reason::Doubted, Some(contact)) => self.check_failed(now, &contact, probe.elsewhere),
            // It said goodbye and is silent: gone, or elsewhere.
            (Reason::Goodbye, Some(contact)) => match probe.elsewhere {
                Endpoint::UNSPECIFIED => self.contact_left(&contact),
                elsewhere => self.check_failed(now, &contact, elsewhere),
            },
            (Reason::Unknown | Reason::Doubted | Reason::Goodbye, _) => self.still_silent(now, &probe.to),
        }
    }

    /// A contact is certainly gone.
    pub(crate) fn contact_left(&mut self, contact: &Contact) {
        if self.memory.find_at(contact).is_some() {
            count!(self.memory.head.stats, contacts_lost);
            self.remove_contact(&contact.id);
        }
    }

    /// Takes a contact out of the table. The spare that takes its place may be one to look after.
    fn remove_contact(&mut self, id: &NodeId) {
        self.memory.table().remove(id);
        self.settle_upkeep();
    }
}

/// Whether an operation looks for items like this one.
fn wanted(lookup: &Lookup<'_>, header: &ItemHeader) -> bool {
    let operation = &lookup.operation;
    header.item_type.is_known() && operation.types.contains(header.item_type) && header.age_ms <= operation.max_age_ms
}

/// The place of an item that was heard of: its own, or a free one. `None` when there is no place left.
fn place_item(now: Instant, lookup: &mut Lookup<'_>, place: usize, header: &ItemHeader) -> Option<usize> {
    let key = lookup.operation.target;
    if let Some(known) = lookup.item_of(&key, header) {
        if let Some(slot) = lookup.items.get_mut(known)
            && slot.state == ItemState::Failed
        {
            slot.state = ItemState::Wanted;
        }
        return Some(known);
    }
    // The first value is enough: of those that must be pulled, one of each holder, for the case that others come to nothing.
    let has_one = lookup.candidates.get(place).is_some_and(|candidate| candidate.carried != 0);
    if !lookup.operation.all && !header.is_whole() && has_one {
        return None;
    }
    match lookup.items.iter().position(|slot| slot.state == ItemState::Free) {
        Some(free) => {
            let slot = lookup.items.get_mut(free)?;
            *slot = ItemSlot { state: ItemState::Wanted, key, header: *header, received: now, copies: 0 };
            Some(free)
        }
        None => {
            lookup.operation.truncated = true;
            None
        }
    }
}

/// The index of the `n`-th set bit.
fn nth_bit(mask: u32, n: u32) -> Option<u32> {
    let mut rest = mask;
    for _ in 0..n.min(32) {
        rest &= rest.wrapping_sub(1);
    }
    (rest != 0).then(|| rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::nth_bit;

    #[test]
    fn answers_name_items_by_their_place_in_the_datagram() {
        assert_eq!([0, 1, 2, 3].map(|n| nth_bit(0b1011_0000, n)), [Some(4), Some(5), Some(7), None]);
        assert_eq!((nth_bit(0, 0), nth_bit(u32::MAX, 31), nth_bit(u32::MAX, 255)), (None, Some(31), None));
    }
}
