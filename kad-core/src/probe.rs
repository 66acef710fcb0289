//! PINGs that no operation asked for: to unknown senders, and to contacts that somebody gave reason to doubt. They are few
//! and budgeted, because their addressees did not ask for them.

use kad_wire::{Endpoint, Instant, TransactionId};

use crate::via::Via;

/// Probes that wait for an answer at a time.
const PLACES: usize = 8;
/// One probe per this many microseconds on average ...
const INTERVAL_US: u64 = 125_000;
/// ... and at most this many at once ...
const BURST: u64 = 8;
/// ... and this many more for contacts that seem to have moved: they must not wait for strangers.
const BURST_OF_MOVES: u64 = 8;
/// The owner's own wish has no budget.
const UNLIMITED: u64 = u64::MAX;

/// Why somebody is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    Free,
    /// It asked something and the table has a place for it.
    Unknown,
    /// A contact that did not answer, or that is in a newcomer's way.
    Doubted,
    /// A contact in whose name a GOODBYE came.
    Goodbye,
    /// Somebody uses this node's own id there, or is said to.
    Duplicate,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) reason: Reason,
    pub(crate) to: Endpoint,
    /// Where it is asked from.
    pub(crate) via: Via,
    /// Where the contact that is known at this address has proven to be, too: it moves there if this address is silent.
    /// Unspecified if nowhere.
    pub(crate) elsewhere: Endpoint,
    pub(crate) tag: TransactionId,
    pub(crate) attempts: u8,
    /// To be sent, for the first time or again.
    pub(crate) due: bool,
    pub(crate) sent: Instant,
    pub(crate) deadline: Instant,
}

impl Probe {
    const EMPTY: Self = Self {
        reason: Reason::Free,
        to: Endpoint::UNSPECIFIED,
        via: Via::ANY,
        elsewhere: Endpoint::UNSPECIFIED,
        tag: TransactionId::from_bits(0),
        attempts: 0,
        due: false,
        sent: Instant::ZERO,
        deadline: Instant::ZERO,
    };

    /// When something must be done if no answer comes.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        if self.reason == Reason::Free || self.due { None } else { Some(self.deadline) }
    }
}

/// All probes, and their budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probes {
    pub(crate) places: [Probe; PLACES],
    /// When the budget is full again.
    full_at: Instant,
    /// When the upkeep next looks for contacts to check.
    pub(crate) next_look: Instant,
    /// The last round of checks of silent contacts.
    pub(crate) round: u32,
    /// When the contact that was seen longest ago is checked, where a node does that.
    pub(crate) next_check: Instant,
    /// Whether all contacts are being asked, because this node has moved: that is the owner's wish, and no budget's business.
    pub(crate) asks_all: bool,
}

impl Probes {
    pub(crate) const CELLS: usize = PLACES;
    pub(crate) const EMPTY: Self = Self {
        places: [Probe::EMPTY; PLACES],
        full_at: Instant::ZERO,
        next_look: Instant::ZERO,
        round: 0,
        next_check: Instant::ZERO,
        asks_all: false,
    };

    /// The probe to an address that is under way.
    fn under_way(&mut self, to: &Endpoint) -> Option<&mut Probe> {
        self.places.iter_mut().find(|probe| probe.reason != Reason::Free && probe.to == *to)
    }

    /// Whether an address is being probed.
    pub(crate) fn is_under_way(&mut self, to: &Endpoint) -> bool {
        self.under_way(to).is_some()
    }

    /// Plans a probe, unless one to this address is under way, no place is free or the budget is spent.
    pub(crate) fn plan(&mut self, now: Instant, (to, via): (&Endpoint, Via), reason: Reason, nonce: u64) -> bool {
        let burst = if self.asks_all && reason == Reason::Doubted { UNLIMITED } else { BURST };
        !self.is_under_way(to) && self.take_place(now, (to, via), reason, nonce, burst).is_some()
    }

    /// Plans a check of the address at which a contact is known that has proven to be elsewhere too.
    pub(crate) fn plan_move(&mut self, now: Instant, known: (&Endpoint, Via), elsewhere: &Endpoint, nonce: u64) {
        let burst = BURST.saturating_add(BURST_OF_MOVES);
        let probe = match self.under_way(known.0) {
            Some(probe) if matches!(probe.reason, Reason::Doubted | Reason::Goodbye) => Some(probe),
            Some(_) => None,
            None => self.take_place(now, known, Reason::Doubted, nonce, burst),
        };
        // The first stays: who comes later may have come because of it.
        if let Some(probe) = probe.filter(|probe| probe.elsewhere == Endpoint::UNSPECIFIED) {
            probe.elsewhere = *elsewhere;
        }
    }

    fn take_place(
        &mut self,
        now: Instant,
        (to, via): (&Endpoint, Via),
        reason: Reason,
        nonce: u64,
        burst: u64,
    ) -> Option<&mut Probe> {
        if self.full_at.micros_since(now) > INTERVAL_US.saturating_mul(burst.saturating_sub(1)) {
            return None;
        }
        let mut places = self.places.iter_mut().enumerate();
        let (cell, place) = places.find(|(_, probe)| probe.reason == Reason::Free)?;
        let tag = TransactionId::new(cell as u16, nonce, 0);
        *place = Probe { reason, to: *to, via, tag, due: true, ..Probe::EMPTY };
        if burst != UNLIMITED {
            self.full_at = self.full_at.max(now).plus_micros(INTERVAL_US);
        }
        Some(place)
    }

