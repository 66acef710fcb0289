//! Who has fallen silent, what follows from it, and what ends it.

use kad_wire::{Contact, Endpoint, Instant};

use super::Node;
use crate::bucket::BAD;
use crate::operation::Walk;
use crate::probe::Reason;
use crate::stats::count;
use crate::via::Via;

impl Node<'_> {
    /// Marks of the addresses that this node remembers as silent, for other workers of the same node: they share the secret
    /// that marks are made with.
    pub fn silent(&self) -> impl Iterator<Item = u32> + '_ {
        self.memory.head.silences.marks()
    }

    /// Takes in that another worker of this node got no answer from an address. A contact there is checked.
    pub fn hear_silent(&mut self, now: Instant, mark: u32) {
        for index in 0..self.memory.contacts.len() {
            let Some(slot) = self.memory.contacts.get(index) else { return };
            let contact = slot.contact;
            if slot.is_good() && self.mark(&contact.endpoint) == mark {
                return self.contact_failed(now, &contact);
            }
        }
        self.memory.head.silences.note(now, mark);
    }

    fn mark(&self, endpoint: &Endpoint) -> u32 {
        let head = &self.memory.head;
        head.tokens.mark(head.settings.network, endpoint)
    }

    /// Whether anybody is known to be silent: saves asking of each.
    pub(crate) fn knows_silent(&self) -> bool {
        self.memory.head.doubts || !self.memory.head.silences.is_empty()
    }

    /// Whether somebody that others name has lately been silent there, so that nobody should wait for it. If it is time for
    /// that, it is checked.
    pub(crate) fn is_silent(&mut self, now: Instant, contact: &Contact) -> bool {
        // Contacts have checks of their own.
        if let Some(slot) = self.memory.find_at(contact) {
            return slot.failures > 0;
        }
        let mark = self.mark(&contact.endpoint);
        let head = &mut self.memory.head;
        let Some(silence) = head.silences.of(now, mark) else { return false };
        if silence.due && head.probes.plan(now, (&contact.endpoint, Via::ANY), Reason::Unknown, head.random.next()) {
            self.settle_upkeep();
        }
        true
    }

    /// Whether one lost request alone speaks against somebody.
    fn is_hardly_silent(&mut self, now: Instant, contact: &Contact) -> bool {
        if let Some(slot) = self.memory.find_at(contact) {
            return slot.failures < BAD;
        }
        let mark = self.mark(&contact.endpoint);
        self.memory.head.silences.of(now, mark).is_none_or(|silence| !silence.confirmed)
    }

    /// Notes that somebody did not answer a request: it is checked at once if it is a contact.
    pub(crate) fn contact_failed(&mut self, now: Instant, contact: &Contact) {
        let mark = self.mark(&contact.endpoint);
        self.memory.head.silences.note(now, mark);
        if self.memory.table().failed(contact) {
            count!(self.memory.head.stats, contacts_lost);
        } else if self.memory.find_at(contact).is_some() {
            self.look_soon(now);
            self.doubt(now, contact, Reason::Doubted);
        }
        self.settle_upkeep();
    }

    /// Notes that a contact did not answer a check. If it has proven to be elsewhere, it has moved.
    pub(crate) fn check_failed(&mut self, now: Instant, contact: &Contact, elsewhere: Endpoint) {
        let mark = self.mark(&contact.endpoint);
        self.memory.head.silences.note(now, mark);
        self.look_soon(now);
        if elsewhere != Endpoint::UNSPECIFIED {
            if let Some(slot) = self.memory.find_at(contact) {
                slot.failures = slot.failures.max(BAD);
            }
            self.admit(now, &Contact { endpoint: elsewhere, ..*contact }, Via::ANY, None);
        } else if self.memory.table().check_failed(contact) {
            count!(self.memory.head.stats, contacts_lost);
        }
        self.settle_upkeep();
    }

    /// Notes that nobody answered a check at an address that is remembered as silent.
    pub(crate) fn still_silent(&mut self, now: Instant, endpoint: &Endpoint) {
        let mark = self.mark(endpoint);
        if self.memory.head.silences.of(now, mark).is_some() {
            self.memory.head.silences.note(now, mark);
        }
    }

    /// Somebody has answered from an address.
    pub(crate) fn end_silence(&mut self, endpoint: &Endpoint) {
        if !self.memory.head.silences.is_empty() {
            let mark = self.mark(endpoint);
            self.memory.head.silences.clear(mark);
        }
    }

    /// A contact has proven to be at another address than the one that is known: whether it is still there is checked at
    /// once. Only if not, it has moved; otherwise anybody could take its place by its id.
    pub(crate) fn check_move(&mut self, now: Instant, moved: &Contact) {
        let Some(slot) = self.memory.find(&moved.id) else { return };
        let (known, via) = (slot.contact.endpoint, slot.via);
        let head = &mut self.memory.head;
        head.probes.plan_move(now, (&known, via), &moved.endpoint, head.random.next());
        self.settle_upkeep();
    }

    /// Somebody answers, and before that nobody did: it was this node that was cut off. Everybody is checked at once, and what
    /// was noted meanwhile says nothing.
    pub(crate) fn link_is_back(&mut self, now: Instant) {
        for slot in self.memory.contacts.iter_mut().filter(|slot| slot.is_live() && slot.failures > 0) {
            slot.failures = 1;
            slot.set_doubted(true);
        }
        let head = &mut self.memory.head;
        head.silences = crate::silence::Silences::EMPTY;
        (head.doubts, head.probes.next_look) = (true, now);
        self.settle_upkeep();
    }

    /// Gives those who were passed over as silent their turn after all, where there is nothing better: all of them if nobody
    /// has answered, and for a value that nobody has, those against whom one lost request alone speaks.
    pub(crate) fn ask_silent(&mut self, now: Instant, operation: usize, nobody_answered: bool) {
        if nobody_answered {
            self.add_silent(operation);
        }
        for place in 0..self.memory.shortlist() {
            let Some((_, candidate)) = self.memory.candidate(operation, place) else { return };
            let contact = candidate.contact;
            let passed_over = candidate.walk == Walk::Failed && candidate.order == 0 && !candidate.anonymous;
            if passed_over
                && (nobody_answered || self.is_hardly_silent(now, &contact))
                && let Some((_, candidate)) = self.memory.candidate(operation, place)
            {
                candidate.walk = Walk::Unasked;
            }
        }
    }

    /// Adds the nearest contacts that do not answer.
    fn add_silent(&mut self, operation: usize) {
        let Some(target) = self.memory.operations.get(operation).map(|slot| slot.target) else { return };
        let mut slots = [0; 64];
        let wanted = self.memory.shortlist().min(slots.len());
        let slots = slots.get_mut(..wanted).unwrap_or_default();
        for slot in self.memory.nearest_silent(&target, slots) {
            let Some(slot) = self.memory.contacts.get(usize::from(*slot)) else { break };
            let (contact, via) = (slot.contact, slot.via);
            let Some(mut lookup) = self.memory.lookup(operation) else { break };
            let place = lookup.insert(&contact, false, 0);
            if let Some(candidate) = place.and_then(|place| lookup.candidates.get_mut(place)) {
                candidate.via = via;
            }
        }
    }
}
