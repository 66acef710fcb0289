//! What a node knows of the nodes around it, and of its own room: for whoever passes its values on.

use kad_wire::{Contact, Instant, Key};

use super::Node;
use crate::bucket::Admission;
use crate::operation::Operation;
use crate::stats::count;

impl Node<'_> {
    /// Whether it knows nobody who may be there.
    #[inline(never)]
    pub fn is_alone(&self) -> bool {
        !self.memory.contacts.iter().any(|slot| slot.may_live())
    }

    /// Places for operations.
    pub fn operations(&self) -> usize {
        self.memory.operations.len()
    }

    /// Places for operations that are free.
    pub fn free_operations(&self) -> usize {
        self.memory.operations.iter().filter(|operation| Operation::is_free(operation)).count()
    }

    /// Items that one operation handles.
    pub fn items_per_operation(&self) -> usize {
        self.memory.items.len().checked_div(self.memory.operations.len()).unwrap_or(0)
    }

    /// How many leading bits keys must share to have, by and large, the same k nearest nodes. 0 while this node knows fewer
    /// than k others: then everybody holds everything.
    ///
    /// The k nearest that it knows tell how dense the network is: ids are spread evenly. A region of the size that this
    /// gives holds about k / 4 nodes, so that the k nearest to one of its keys, which reach two levels farther, are near
    /// all of them. With a small k it is smaller: k nodes that happen to be near each other would take the region for
    /// themselves, and what was stored for all of it at others would not be found.
    pub fn region_bits(&mut self) -> usize {
        let (own, k) = (self.id(), self.k());
        let margin = match k {
            0..=5 => 6,
            6..=15 => 4,
            _ => 2,
        };
        let mut slots = [0; 64];
        let wanted = slots.get_mut(..k).unwrap_or_default();
        let nearest = self.memory.nearest_of_all(own.as_key(), wanted);
        if nearest.len() < k {
            return 0;
        }
        let farthest = nearest.last().and_then(|slot| self.memory.contact(*slot));
        let shared = farthest.map_or(0, |contact| own.as_key().shared_bits(contact.id.as_key()));
        shared.saturating_add(margin)
    }

    /// Takes in a contact that its owner answers for: one that this node itself knew before a restart, and that was written
    /// down. It is told to others and asked like any other, and lost like any other if it is silent. Answers whether it
    /// has a place.
    pub fn adopt(&mut self, now: Instant, contact: &Contact) -> bool {
        if !self.memory.head.settings.families.reach(&contact.endpoint) {
            return false;
        }
        // It is no newcomer: what this node holds was handed over when it was one.
        let admission = self.add_to_table(now, contact, None);
        if admission == Admission::Added {
            count!(self.memory.head.stats, contacts_added);
        }
        // Nor does its bucket need a refresh at once.
        let next = self.next_refresh_of_a_row(now);
        if let Some(row) = self.memory.table().row_near(contact.id.as_key())
            && row.refresh_at == Instant::ZERO
        {
            row.refresh_at = next;
        }
        self.settle_upkeep();
        admission != Admission::Refused
    }

    /// The next contact that has come near: one of the k nearest that this node knows. Each is told once.
    pub fn poll_newcomer(&mut self) -> Option<Contact> {
        if !self.memory.head.newcomers {
            return None;
        }
        match self.memory.contacts.iter_mut().find(|slot| slot.is_live() && slot.is_newcomer()) {
            Some(slot) => {
                slot.set_newcomer(false);
                Some(slot.contact)
            }
            None => {
                self.memory.head.newcomers = false;
                None
            }
        }
    }

    /// Whether this node should give a newcomer what it holds under `key`: the newcomer is one of the k nearest to it, and
    /// of the others nobody that is known is nearer to it than this node, so that not all holders do the same.
    pub fn should_hand_over(&mut self, key: &Key, newcomer: &Contact) -> bool {
        let k = self.k();
        let (own, theirs) = (self.id().distance(key), newcomer.id.distance(key));
        let mut slots = [0; 64];
        let wanted = slots.get_mut(..k).unwrap_or_default();
        let others = self.memory.nearest_but(key, &newcomer.id, wanted);
        let mut nearer_than_newcomer = usize::from(own < theirs);
        for other in others.iter().filter_map(|slot| self.memory.contact(*slot)) {
            let distance = other.id.distance(key);
            if distance < own {
                return false;
            }
            nearer_than_newcomer = nearer_than_newcomer.saturating_add(usize::from(distance < theirs));
        }
        nearer_than_newcomer < k
    }

    /// Notes a contact that has just entered the table, if it is one of the k nearest.
    pub(crate) fn note_newcomer(&mut self, contact: &Contact) {
        let (own, k) = (self.id(), self.k());
        let distance = own.distance(contact.id.as_key());
        let nearer = |slot: &&crate::ContactSlot| slot.is_live() && own.distance(slot.contact.id.as_key()) < distance;
        if self.memory.contacts.iter().filter(nearer).count() >= k {
            return;
        }
        if let Some(slot) = self.memory.find(&contact.id) {
            slot.set_newcomer(true);
            self.memory.head.newcomers = true;
        }
    }
}
