//! One bucket: up to k live contacts in least-recently-seen order, and a few verified spares (paper, section 4.1). This is
//! where eviction is decided.
//!
//! A live contact never makes place for a new one. A request that it does not answer makes it silent: it is checked, and
//! neither told to others nor asked for a lookup until it answers. When the check fails too it is bad, and makes place for a
//! spare or a newcomer. Without one it is kept and checked at growing pauses, and leaves after [`HOPELESS`] vain ones, unless
//! nobody answers at all: then this node itself is cut off.

use kad_wire::{Contact, Endpoint, Instant, NodeId};

use crate::estimate::Rtt;
use crate::path::Path;
use crate::via::Via;

/// Failures in a row after which a contact makes place for others: a request, and the check that followed it.
pub(crate) const BAD: u8 = 2;
/// Failures in a row after which a contact is dropped although nobody needs its place: after about twenty minutes.
pub(crate) const HOPELESS: u8 = 10;

/// Whoever was seen this recently is there: as a spare it keeps its place, and it is not asked for a newcomer's sake.
pub(crate) const FRESH_US: u64 = 60_000_000;

/// What a slot of the table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Free,
    /// One of the k of its bucket.
    Live,
    /// Verified, waiting for a place.
    Spare,
}

/// A place in the routing table. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
#[derive(Clone, Copy, Debug)]
pub struct ContactSlot {
    pub(crate) contact: Contact,
    pub(crate) place: Place,
    /// A request that it did not answer, and vain checks since.
    pub(crate) failures: u8,
    pub(crate) marks: u8,
    /// Chunks that the last transfer from it had in flight at its end; 0 if there was none.
    pub(crate) window: u8,
    /// How large the datagrams are that pass.
    pub(crate) path: Path,
    /// Through which address it was heard last.
    pub(crate) via: Via,
    pub(crate) rtt: Rtt,
    /// When it last proved to be there.
    pub(crate) seen: Instant,
}

/// Marks of a contact: its liveness is to be checked.
const DOUBTED: u8 = 1;
/// It came near, and the owner has not been told yet.
const NEWCOMER: u8 = 2;

impl ContactSlot {
    /// Returns whether there is reason to check that it is still there.
    pub(crate) const fn is_doubted(&self) -> bool {
        self.marks & DOUBTED != 0
    }

    pub(crate) const fn set_doubted(&mut self, doubted: bool) {
        self.marks = (self.marks & !DOUBTED) | (doubted as u8 * DOUBTED);
    }

    /// Returns whether it came near, and the owner has not been told yet.
    pub(crate) const fn is_newcomer(&self) -> bool {
        self.marks & NEWCOMER != 0
    }

    pub(crate) const fn set_newcomer(&mut self, newcomer: bool) {
        self.marks = (self.marks & !NEWCOMER) | (newcomer as u8 * NEWCOMER);
    }

    /// An unused place.
    pub const EMPTY: Self = Self {
        contact: Contact { id: NodeId::from_bytes([0; 32]), endpoint: Endpoint::UNSPECIFIED },
        place: Place::Free,
        failures: 0,
        marks: 0,
        window: 0,
        path: Path::UNKNOWN,
        via: Via::ANY,
        rtt: Rtt::UNKNOWN,
        seen: Instant::ZERO,
    };

    pub(crate) fn is_free(&self) -> bool {
        self.place == Place::Free
    }

    pub(crate) fn is_live(&self) -> bool {
        self.place == Place::Live
    }

    /// Whether to use it and to tell others of it: it has answered everything since it was last seen.
    pub(crate) fn is_good(&self) -> bool {
        self.is_live() && self.failures == 0
    }

    /// Whether it may still be there: no check has failed.
    pub(crate) fn may_live(&self) -> bool {
        self.is_live() && self.failures < BAD
    }

    fn seen(&mut self, now: Instant, rtt_us: Option<u64>) {
        self.seen = now;
        self.failures = 0;
        self.set_doubted(false);
        if let Some(rtt_us) = rtt_us {
            self.rtt.sample(rtt_us);
        }
    }
}

/// What a contact did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unanswered {
    /// A request of an operation. However many are under way at the same time, they count once.
    Request,
    /// A check. `others_answer`: some other contact is good, so that it is not this node that is cut off.
    Check { others_answer: bool },
}

/// What became of a contact that was shown to a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It was there already.
    Known,
    /// It was there at an address that is silent, and is at this one now.
    Moved,
    /// It is one of the k now.
    Added,
    /// It waits as a spare: the bucket is full of live contacts.
    Spare,
    /// Its id is known at another address, which is to be checked: if that is silent, the node has moved.
    Elsewhere,
    /// Its bucket has no place, not even for spares.
    Refused,
}

/// One row of the table.
pub(crate) struct Bucket<'a> {
    pub(crate) slots: &'a mut [ContactSlot],
    pub(crate) k: usize,
}

