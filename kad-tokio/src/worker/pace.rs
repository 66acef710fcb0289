//! How many operations may be under way at a time: as many as this node and those it asks can serve without making each other's
//! requests time out.
//!
//! Overload shows in requests that have to be repeated and are answered then. (A contact that is gone answers none of its
//! attempts, and says nothing about load.) After each round of operations, as many as may be under way, the number is halved if
//! more than a quarter of what was answered took repeating, and raised if hardly any did.

use kad_core::Stats;

/// Operations at a time to begin with.
const FIRST: usize = 64;
/// Operations at a time at the least.
const LEAST: usize = 16;
/// Attempts of which none is answered before a contact is given up, the first one aside.
const REPEATED_IN_VAIN: u64 = 3;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    width: usize,
    most: usize,
    /// Operations that have ended in this round.
    ended: usize,
    /// True if more would have begun in this round.
    limited: bool,
    /// True once the number was lowered: until then it doubles.
    steady: bool,
    /// What was counted before this round.
    before: Seen,
}

#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    repeated: u64,
    given_up: u64,
    answered: u64,
}

impl Seen {
    const fn of(stats: &Stats) -> Self {
        Self { repeated: stats.retransmissions, given_up: stats.timeouts, answered: stats.replies }
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            repeated: self.repeated.wrapping_sub(before.repeated),
            given_up: self.given_up.wrapping_sub(before.given_up),
            answered: self.answered.wrapping_sub(before.answered),
        }
    }
}

impl Pace {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { width: FIRST.min(most), most, ended: 0, limited: false, steady: false, before: Seen::default() }
    }

    /// Returns true if another operation may begin besides so many.
    pub(super) fn allows(&mut self, under_way: usize) -> bool {
        let allows = under_way < self.width;
        self.limited |= !allows;
        allows
    }

    /// Notes that an operation has ended, and adjusts the number at the end of a round.
    pub(super) fn ended(&mut self, stats: &Stats) {
        self.ended += 1;
        if self.ended < self.width {
            return;
        }
        let seen = Seen::of(stats);
        let Seen { repeated, given_up, answered } = seen.since(&self.before);
        let late = repeated.saturating_sub(given_up.saturating_mul(REPEATED_IN_VAIN));
        if late.saturating_mul(4) > answered {
            self.width = (self.width / 2).max(LEAST.min(self.most));
            self.steady = true;
        } else if self.limited && late.saturating_mul(20) <= answered {
            let more = if self.steady { self.width / 8 } else { self.width };
            self.width = (self.width + more.max(1)).min(self.most);
        }
        (self.before, self.ended, self.limited) = (seen, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round in which more would have begun, with so many requests answered at once, answered when repeated, and given up.
    fn round(pace: &mut Pace, stats: &mut Stats, [prompt, late, dead]: [u64; 3]) {
        stats.replies += prompt + late;
        stats.retransmissions += late + 2 * dead;
        stats.timeouts += dead;
        let width = pace.width;
        assert!(!pace.allows(width) && pace.allows(width - 1));
        for _ in 0..width {
            pace.ended(stats);
        }
    }

    #[test]
    fn it_doubles_until_answers_are_late_and_then_feels_its_way() {
        let (mut pace, mut stats) = (Pace::new(1000), kad_core_stats());
        for width in [64, 128, 256, 512] {
            assert_eq!(pace.width, width);
            round(&mut pace, &mut stats, [100, 1, 0]);
        }
        assert_eq!(pace.width, 1000, "no more than there is memory for");
        round(&mut pace, &mut stats, [60, 40, 0]);
        round(&mut pace, &mut stats, [85, 15, 0]);
        assert_eq!(pace.width, 500, "some are late: it stays");
        round(&mut pace, &mut stats, [100, 0, 0]);
        assert_eq!(pace.width, 562);
        for _ in 0..20 {
            round(&mut pace, &mut stats, [10, 90, 0]);
        }
        assert_eq!(pace.width, LEAST);
    }

    #[test]
    fn contacts_that_are_gone_are_no_overload_and_what_is_not_needed_is_not_raised() {
        let (mut pace, mut stats) = (Pace::new(1000), kad_core_stats());
        round(&mut pace, &mut stats, [100, 0, 100]);
        assert_eq!(pace.width, 128);
        for _ in 0..pace.width {
            pace.ended(&stats);
        }
        assert_eq!(pace.width, 128);
        assert_eq!(Pace::new(2).width, 2);
    }

    fn kad_core_stats() -> Stats {
        let id = kad_wire::NodeId::from_bytes([1; 32]);
        let mut slabs =
            kad_core::Slabs::new(id, &kad_core::Config::default(), &[1; 32], kad_core::Capacity::SMALL).unwrap();
        *slabs.node().stats()
    }
}
