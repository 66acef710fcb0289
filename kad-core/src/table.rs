//! The routing table: rows of one flat slice, the last row splitting as in section 2.4 of the paper.
//!
//! Row i holds the contacts that share exactly i leading bits with this node's id; the last row in use holds all that share
//! more. `closest` walks the rows in order of distance, so it sorts only within a row.

use core::cmp::Ordering;

use kad_wire::{Contact, Endpoint, Instant, Key, NodeId};

use crate::bucket::{Admission, Bucket, ContactSlot, Place, Unanswered};
use crate::operation::Rank;

/// What the table knows of one row. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// When a lookup must go through this row's part of the key space, if none does before.
    pub(crate) refresh_at: Instant,
}

impl Row {
    /// An unused row.
    pub const EMPTY: Self = Self { refresh_at: Instant::ZERO };
}

/// A view of the whole table.
pub(crate) struct Table<'a> {
    pub(crate) own: &'a NodeId,
    pub(crate) k: usize,
    /// Rows in use, at least one.
    pub(crate) depth: &'a mut u16,
    pub(crate) rows: &'a mut [Row],
    pub(crate) slots: &'a mut [ContactSlot],
}

impl Table<'_> {
    /// Slots of one row: k, and the spares.
    fn width(&self) -> usize {
        self.slots.len().checked_div(self.rows.len()).unwrap_or(0)
    }

    pub(crate) fn depth(&self) -> usize {
        usize::from(*self.depth).min(self.rows.len()).max(1)
    }

    /// The row that an id belongs to.
    #[inline(never)]
    pub(crate) fn row_of(&self, id: &NodeId) -> usize {
        let shared = self.own.as_key().shared_bits(id.as_key());
        shared.min(self.depth().saturating_sub(1))
    }

    #[inline(never)]
    pub(crate) fn bucket(&mut self, row: usize) -> Bucket<'_> {
        let width = self.width();
        let start = row.saturating_mul(width);
        let slots = self.slots.get_mut(start..start.saturating_add(width)).unwrap_or_default();
        Bucket { slots, k: self.k }
    }

    fn row(&self, row: usize) -> &[ContactSlot] {
        let width = self.width();
        let start = row.saturating_mul(width);
        self.slots.get(start..start.saturating_add(width)).unwrap_or_default()
    }

    pub(crate) fn find(&mut self, id: &NodeId) -> Option<&mut ContactSlot> {
        let slot = self.position(id)?;
        self.slots.get_mut(slot)
    }

    /// The slot of an id.
    pub(crate) fn position(&self, id: &NodeId) -> Option<usize> {
        let row = self.row_of(id);
        let at = self.row(row).iter().position(|slot| slot.place != Place::Free && slot.contact.id == *id)?;
        Some(row.saturating_mul(self.width()).saturating_add(at))
    }

    /// Notes that a contact proved to be there: by an answer (with its round-trip time) or a token.
    pub(crate) fn admit(&mut self, now: Instant, contact: &Contact, rtt_us: Option<u64>) -> Admission {
        if contact.id == *self.own || !contact.endpoint.is_usable() {
            return Admission::Refused;
        }
        let known = self.find(&contact.id).map(|slot| slot.contact.endpoint);
        if known.is_none() {
            // Most who answer find a full bucket. The search through the whole table below is for those who do not.
            let row = self.row_of(&contact.id);
            let may_split = row.saturating_add(1) == self.depth() && self.depth() < self.rows.len();
            if !may_split && !self.bucket(row).takes_more(now) {
                return Admission::Refused;
            }
        }
        // Also for an id that is known: it may be about to move to an address that was somebody else's.
        if known != Some(contact.endpoint) {
            self.forget_endpoint(&contact.endpoint, &contact.id);
        }
        loop {
            let row = self.row_of(&contact.id);
            let is_last = row.saturating_add(1) == self.depth();
            let mut bucket = self.bucket(row);
            let splits = is_last && bucket.is_full() && bucket.find(&contact.id).is_none();
            if !(splits && self.split()) {
                return self.bucket(row).admit(now, contact, rtt_us);
            }
        }
    }

    /// Whether an unproven sender would get a place, so that asking for its proof is worth a datagram.
    pub(crate) fn has_place_for(&mut self, contact: &Contact) -> bool {
        if contact.id == *self.own || !contact.endpoint.is_usable() {
            return false;
        }
        if let Some(known) = self.find(&contact.id) {
            // It may have moved.
            return known.contact.endpoint != contact.endpoint;
        }
        let row = self.row_of(&contact.id);
        let may_split = row.saturating_add(1) == self.depth() && self.depth() < self.rows.len();
        may_split || !self.bucket(row).is_full()
    }

    /// An address that answers with one id does not belong to another one.
    fn forget_endpoint(&mut self, endpoint: &Endpoint, answering: &NodeId) {
        let in_use = self.slots.get(..self.depth().saturating_mul(self.width())).unwrap_or_default();
        let other = in_use.iter().find(|slot| {
            slot.place != Place::Free && slot.contact.endpoint == *endpoint && slot.contact.id != *answering
        });
        if let Some(id) = other.map(|slot| slot.contact.id) {
            self.remove(&id);
        }
    }

    pub(crate) fn remove(&mut self, id: &NodeId) {
        let row = self.row_of(id);
        self.bucket(row).remove(id);
    }

    /// Notes that a contact did not answer a request. Says whether it left the table.
    pub(crate) fn failed(&mut self, contact: &Contact) -> bool {
        let row = self.row_of(&contact.id);
        self.bucket(row).failed(contact, Unanswered::Request)
    }

    /// Notes that a contact did not answer a check. Says whether it left the table.
    pub(crate) fn check_failed(&mut self, contact: &Contact) -> bool {
        let others_answer = self.slots.iter().any(|slot| slot.is_good() && slot.contact.id != contact.id);
        let row = self.row_of(&contact.id);
        self.bucket(row).failed(contact, Unanswered::Check { others_answer })
    }

    /// The contact that is known at an address.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Option<Contact> {
        let is_there = |slot: &&ContactSlot| slot.place != Place::Free && slot.contact.endpoint == *endpoint;
        self.slots.iter().find(is_there).map(|slot| slot.contact)
    }

    /// Contacts of a row that a join, or a split, leaves with fewer than these are looked for.
    pub(crate) fn few(&self) -> usize {
        (self.k / 4).max(1)
    }

    /// Whether all that this node knows in its last row agree with it in the bit that they could differ in first: then it
    /// knows nobody in a part of the key space as large as the one that it knows.
    pub(crate) fn is_one_sided(&self) -> bool {
        let last = self.depth().saturating_sub(1);
        let parts_here =
            |slot: &ContactSlot| slot.is_live() && self.own.as_key().shared_bits(slot.contact.id.as_key()) == last;
        !self.row(last).iter().any(parts_here)
    }

    /// Gives the contacts that share more bits than the last row's number a row of their own. If that leaves few others, they
    /// are looked for at once.
    fn split(&mut self) -> bool {
        let depth = self.depth();
        if depth >= self.rows.len() {
            return false;
        }
        let last = depth.checked_sub(1).and_then(|last| self.rows.get(last)).copied();
        if let (Some(row), Some(last)) = (self.rows.get_mut(depth), last) {
            *row = last;
        }
        *self.depth = u16::try_from(depth.saturating_add(1)).unwrap_or(u16::MAX);
        let (width, own) = (self.width(), self.own);
        let upper_start = depth.saturating_sub(1).saturating_mul(width);
        let rows = self.slots.get_mut(upper_start..).unwrap_or_default();
        if let Some((upper, rest)) = rows.split_at_mut_checked(width) {
            let moving = upper.iter_mut().filter(|slot| {
                slot.place != Place::Free && own.as_key().shared_bits(slot.contact.id.as_key()) >= depth
            });
            for (from, to) in moving.zip(rest.iter_mut()) {
                *to = *from;
                from.place = Place::Free;
            }
        }
        self.bucket(depth.saturating_sub(1)).promote();
        self.bucket(depth).promote();
        let left = self.bucket(depth.saturating_sub(1)).live();
        if left < self.few()
            && let Some(row) = self.rows.get_mut(depth.saturating_sub(1))
        {
            row.refresh_at = Instant::ZERO;
        }
        true
    }

    /// Rows in order of their contacts' distance to `target`.
    ///
    /// Contacts of row i differ from this node first in bit i. Where this node and the target differ in bit i too, such a
    /// contact agrees with the target there and every contact of a later row does not: it is nearer than all of them. Where
    /// they agree, it is farther than all of them.
    fn rows_by_distance(&self, target: &Key) -> impl Iterator<Item = usize> + use<> {
        let difference = self.own.distance(target);
        let last = self.depth().saturating_sub(1);
        // Up through the nearer ones, the last row, and down again through the farther ones.
        let end = last.saturating_mul(2);
        (0..end.saturating_add(1)).filter_map(move |step| {
            let row = step.min(end.saturating_sub(step));
            let nearer = step < last;
            (step == last || difference.bit(row) == nearer).then_some(row)
        })
    }

    /// Writes the slots of the eligible contacts nearest to `target` to `out`, nearest first, and says how many.
    pub(crate) fn closest(&self, target: &Key, eligible: impl Fn(&ContactSlot) -> bool, out: &mut [u16]) -> usize {
        let mut sorted = NearestFirst { target, slots: self.slots, list: [Rank::NONE; LIST], len: 0 };
        let wanted = out.len().min(LIST);
        for row in self.rows_by_distance(target) {
            let start = row.saturating_mul(self.width());
            for (offset, slot) in self.row(row).iter().enumerate() {
                if eligible(slot) {
                    sorted.insert(start.saturating_add(offset), &slot.contact.id, wanted);
                }
            }
            if sorted.len >= wanted {
                break;
            }
        }
        for (to, from) in out.iter_mut().zip(&sorted.list).take(sorted.len) {
            *to = from.place() as u16;
        }
        sorted.len
    }

    /// The row that the part of the key space belongs to which `target` is in.
    pub(crate) fn row_near(&mut self, target: &Key) -> Option<&mut Row> {
        let row = self.row_of(&NodeId::from_bytes(*target.as_bytes()));
        self.rows.get_mut(row)
    }
}