impl Bucket<'_> {
    pub(crate) fn find(&mut self, id: &NodeId) -> Option<&mut ContactSlot> {
        self.slots.iter_mut().find(|slot| slot.place != Place::Free && slot.contact.id == *id)
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_live()).count()
    }

    /// Whether all k places are taken by contacts that may still live.
    #[inline(never)]
    pub(crate) fn is_full(&self) -> bool {
        self.slots.iter().filter(|slot| slot.may_live()).count() >= self.k
    }

    fn oldest(&mut self, place: Place) -> Option<&mut ContactSlot> {
        self.slots.iter_mut().filter(|slot| slot.place == place).min_by(|a, b| a.seen.cmp(&b.seen))
    }

    /// The live contact that was seen longest ago.
    pub(crate) fn least_recently_seen(&mut self) -> Option<&mut ContactSlot> {
        self.oldest(Place::Live)
    }

    /// Notes that a contact proved to be there: by an answer (with its round-trip time) or a token.
    pub(crate) fn admit(&mut self, now: Instant, contact: &Contact, rtt_us: Option<u64>) -> Admission {
        if let Some(slot) = self.find(&contact.id) {
            if slot.contact.endpoint == contact.endpoint {
                slot.seen(now, rtt_us);
                return Admission::Known;
            }
            if slot.failures < BAD {
                return Admission::Elsewhere;
            }
            // The old address no longer answers, the new one does: the node moved.
            slot.contact.endpoint = contact.endpoint;
            (slot.rtt, slot.path) = (Rtt::UNKNOWN, Path::UNKNOWN);
            slot.seen(now, rtt_us);
            return Admission::Moved;
        }
        let (place, admission) =
            if self.make_place() { (Place::Live, Admission::Added) } else { (Place::Spare, Admission::Spare) };
        match self.vacancy(now) {
            Some(slot) => {
                *slot = ContactSlot { contact: *contact, place, ..ContactSlot::EMPTY };
                slot.seen(now, rtt_us);
                admission
            }
            None => Admission::Refused,
        }
    }

    /// Whether one of the k places is free, if need be because a dead contact leaves it.
    fn make_place(&mut self) -> bool {
        if self.live() < self.k {
            return true;
        }
        match self.slots.iter_mut().find(|slot| slot.is_live() && !slot.may_live()) {
            Some(dead) => {
                dead.place = Place::Free;
                true
            }
            None => false,
        }
    }

    /// A slot to write to: a free one, or that of the spare that was seen longest ago.
    fn vacancy(&mut self, now: Instant) -> Option<&mut ContactSlot> {
        if let Some(free) = self.slots.iter().position(|slot| slot.place == Place::Free) {
            return self.slots.get_mut(free);
        }
        self.oldest(Place::Spare).filter(|spare| now.micros_since(spare.seen) > FRESH_US)
    }

    /// Whether somebody who is not here would get a place, be it as a spare.
    pub(crate) fn takes_more(&mut self, now: Instant) -> bool {
        !self.is_full() || self.vacancy(now).is_some()
    }

    /// Notes that a contact did not answer. Says whether it left its place.
    pub(crate) fn failed(&mut self, contact: &Contact, unanswered: Unanswered) -> bool {
        let has_spare = self.slots.iter().any(|slot| slot.place == Place::Spare);
        let Some(slot) = self.find(&contact.id) else { return false };
        if slot.contact.endpoint != contact.endpoint {
            return false;
        }
        let others_answer = match unanswered {
            Unanswered::Request => {
                slot.failures = slot.failures.max(1);
                false
            }
            Unanswered::Check { others_answer } => {
                slot.failures = slot.failures.saturating_add(1);
                others_answer
            }
        };
        slot.path.silent();
        let leaves = match slot.place {
            Place::Spare => true,
            _ => (slot.failures >= HOPELESS && others_answer) || (slot.failures >= BAD && has_spare),
        };
        if leaves {
            slot.place = Place::Free;
            self.promote();
        }
        leaves
    }

    /// Removes a contact that is certainly not there: its address answered with another id.
    pub(crate) fn remove(&mut self, id: &NodeId) {
        if let Some(slot) = self.find(id) {
            slot.place = Place::Free;
            self.promote();
        }
    }

    /// Fills free places among the k with the spares that were seen last.
    pub(crate) fn promote(&mut self) {
        while self.live() < self.k {
            let spares = self.slots.iter_mut().filter(|slot| slot.place == Place::Spare);
            match spares.max_by(|a, b| a.seen.cmp(&b.seen)) {
                Some(spare) => spare.place = Place::Live,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: usize = 3;

    fn contact(byte: u8) -> Contact {
        let endpoint = (core::net::Ipv4Addr::new(10, 0, 0, byte), 9000).into();
        Contact { id: NodeId::from_bytes([byte; 32]), endpoint }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    fn full(slots: &mut [ContactSlot]) -> Bucket<'_> {
        let mut bucket = Bucket { slots, k: K };
        for byte in 1..=3 {
            assert_eq!(bucket.admit(at(byte.into()), &contact(byte), None), Admission::Added);
        }
        bucket
    }

    const CHECK: Unanswered = Unanswered::Check { others_answer: true };
    const CUT_OFF: Unanswered = Unanswered::Check { others_answer: false };

    fn live(bucket: &Bucket<'_>) -> Vec<u8> {
        let mut ids: Vec<u8> =
            bucket.slots.iter().filter(|slot| slot.is_live()).map(|slot| slot.contact.id.as_bytes()[0]).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_newcomer_never_displaces_a_live_contact() {
        let mut slots = [ContactSlot::EMPTY; K + 2];
        let mut bucket = full(&mut slots);
        for byte in 4..100 {
            // Two wait as spares. Others take their place when they have not been seen for a while.
            let (soon, late) = (at(byte.into()), at(u64::from(byte) * (FRESH_US + 1)));
            let expected = if byte < 6 { Admission::Spare } else { Admission::Refused };
            assert_eq!(bucket.admit(soon, &contact(byte), None), expected);
            assert_ne!(bucket.admit(late, &contact(byte), None), Admission::Refused);
        }
        assert_eq!(live(&bucket), [1, 2, 3]);
        // One lost request is no death; neither is one at an address that is not the contact's.
        assert!(!bucket.failed(&contact(1), Unanswered::Request));
        let elsewhere = Contact { endpoint: contact(9).endpoint, ..contact(1) };
        assert!(!bucket.failed(&elsewhere, CHECK) && !bucket.failed(&elsewhere, CHECK));
        assert_eq!(live(&bucket), [1, 2, 3]);
    }

    #[test]
    fn a_contact_that_fails_its_check_makes_place_for_the_spare_seen_last() {
        let mut slots = [ContactSlot::EMPTY; K + 2];
        let mut bucket = full(&mut slots);
        bucket.admit(at(10), &contact(4), None);
        bucket.admit(at(11), &contact(5), None);
        for _ in 0..5 {
            assert!(!bucket.failed(&contact(2), Unanswered::Request), "requests at the same time are one silence");
        }
        assert!(bucket.failed(&contact(2), CHECK));
        assert_eq!(live(&bucket), [1, 3, 5]);
    }

    #[test]
    fn without_a_spare_a_contact_is_kept_until_it_is_hopeless() {
        let mut slots = [ContactSlot::EMPTY; K + 2];
        let mut bucket = full(&mut slots);
        bucket.failed(&contact(2), Unanswered::Request);
        assert!(!bucket.find(&contact(2).id).unwrap().is_good(), "it is no longer told to others");
        for _ in 2..HOPELESS {
            assert!(!bucket.failed(&contact(2), CHECK));
        }
        assert_eq!(live(&bucket), [1, 2, 3]);
        assert!(bucket.failed(&contact(2), CHECK));
        assert_eq!(live(&bucket), [1, 3]);
    }

    #[test]
    fn while_nobody_answers_nobody_is_dropped() {
        let mut slots = [ContactSlot::EMPTY; K + 2];
        let mut bucket = full(&mut slots);
        for byte in [1, 2, 3] {
            bucket.failed(&contact(byte), Unanswered::Request);
            assert!((0..1000).all(|_| !bucket.failed(&contact(byte), CUT_OFF)));
        }
        assert_eq!(live(&bucket), [1, 2, 3]);
    }

    #[test]
    fn an_answer_forgives_failures() {
        let mut slots = [ContactSlot::EMPTY; K + 2];
        let mut bucket = full(&mut slots);
        bucket.admit(at(10), &contact(4), None);
        bucket.failed(&contact(2), Unanswered::Request);
        assert_eq!(bucket.admit(at(20), &contact(2), Some(50)), Admission::Known);
        assert!(bucket.find(&contact(2).id).unwrap().is_good() && !bucket.failed(&contact(2), Unanswered::Request));
        assert_eq!(bucket.least_recently_seen().unwrap().contact, contact(1));
    }

    #[test]
    fn a_newcomer_takes_the_place_of_a_dead_contact() {
        let mut slots = [ContactSlot::EMPTY; K];
        let mut bucket = full(&mut slots);
        bucket.failed(&contact(3), Unanswered::Request);
        bucket.failed(&contact(3), CHECK);
        assert_eq!(bucket.admit(at(9), &contact(7), None), Admission::Added);
        assert_eq!(live(&bucket), [1, 2, 7]);
    }

    #[test]
    fn an_id_keeps_its_address_until_the_address_stops_answering() {
        let mut slots = [ContactSlot::EMPTY; K];
        let mut bucket = full(&mut slots);
        let moved = Contact { endpoint: contact(8).endpoint, ..contact(1) };
        assert_eq!(bucket.admit(at(9), &moved, None), Admission::Elsewhere);
        bucket.failed(&contact(1), Unanswered::Request);
        assert_eq!(bucket.admit(at(9), &moved, None), Admission::Elsewhere, "one lost datagram moves nobody");
        bucket.failed(&contact(1), CHECK);
        assert_eq!(bucket.admit(at(10), &moved, None), Admission::Moved);
        assert_eq!(bucket.find(&moved.id).unwrap().contact, moved);
    }
}
