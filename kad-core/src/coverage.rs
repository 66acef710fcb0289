//! How much of its target's neighbourhood a lookup has heard: whether "there is no such value" can be said after it.

use kad_wire::{Key, NodeId};

use crate::bucket::ContactSlot;
use crate::event::FindEnd;
use crate::lookup::{Lookup, nearest};
use crate::memory::Memory;
use crate::operation::{Candidate, ItemState, Kind, Operation, Walk};

/// What a lookup has learned of the k nodes nearest to its target, among all that it heard of and all that this node's table
/// has. Those that failed count among the k nearest: they may hold what was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coverage {
    /// The nearest known nodes, k at the most.
    pub nearest: u8,
    /// Of these, those that answered.
    pub answered: u8,
    /// Of these, those that did not answer or refused.
    pub failed: u8,
    /// Of those that failed, the contacts that were silent before the lookup began, and were not asked again.
    pub silent: u8,
}

impl Coverage {
    pub(crate) const NONE: Self = Self { nearest: 0, answered: 0, failed: 0, silent: 0 };

    /// Returns whether enough of the nearest nodes answered to tell what does not exist: at least half of them, and at least
    /// one.
    pub const fn is_enough(&self) -> bool {
        self.answered > 0 && self.nearest <= self.answered.saturating_mul(2)
    }

    fn count(&mut self, walk: Walk) {
        self.nearest = self.nearest.saturating_add(1);
        match walk {
            Walk::Answered => self.answered = self.answered.saturating_add(1),
            Walk::Failed => self.failed = self.failed.saturating_add(1),
            Walk::Free | Walk::Unasked | Walk::Asked => {}
        }
    }

    fn count_silent(&mut self) {
        self.count(Walk::Failed);
        self.silent = self.silent.saturating_add(1);
    }
}

impl Memory<'_> {
    /// What an operation has learned of the k nodes nearest to its target.
    pub(crate) fn coverage(&mut self, operation: usize) -> Coverage {
        let k = self.head.settings.k;
        let Some(target) = self.operations.get(operation).map(|slot| slot.target) else { return Coverage::NONE };
        let mut slots = [0; 64];
        let wanted = slots.len().min(k.into());
        let slots = slots.get_mut(..wanted).unwrap_or_default();
        let known = self.table().closest(&target, ContactSlot::is_live, slots);
        let (Some(slot), candidates) = (self.operations.get(operation), self.candidates_of(operation)) else {
            return Coverage::NONE;
        };
        let contacts = slots.iter().take(known).filter_map(|slot| self.contacts.get(usize::from(*slot)));
        let is_candidate = |id: &NodeId| named(slot, candidates).any(|candidate| candidate.contact.id == *id);
        let silent = contacts.filter(|contact| !contact.is_good() && !is_candidate(&contact.contact.id));
        merge(&target, k, named(slot, candidates), silent)
    }
}

/// Counts the k nearest of two lists, each nearest first.
fn merge<'a>(
    target: &Key,
    k: u8,
    candidates: impl Iterator<Item = &'a Candidate>,
    silent: impl Iterator<Item = &'a ContactSlot>,
) -> Coverage {
    let (mut coverage, mut silent) = (Coverage::NONE, silent.peekable());
    for candidate in candidates {
        let distance = candidate.contact.id.distance(target);
        while coverage.nearest < k && silent.next_if(|slot| slot.contact.id.distance(target) < distance).is_some() {
            coverage.count_silent();
        }
        if coverage.nearest >= k {
            return coverage;
        }
        coverage.count(candidate.walk);
    }
    while coverage.nearest < k && silent.next().is_some() {
        coverage.count_silent();
    }
    coverage
}

/// The candidates that are known by their ids, nearest first: all but the bootstrap addresses that have not answered.
pub(crate) fn named<'a>(
    operation: &Operation,
    candidates: &'a [Candidate],
) -> impl Iterator<Item = &'a Candidate> + use<'a> {
    nearest(operation, candidates).map(|(_, candidate)| candidate).filter(|candidate| !candidate.anonymous)
}

impl Lookup<'_> {
    /// How a find has ended. A value that some node announced and that did not come says more than anything else.
    pub(crate) fn find_end(&self) -> FindEnd {
        let Lookup { operation, candidates, items } = self;
        let announced = |slot: &&crate::operation::ItemSlot| {
            matches!(slot.state, ItemState::Wanted | ItemState::Pulling | ItemState::Failed)
        };
        let unfetched = items.iter().filter(announced).count();
        let nobody = !candidates.iter().any(|candidate| candidate.walk == Walk::Answered);
        match operation {
            Operation { kind: Kind::FindValue, all: false, values: 1.., .. } => FindEnd::Complete,
            _ if unfetched > 0 => FindEnd::Unfetched(unfetched),
            Operation { timed_out: true, .. } => FindEnd::TimedOut,
            _ if nobody && operation.coverage.nearest == 0 => FindEnd::Alone,
            _ if nobody => FindEnd::Unreachable,
            Operation { truncated: true, .. } => FindEnd::Truncated,
            _ if !operation.coverage.is_enough() => FindEnd::TooFewAnswered,
            _ => FindEnd::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_nearest_and_at_least_one_are_enough() {
        let coverage = |nearest, answered| Coverage { nearest, answered, failed: nearest - answered, silent: 0 };
        for (nearest, answered) in [(1, 1), (2, 1), (3, 2), (20, 10), (255, 128), (255, 255)] {
            assert!(coverage(nearest, answered).is_enough(), "{answered} of {nearest}");
        }
        for (nearest, answered) in [(0, 0), (1, 0), (3, 1), (20, 9), (255, 127)] {
            assert!(!coverage(nearest, answered).is_enough(), "{answered} of {nearest}");
        }
    }

    #[test]
    fn silent_contacts_count_among_the_nearest() {
        let id = |byte: u8| NodeId::from_bytes([byte; 32]);
        let contact = |byte| kad_wire::Contact { id: id(byte), endpoint: kad_wire::Endpoint::UNSPECIFIED };
        let candidate = |byte, walk| Candidate { contact: contact(byte), walk, ..Candidate::EMPTY };
        let silent = |byte| ContactSlot { contact: contact(byte), ..ContactSlot::EMPTY };
        let candidates = [candidate(1, Walk::Answered), candidate(4, Walk::Failed), candidate(6, Walk::Answered)];
        let contacts = [silent(2), silent(5), silent(9)];
        let of = |k| merge(&Key::default(), k, candidates.iter(), contacts.iter());
        assert_eq!(of(2), Coverage { nearest: 2, answered: 1, failed: 1, silent: 1 });
        assert_eq!(of(3), Coverage { nearest: 3, answered: 1, failed: 2, silent: 1 });
        assert_eq!(of(20), Coverage { nearest: 6, answered: 2, failed: 4, silent: 3 });
    }
}
