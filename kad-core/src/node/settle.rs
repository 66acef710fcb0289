//! After anything happened to an operation: is it over, does it go on, when must it be woken.

use kad_wire::Instant;

use super::Node;
use super::transmit::walk_width;
use crate::lookup::{Lookup, STAGGER_US};
use crate::operation::{ItemState, Kind, Operation, Pending, Phase, Walk};
use crate::schedule::Slot;
use crate::stats::count;
use crate::wake::Link;

impl Node<'_> {
    /// Moves an operation on as far as it gets without a datagram, and puts its readiness and deadline into the schedule.
    pub(crate) fn settle_operation(&mut self, now: Instant, operation: usize) {
        if !self.memory.operations.get(operation).is_some_and(Operation::is_running) {
            return;
        }
        self.note_change(operation);
        self.pull_wanted(now, operation);
        self.open_doors(now, operation);
        if self.is_over(now, operation) {
            self.end(now, operation);
            return;
        }
        self.tell_quorum(operation);
        let ready = self.wants_to_send(operation);
        let Some(lookup) = self.memory.lookup(operation) else { return };
        let deadline = lookup.wakes();
        self.memory.reschedule(Slot::Operation(operation), ready, Some(deadline));
    }

    /// Whether an operation has reached its end; a store or a join that has found its nodes goes on to give.
    fn is_over(&mut self, now: Instant, operation: usize) -> bool {
        let (own, settings) = (self.memory.head.id, self.memory.head.settings);
        let Some(mut lookup) = self.memory.lookup(operation) else { return true };
        let k = walk_width(&lookup, settings.k);
        if lookup.operation.phase == Phase::Walk {
            if !walk_is_over(&lookup, k) || self.begins_again(now, operation) {
                return false;
            }
            lookup = match self.memory.lookup(operation) {
                Some(lookup) => lookup,
                None => return true,
            };
            match lookup.operation.kind {
                Kind::Store | Kind::Join | Kind::Leave => begin_giving(&mut lookup),
                _ => return true,
            }
        }
        // A server keeps what it publishes itself: it is one of the holders if it is near enough.
        let holds = lookup.operation.kind == Kind::Store && !settings.client && !lookup.operation.given;
        let own = holds.then_some(own);
        lookup.choose_holders(k, own);
        let delivered = lookup.is_delivered(k, own);
        delivered && !(lookup.operation.kind == Kind::Leave && self.wants_to_send(operation))
    }

    /// Whether a walk that has come to its end begins once more from this node's own contacts: if few answered, those in
    /// the list may have been made up, and have left no place for others until they failed. Those who lately were silent
    /// have their turn then, if there is nothing better.
    fn begins_again(&mut self, now: Instant, operation: usize) -> bool {
        let k = usize::from(self.memory.head.settings.k);
        let Some(lookup) = self.memory.lookup(operation) else { return false };
        let answered = lookup.candidates.iter().filter(|candidate| candidate.walk == Walk::Answered).count();
        let slot = &mut *lookup.operation;
        let looks_wide = !matches!(slot.kind, Kind::Ping | Kind::Leave) && !slot.given;
        let has_found = slot.kind == Kind::FindValue && slot.values > 0 && !slot.all;
        if !looks_wide || has_found || answered >= k || core::mem::replace(&mut slot.began_again, true) {
            return false;
        }
        let in_vain = slot.kind == Kind::FindValue && slot.values == 0;
        self.add_nearest(operation);
        if answered == 0 || in_vain {
            self.ask_silent(now, operation, answered == 0);
        }
        self.memory.lookup(operation).is_some_and(|lookup| !lookup.is_converged(k))
    }

    /// Lets an operation ask one more of the addresses that it begins with for each moment that has passed.
    fn open_doors(&mut self, now: Instant, operation: usize) {
        let Some(slot) = self.memory.operations.get_mut(operation) else { return };
        let passed = now.micros_since(slot.started) / STAGGER_US;
        slot.doors = u16::try_from(passed).unwrap_or(u16::MAX);
    }

    fn tell_quorum(&mut self, operation: usize) {
        let Some(lookup) = self.memory.lookup(operation) else { return };
        let slot = &mut *lookup.operation;
        if slot.kind != Kind::Store || slot.quorum == 0 || slot.pending != Pending::Nothing {
            return;
        }
        let held = lookup.items.iter().filter(|item| item.state == ItemState::Held);
        if held.map(|item| item.copies).min().unwrap_or(0) >= slot.quorum {
            slot.quorum = 0;
            slot.pending = Pending::Quorum;
            self.list_event(operation);
        }
    }

    /// Ends an operation: its event is next to be polled. Nobody waits for a refresh.
    pub(crate) fn end(&mut self, now: Instant, operation: usize) {
        self.take_stock(operation);
        let Some(slot) = self.memory.operations.get_mut(operation) else { return };
        let kind = slot.kind;
        // Before its transfers are dropped: a place that they leave is for others, not for what it still wanted.
        slot.pending = Pending::Final;
        self.drop_transfers_of(now, operation);
        self.memory.reschedule(Slot::Operation(operation), false, None);
        match kind {
            Kind::Refresh => self.free_operation(operation),
            _ => self.list_event(operation),
        }
        match kind {
            Kind::Refresh => {
                self.memory.head.refreshing = false;
                self.settle_upkeep();
            }
            Kind::Join => self.refresh_after_join(now),
            _ => {}
        }
    }

    /// Notes what an operation has learned of the nodes nearest to its target, where somebody wants to know.
    fn take_stock(&mut self, operation: usize) {
        let wants = |slot: &Operation| matches!(slot.kind, Kind::FindNode | Kind::FindValue | Kind::Store);
        if !self.memory.operations.get(operation).is_some_and(wants) {
            return;
        }
        let coverage = self.memory.coverage(operation);
        if let Some(slot) = self.memory.operations.get_mut(operation) {
            slot.coverage = coverage;
        }
    }

    /// Puts an operation on the list of those that may have changed.
    fn note_change(&mut self, operation: usize) {
        let memory = &mut self.memory;
        let Some(slot) = memory.operations.get_mut(operation) else { return };
        if !core::mem::replace(&mut slot.changed, true) {
            slot.next_changed = core::mem::replace(&mut memory.head.first_changed, Link::to(operation));
        }
    }

    /// Puts an operation on the list of those that have an event.
    fn list_event(&mut self, operation: usize) {
        let memory = &mut self.memory;
        let Some(slot) = memory.operations.get_mut(operation) else { return };
        if slot.listed {
            return;
        }
        slot.listed = true;
        slot.next_event = Link::NONE;
        let last = core::mem::replace(&mut memory.head.last_event, Link::to(operation));
        match last.get().and_then(|last| memory.operations.get_mut(last)) {
            Some(last) => last.next_event = Link::to(operation),
            None => memory.head.first_event = Link::to(operation),
        }
    }

    /// Frees an operation's place. What it held stays readable until the place is used again.
    pub(crate) fn free_operation(&mut self, operation: usize) {
        let memory = &mut self.memory;
        let Some(slot) = memory.operations.get_mut(operation) else { return };
        slot.kind = Kind::Free;
        slot.pending = Pending::Nothing;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = core::mem::replace(&mut memory.head.free_operations.first, Link::to(operation));
        count!(memory.head.stats, operations_ended);
        memory.reschedule(Slot::Operation(operation), false, None);
    }
}

fn walk_is_over(lookup: &Lookup<'_>, k: usize) -> bool {
    let on_its_way = lookup.items.iter().any(|slot| matches!(slot.state, ItemState::Wanted | ItemState::Pulling));
    match lookup.operation.kind {
        Kind::FindValue if lookup.operation.values > 0 && !lookup.operation.all => true,
        Kind::FindValue if on_its_way => false,
        _ => lookup.is_converged(k),
    }
}

/// From finding to giving. Answers of those beyond the k nearest are no longer waited for.
fn begin_giving(lookup: &mut Lookup<'_>) {
    lookup.operation.phase = Phase::Give;
    for candidate in lookup.candidates.iter_mut().filter(|candidate| candidate.walk == Walk::Asked) {
        candidate.walk = Walk::Unasked;
        candidate.attempts = 0;
        candidate.resend = false;
    }
}
