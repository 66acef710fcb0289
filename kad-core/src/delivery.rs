//! The second half of an operation: giving something to the k nearest that answered, and replacing those that fail.

use kad_wire::{ItemStatus, NodeId};

use crate::lookup::Lookup;
use crate::operation::{Candidate, Give, ItemState, Walk};

impl Lookup<'_> {
    /// The candidates to give to: the k nearest that answered and did not fail or refuse since. With `own`, this node
    /// itself takes one of the k places if it is near enough.
    fn holders(&self, k: usize, own: Option<NodeId>) -> impl Iterator<Item = (usize, &Candidate)> {
        let able = |candidate: &Candidate| candidate.walk == Walk::Answered && candidate.give != Give::Failed;
        let target = self.operation.target;
        let own = own.map(|own| own.distance(&target));
        let able = self.nearest().filter(move |(_, candidate)| able(candidate));
        able.enumerate().filter_map(move |(rank, (place, candidate))| {
            let nearer_self = own.is_some_and(|own| own < candidate.contact.id.distance(&target));
            (rank.saturating_add(usize::from(nearer_self)) < k).then_some((place, candidate))
        })
    }

    /// Chooses those that are to be given something and have not been chosen yet.
    pub(crate) fn choose_holders(&mut self, k: usize, own: Option<NodeId>) {
        loop {
            let mut holders = self.holders(k, own);
            let next = holders.find(|(_, candidate)| candidate.give == Give::Nothing).map(|(place, _)| place);
            drop(holders);
            let Some(place) = next else { return };
            match self.candidates.get_mut(place) {
                Some(candidate) => {
                    candidate.give = Give::Due;
                    candidate.attempts = 0;
                    candidate.late = false;
                }
                None => return,
            }
        }
    }

    /// Whether everyone chosen is done.
    pub(crate) fn is_delivered(&self, k: usize, own: Option<NodeId>) -> bool {
        let mut holders = self.holders(k, own);
        holders.all(|(_, candidate)| candidate.give == Give::Done)
            && self
                .candidates
                .iter()
                .all(|candidate| matches!(candidate.give, Give::Nothing | Give::Done | Give::Failed))
    }

    /// Whom to give to next, while fewer than `width` are being given to.
    pub(crate) fn next_to_give(&self, width: usize) -> Option<usize> {
        let busy = |candidate: &&Candidate| matches!(candidate.give, Give::Sent | Give::Pulling);
        if self.candidates.iter().filter(busy).count() >= width {
            return None;
        }
        self.nearest().find(|(_, candidate)| candidate.give == Give::Due).map(|(place, _)| place)
    }

    /// Notes what a holder said of one item. Answers whether it is a new copy.
    pub(crate) fn item_answered(&mut self, place: usize, item: u32, status: Option<ItemStatus>) -> bool {
        let Some(bit) = 1u32.checked_shl(item) else { return false };
        let Some(candidate) = self.candidates.get_mut(place) else { return false };
        candidate.pulling &= !bit;
        // What was said once counts: a holder that takes back its word must not be counted twice either.
        if candidate.acked & bit != 0 {
            return false;
        }
        if !status.is_some_and(ItemStatus::is_held) {
            candidate.closed |= bit;
            candidate.refused(status);
            return false;
        }
        candidate.acked |= bit;
        candidate.closed &= !bit;
        if let Some(slot) = self.items.get_mut(item as usize) {
            slot.copies = slot.copies.saturating_add(1);
        }
        true
    }

    /// Notes that a holder is too busy for an item, which it no longer pulls if it did.
    pub(crate) fn item_waits(&mut self, place: usize, item: u32) {
        let Some(bit) = 1u32.checked_shl(item) else { return };
        let Some(candidate) = self.candidates.get_mut(place) else { return };
        candidate.pulling &= !bit;
        candidate.busy |= bit;
        candidate.refused(Some(ItemStatus::Busy));
    }

    /// After an answer: on to what is still pulled, to the next items, or to the end with this holder. What it was too busy
    /// for is offered again after the time that it named, if any, within reason; but not before everything else of the
    /// datagram is settled: a new one would take back the offers that it is about to pull.
    pub(crate) fn holder_goes_on(&mut self, place: usize, retry_ms: u32) {
        let all = self.operation.item_mask();
        let Some(candidate) = self.candidates.get_mut(place) else { return };
        let settled = candidate.acked | candidate.closed;
        candidate.give = if candidate.pulling != 0 {
            Give::Pulling
        } else if candidate.carried & !settled & !candidate.busy != 0 {
            Give::Sent
        } else if all & !settled != 0 {
            let waits = retry_ms != 0 && candidate.busy & !settled != 0;
            // The deadline counts from the last request, which is good enough for a pause.
            let until = candidate.sent.plus_millis(u64::from(retry_ms.clamp(10, 5000)));
            if waits && until > candidate.patience {
                candidate.give = if candidate.acked != 0 { Give::Done } else { Give::Failed };
                return;
            }
            candidate.carried = 0;
            candidate.busy = 0;
            candidate.attempts = 0;
            candidate.late = false;
            if waits {
                candidate.deadline = until;
                Give::Waiting
            } else {
                Give::Due
            }
        } else if candidate.acked != 0 {
            Give::Done
        } else {
            Give::Failed
        };
    }

    /// The item that a header describes. The digest alone will not do: it binds type, lock and length, but who names it can
    /// name others with it, and must not spoil the item for those that have it.
    pub(crate) fn item_of(&self, key: &kad_wire::Key, header: &kad_wire::ItemHeader) -> Option<usize> {
        let described =
            |header: &kad_wire::ItemHeader| (header.digest, header.item_type, header.lock, header.total_len);
        let is = |slot: &crate::operation::ItemSlot| {
            slot.state != ItemState::Free && slot.key == *key && described(&slot.header) == described(header)
        };
        self.items.iter().position(is)
    }

    /// The item with this key and digest.
    pub(crate) fn item(&self, key: &kad_wire::Key, digest: &kad_wire::Digest) -> Option<usize> {
        let is = |slot: &crate::operation::ItemSlot| {
            slot.state != ItemState::Free && slot.key == *key && slot.header.digest == *digest
        };
        self.items.iter().position(is)
    }
}