    /// The probe to send next.
    pub(crate) fn next_due(&mut self) -> Option<&mut Probe> {
        self.places.iter_mut().find(|probe| probe.due)
    }

    pub(crate) fn has_due(&self) -> bool {
        self.places.iter().any(|probe| probe.due)
    }

    pub(crate) fn wakes(&self) -> Option<Instant> {
        self.places.iter().filter_map(Probe::wakes).min()
    }

    /// The probe that an answer with this tag from this address belongs to, which is over then.
    pub(crate) fn answered(&mut self, cell: usize, tag: TransactionId, from: &Endpoint) -> Option<Probe> {
        let probe = self.places.get_mut(cell)?;
        let ours =
            probe.reason != Reason::Free && probe.attempts > 0 && probe.tag.same_exchange(tag) && probe.to == *from;
        ours.then(|| core::mem::replace(probe, Probe::EMPTY))
    }

    /// A probe whose last attempt is late, which is over then; one with attempts left is made due again.
    pub(crate) fn expire(&mut self, now: Instant, attempts: u8) -> Option<Probe> {
        for probe in &mut self.places {
            if probe.wakes().is_none_or(|at| at > now) {
                continue;
            }
            // A stranger is asked once: a second question would exceed three times what it sent. So would a fourth one after
            // a goodbye, which is as long as a question and may be made up.
            let is_stranger = matches!(probe.reason, Reason::Unknown | Reason::Duplicate);
            let attempts = if is_stranger { 1 } else { attempts.min(3) };
            if probe.attempts >= attempts {
                return Some(core::mem::replace(probe, Probe::EMPTY));
            }
            probe.due = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u8) -> Endpoint {
        (core::net::Ipv4Addr::new(10, 0, 0, number), 9000).into()
    }

    #[test]
    fn a_flood_of_strangers_causes_eight_probes_and_then_eight_a_second() {
        let mut probes = Probes::EMPTY;
        let mut sent = 0;
        for step in 0..100_000u64 {
            let now = Instant::from_micros(step * 100);
            if probes.plan(now, (&at((step % 250) as u8), Via::ANY), Reason::Unknown, step) {
                sent += 1;
                // The place is free again at once, so that only the budget counts.
                probes.places = Probes::EMPTY.places;
            }
        }
        assert!((80..=89).contains(&sent), "{sent} probes in ten seconds");
    }

    #[test]
    fn a_check_of_a_move_finds_a_place_when_strangers_have_used_up_the_budget() {
        let (mut probes, now) = (Probes::EMPTY, Instant::from_micros(1));
        for stranger in 0..8 {
            assert!(probes.plan(now, (&at(stranger), Via::ANY), Reason::Unknown, 1));
            // It answers.
            probes.places[0] = Probe::EMPTY;
        }
        assert!(!probes.plan(now, (&at(8), Via::ANY), Reason::Doubted, 1));
        probes.plan_move(now, (&at(8), Via::ANY), &at(9), 1);
        probes.plan_move(now, (&at(8), Via::ANY), &at(10), 1);
        let of_move = probes.places.iter().filter(|probe| probe.to == at(8));
        assert_eq!(of_move.map(|probe| probe.elsewhere).collect::<Vec<_>>(), [at(9)], "the first that has proven it");
        for known in 0..100 {
            probes.plan_move(now, (&at(100 + known), Via::ANY), &at(9), 1);
            probes.places = Probes::EMPTY.places;
        }
        assert_eq!(probes.full_at.micros_since(now), 16 * INTERVAL_US, "and these have their bound, too");
    }

    #[test]
    fn an_address_is_probed_once_at_a_time_and_answers_from_there() {
        let mut probes = Probes::EMPTY;
        let now = Instant::from_micros(1);
        assert!(probes.plan(now, (&at(1), Via::ANY), Reason::Unknown, 5));
        assert!(!probes.plan(now, (&at(1), Via::ANY), Reason::Doubted, 6));
        let probe = probes.next_due().unwrap();
        (probe.due, probe.attempts) = (false, 1);
        let tag = probe.tag;
        assert!(probes.answered(0, tag, &at(2)).is_none(), "from elsewhere");
        assert!(probes.answered(0, TransactionId::new(0, 99, 0), &at(1)).is_none(), "wrong nonce");
        assert!(probes.answered(1, tag, &at(1)).is_none(), "wrong cell");
        assert!(probes.answered(0, tag.with_attempt(3), &at(1)).is_some());
        assert!(probes.answered(0, tag, &at(1)).is_none(), "only once");
    }

    #[test]
    fn a_silent_address_is_asked_again_and_then_given_up() {
        let mut probes = Probes::EMPTY;
        probes.plan(Instant::from_micros(1), (&at(1), Via::ANY), Reason::Doubted, 5);
        for attempt in 1..=2 {
            let probe = probes.next_due().unwrap();
            (probe.due, probe.attempts, probe.deadline) = (false, attempt, Instant::from_micros(attempt.into()));
            let gone = probes.expire(Instant::from_micros(10), 2);
            assert_eq!(gone.map(|probe| probe.to), (attempt == 2).then(|| at(1)));
        }
        assert!(probes.places.iter().all(|probe| probe.reason == Reason::Free) && probes.wakes().is_none());
    }
}