/// Most contacts that are asked for at a time.
const LIST: usize = 64;

/// A bounded insertion sort of slots by distance.
struct NearestFirst<'a> {
    target: &'a Key,
    slots: &'a [ContactSlot],
    list: [Rank; LIST],
    len: usize,
}

impl NearestFirst<'_> {
    /// Takes a slot in if it is among the `most` nearest so far.
    fn insert(&mut self, index: usize, id: &NodeId, most: usize) {
        let Ok(index) = u16::try_from(index) else { return };
        let distance = id.distance(self.target);
        let mut rank = Rank::new(&distance, index);
        let (slots, target) = (self.slots, self.target);
        let is_nearer = |other: Rank| match rank.near().cmp(&other.near()) {
            Ordering::Equal => slots.get(other.place()).is_some_and(|slot| distance < slot.contact.id.distance(target)),
            order => order == Ordering::Less,
        };
        let list = self.list.get(..self.len).unwrap_or_default();
        let at = list.iter().rposition(|other| !is_nearer(*other)).map_or(0, |before| before.saturating_add(1));
        self.len = self.len.saturating_add(1).min(most);
        for place in self.list.get_mut(at..self.len).unwrap_or_default() {
            core::mem::swap(place, &mut rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: usize = 4;
    const WIDTH: usize = K + 1;

    struct Bench {
        own: NodeId,
        depth: u16,
        rows: Vec<Row>,
        slots: Vec<ContactSlot>,
    }

    impl Bench {
        fn new(own: NodeId, rows: usize) -> Self {
            Self { own, depth: 1, rows: vec![Row::EMPTY; rows], slots: vec![ContactSlot::EMPTY; rows * WIDTH] }
        }

        fn table(&mut self) -> Table<'_> {
            Table { own: &self.own, k: K, depth: &mut self.depth, rows: &mut self.rows, slots: &mut self.slots }
        }
    }

    /// An id that shares a given number of bits with zero, so that deep rows fill too.
    fn near_zero() -> impl Strategy<Value = NodeId> {
        (0usize..40, any::<[u8; 32]>()).prop_map(|(shared, mut bytes)| {
            for bit in 0..shared {
                bytes[bit / 8] &= !(0x80 >> (bit % 8));
            }
            bytes[shared / 8] |= 0x80 >> (shared % 8);
            NodeId::from_bytes(bytes)
        })
    }

    fn contact(id: NodeId, number: usize) -> Contact {
        let endpoint = (core::net::Ipv4Addr::new(10, 0, (number / 250) as u8, (number % 250) as u8), 9000).into();
        Contact { id, endpoint }
    }

    proptest! {
        #![proptest_config(crate::repeatable(256))]

        #[test]
        fn closest_equals_brute_force_and_every_contact_is_in_its_row(
            ids in prop::collection::vec(near_zero(), 0..200),
            target in any::<[u8; 32]>(),
            near_target in near_zero(),
            rows in 1usize..12,
            wanted in 0usize..30,
        ) {
            let mut bench = Bench::new(NodeId::from_bytes([0; 32]), rows);
            let mut table = bench.table();
            for (number, id) in ids.iter().enumerate() {
                table.admit(Instant::from_micros(number as u64), &contact(*id, number), None);
            }
            for target in [Key::from_bytes(target), *near_target.as_key()] {
                let mut out = vec![0; wanted];
                let found = table.closest(&target, ContactSlot::is_good, &mut out);
                let found: Vec<_> = out[..found].iter().map(|&i| table.slots[usize::from(i)].contact.id).collect();
                let mut all: Vec<_> = table.slots.iter().filter(|slot| slot.is_live()).map(|slot| slot.contact.id).collect();
                all.sort_by_key(|id| id.distance(&target));
                all.truncate(wanted);
                prop_assert_eq!(found, all);
            }
            for row in 0..rows {
                let ids: Vec<_> = table.row(row).iter().filter(|slot| slot.place != Place::Free).map(|slot| slot.contact.id).collect();
                prop_assert!(ids.iter().all(|id| table.row_of(id) == row));
                prop_assert!(table.bucket(row).live() <= K);
            }
        }

        #[test]
        fn whoever_got_a_place_keeps_it_through_every_split(ids in prop::collection::vec(near_zero(), 0..200)) {
            let mut bench = Bench::new(NodeId::from_bytes([0; 32]), 64);
            let mut table = bench.table();
            let mut placed = Vec::new();
            for (number, id) in ids.iter().enumerate() {
                let contact = contact(*id, number);
                if table.admit(Instant::from_micros(number as u64), &contact, None) == Admission::Added {
                    placed.push(*id);
                }
                prop_assert!(placed.iter().all(|id| table.find(id).is_some_and(|slot| slot.is_live())));
            }
        }
    }

    /// What can befall a table. Contacts and addresses come from small pools, so that they meet again.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Somebody proves to be at an address.
        Admit {
            id: usize,
            address: usize,
        },
        /// A request to somebody at an address is not answered.
        Fail {
            id: usize,
            address: usize,
        },
        /// Nor is the check that follows.
        FailCheck {
            id: usize,
        },
        Remove {
            id: usize,
        },
    }

    const ADDRESSES: usize = 40;

    fn steps(ids: usize) -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..ids, 0..ADDRESSES).prop_map(|(id, address)| Step::Admit { id, address }),
            // Most often at the address that it always had: otherwise few would stay long enough to fail.
            12 => (0..ids).prop_map(|id| Step::Admit { id, address: id }),
            6 => (0..ids).prop_map(|id| Step::Fail { id, address: id }),
            6 => (0..ids).prop_map(|id| Step::FailCheck { id }),
            1 => (0..ids, 0..ADDRESSES).prop_map(|(id, address)| Step::Fail { id, address }),
            1 => (0..ids).prop_map(|id| Step::Remove { id }),
        ];
        prop::collection::vec(step, 0..300)
    }

    /// Every rule that ARCHITECTURE.md states of the table, by brute force.
    fn keeps_its_rules(table: &mut Table<'_>, targets: &[Key]) -> Result<(), TestCaseError> {
        let taken: Vec<_> = table.slots.iter().filter(|slot| slot.place != Place::Free).copied().collect();
        let ids: std::collections::BTreeSet<_> = taken.iter().map(|slot| slot.contact.id).collect();
        let addresses: std::collections::BTreeSet<_> = taken.iter().map(|slot| slot.contact.endpoint).collect();
        prop_assert_eq!(ids.len(), taken.len(), "an id is in the table once");
        prop_assert_eq!(addresses.len(), taken.len(), "an address is in the table once");
        prop_assert!(!ids.contains(table.own), "this node's id is nowhere");
        for row in 0..table.rows.len() {
            let held: Vec<_> = table.row(row).iter().filter(|slot| slot.place != Place::Free).copied().collect();
            let live = held.iter().filter(|slot| slot.is_live()).count();
            prop_assert!(live <= K, "a row has at most k live contacts");
            prop_assert!(held.len() == live || live == K, "a spare waits only where there is no place");
            for slot in held {
                let shared = table.own.distance(slot.contact.id.as_key()).shared_bits();
                prop_assert_eq!(row, shared.min(table.depth() - 1), "everyone is in the row that its distance gives");
            }
        }
        for target in targets {
            let mut good: Vec<_> = taken.iter().filter(|slot| slot.is_good()).map(|slot| slot.contact.id).collect();
            good.sort_by_key(|id| id.distance(target));
            for wanted in [1, K, 64] {
                let mut out = vec![0; wanted];
                let found = table.closest(target, ContactSlot::is_good, &mut out);
                let found: Vec<_> = out[..found].iter().map(|&i| table.slots[usize::from(i)].contact.id).collect();
                prop_assert_eq!(&found[..], &good[..wanted.min(good.len())], "closest equals brute force");
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(crate::repeatable(300))]

        #[test]
        fn whatever_befalls_it_the_table_keeps_its_rules(
            ids in prop::collection::vec(near_zero(), ADDRESSES),
            steps in steps(ADDRESSES),
            far in any::<[u8; 32]>(),
            near in near_zero(),
            rows in 1usize..10,
        ) {
            let mut bench = Bench::new(NodeId::from_bytes([0; 32]), rows);
            let mut table = bench.table();
            let targets = [Key::from_bytes(far), *near.as_key(), *table.own.as_key()];
            for (number, step) in steps.iter().enumerate() {
                let now = Instant::from_micros(number as u64);
                let before: Vec<_> = table.slots.iter().filter(|slot| slot.may_live()).map(|slot| slot.contact).collect();
                match *step {
                    Step::Admit { id, address } => {
                        let newcomer = contact(ids[id], address);
                        table.admit(now, &newcomer, None);
                        let pushed_out = before.iter().find(|old| {
                            old.id != newcomer.id
                                && old.endpoint != newcomer.endpoint
                                && !table.find(&old.id).is_some_and(|slot| slot.is_live())
                        });
                        prop_assert!(pushed_out.is_none(), "a newcomer never displaces a live contact");
                    }
                    Step::Fail { id, address } => {
                        table.failed(&contact(ids[id], address));
                    }
                    Step::FailCheck { id } => {
                        table.check_failed(&contact(ids[id], id));
                    }
                    Step::Remove { id } => table.remove(&ids[id]),
                }
                keeps_its_rules(&mut table, &targets)?;
            }
        }
    }

    #[test]
    fn oneself_and_martians_are_refused() {
        let own = NodeId::from_bytes([1; 32]);
        let mut bench = Bench::new(own, 4);
        let mut table = bench.table();
        assert_eq!(table.admit(Instant::ZERO, &contact(own, 1), None), Admission::Refused);
        let nowhere = Contact { id: NodeId::from_bytes([2; 32]), endpoint: Endpoint::UNSPECIFIED };
        assert_eq!(table.admit(Instant::ZERO, &nowhere, None), Admission::Refused);
        assert_eq!(table.slots.iter().filter(|slot| slot.is_live()).count(), 0);
    }

    #[test]
    fn an_id_that_moves_to_the_address_of_another_takes_it() {
        let mut bench = Bench::new(NodeId::from_bytes([0; 32]), 4);
        let mut table = bench.table();
        let (moving, other) = (NodeId::from_bytes([2; 32]), NodeId::from_bytes([3; 32]));
        table.admit(Instant::ZERO, &contact(moving, 1), None);
        table.admit(Instant::ZERO, &contact(other, 2), None);
        table.failed(&contact(moving, 1));
        table.check_failed(&contact(moving, 1));
        assert_eq!(table.admit(Instant::ZERO, &contact(moving, 2), None), Admission::Moved);
        assert!(table.find(&other).is_none() && table.find(&moving).is_some());
    }

    #[test]
    fn an_address_belongs_to_the_id_that_answered_last() {
        let mut bench = Bench::new(NodeId::from_bytes([0; 32]), 4);
        let mut table = bench.table();
        let (old, new) = (NodeId::from_bytes([2; 32]), NodeId::from_bytes([3; 32]));
        table.admit(Instant::ZERO, &contact(old, 1), None);
        table.admit(Instant::ZERO, &contact(new, 1), None);
        assert!(table.find(&old).is_none() && table.find(&new).is_some());
    }
}
