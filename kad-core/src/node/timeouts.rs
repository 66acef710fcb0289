//! What happens when nothing comes.

use kad_wire::Instant;

use super::Node;
use crate::operation::{Give, Kind, Walk};
use crate::schedule::Slot;
use crate::stats::count;
use crate::transfer::{EMPTY_ROUNDS, State};

/// How often a bootstrap address is asked: there may be no other way into the network.
pub(crate) const BOOTSTRAP_ATTEMPTS: u8 = 4;

impl Node<'_> {
    /// Does what is due at `now`: repeats or gives up what was not answered, ends what is past its deadline, refreshes the
    /// table. Call it when [`poll_timeout`](Self::poll_timeout) has come; too early or twice does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Each slot is looked at once per call: what it sets its next deadline to lies in the future.
        let slots = self.memory.transfers.len().saturating_add(self.memory.operations.len()).saturating_add(1);
        for _ in 0..slots.saturating_mul(2) {
            let Some((at, slot)) = self.next_deadline() else { return };
            if at > now {
                return;
            }
            match slot {
                Slot::Upkeep => self.upkeep(now),
                Slot::Transfer(index) => self.transfer_late(now, index),
                Slot::Operation(index) => self.operation_late(now, index),
            }
        }
    }

    fn operation_late(&mut self, now: Instant, operation: usize) {
        let Some(slot) = self.memory.operations.get_mut(operation) else { return };
        if slot.deadline <= now {
            slot.timed_out = true;
            self.end(now, operation);
            return;
        }
        for place in 0..self.memory.shortlist() {
            self.candidate_late(now, operation, place);
        }
        self.settle_operation(now, operation);
    }

    /// A candidate whose deadline has passed is asked again or given up.
    fn candidate_late(&mut self, now: Instant, operation: usize, place: usize) {
        let attempts = self.attempts();
        let Some((slot, candidate)) = self.memory.candidate(operation, place) else { return };
        let storing = slot.kind == Kind::Store;
        if candidate.wakes().is_none_or(|at| at > now) {
            return;
        }
        match candidate.give {
            Give::Waiting => {
                candidate.give = Give::Due;
                candidate.carried = 0;
                return;
            }
            // The final answer may be lost, or the holder gone.
            Give::Pulling => candidate.give = Give::Sent,
            _ => {}
        }
        let attempts = if candidate.anonymous {
            attempts.max(BOOTSTRAP_ATTEMPTS)
        } else if storing && candidate.give == Give::Sent {
            // A store repeats once more: its answer may wait for a disk.
            attempts.saturating_add(1)
        } else {
            attempts
        };
        // Two that went out together are one attempt.
        let attempts = attempts.saturating_add(candidate.probes.into());
        if candidate.attempts < attempts {
            candidate.late = true;
            candidate.resend = true;
            return;
        }
        let contact = candidate.contact;
        let known = !candidate.anonymous;
        self.candidate_failed(operation, place);
        count!(self.memory.head.stats, timeouts);
        if known {
            self.contact_failed(now, &contact);
        }
    }

    /// A candidate drops out of the half of the operation that it was in.
    pub(crate) fn candidate_failed(&mut self, operation: usize, place: usize) {
        let Some((_, candidate)) = self.memory.candidate(operation, place) else { return };
        candidate.resend = false;
        candidate.pulling = 0;
        if candidate.give == Give::Nothing {
            candidate.walk = Walk::Failed;
        } else if candidate.acked != 0 {
            // It holds some of the items, and is silent now: what it said counts.
            candidate.give = Give::Done;
        } else {
            candidate.give = Give::Failed;
        }
    }

    fn transfer_late(&mut self, now: Instant, index: usize) {
        let (contended, was_short) = (self.rows_are_contended(), self.is_short_of_credit());
        let Some(transfer) = self.memory.transfers.get_mut(index) else { return };
        if transfer.deadline <= now {
            self.fail_transfer(now, index, false);
            return;
        }
        transfer.round_ends = Instant::ZERO;
        transfer.empty_rounds = transfer.empty_rounds.saturating_add(1);
        let silent_offer = transfer.is_offered() && !transfer.proven;
        let give_up = match transfer.state {
            State::Free => return,
            State::Waiting => transfer.empty_rounds >= 2,
            // Whoever offers and then says nothing must not keep a row from others.
            State::Pulling => transfer.empty_rounds >= EMPTY_ROUNDS || (silent_offer && contended),
        };
        if give_up {
            self.fail_transfer(now, index, false);
            return;
        }
        transfer.proving = false;
        let outstanding = transfer.window.outstanding();
        let again = transfer.empty_rounds >= 2;
        transfer.window.lost(again);
        self.pull_smaller(index);
        self.memory.head.granted = self.memory.head.granted.saturating_sub(outstanding);
        self.credit_changed(was_short, index);
        self.settle_transfer(index);
    }
}
