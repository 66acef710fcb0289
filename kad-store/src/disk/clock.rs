//! The clock of the times on disk: the wall clock, where that is plausible.

use std::time::{SystemTime, UNIX_EPOCH};

use core::time::Duration;
use kad_wire::Instant;

/// One moment by two clocks: the caller's, which begins anew at every start, and the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The time that the caller passes to the store's methods.
    pub at: Instant,
    /// The wall clock: the time since the beginning of 1970, UTC.
    pub wall: Duration,
}

impl Moment {
    /// Reads the system's wall clock now, while the caller's clock shows `at`.
    pub fn system(at: Instant) -> Self {
        Self { at, wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

/// A wall clock before this, the beginning of 2026, was never set.
const PLAUSIBLE_FROM_US: i64 = 1_767_225_600_000_000;

/// The clocks at a commit, as they are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// The store's clock: microseconds since 1970 if the wall clock was always right.
    pub(super) store_us: i64,
    /// The wall clock at the same moment, in microseconds since 1970.
    pub(super) wall_us: i64,
}

/// The clock of an open store. It advances with the caller's clock; a change of the wall clock meanwhile has no effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The store's clock minus the caller's.
    store_shift_us: i64,
    /// The wall clock minus the caller's.
    wall_shift_us: i64,
}

impl Clock {
    /// Continues from the last commit by the wall clock. No time counts as passed if the wall clock has gone back since, or was
    /// not set then, or is not set now.
    pub(super) fn new(moment: Moment, last: Option<Written>) -> Self {
        let (at_us, wall_us) = (micros(moment.at), i64::try_from(moment.wall.as_micros()).unwrap_or(i64::MAX));
        let store_us = last.map_or(wall_us, |last| {
            let plausible = last.wall_us >= PLAUSIBLE_FROM_US && wall_us >= last.wall_us;
            let passed_us = if plausible { wall_us - last.wall_us } else { 0 };
            last.store_us.saturating_add(passed_us)
        });
        Self { store_shift_us: store_us.saturating_sub(at_us), wall_shift_us: wall_us.saturating_sub(at_us) }
    }

    pub(super) fn written(self, now: Instant) -> Written {
        Written { store_us: self.store_us(now), wall_us: micros(now).saturating_add(self.wall_shift_us) }
    }

    pub(super) fn store_us(self, at: Instant) -> i64 {
        micros(at).saturating_add(self.store_shift_us)
    }

    /// Returns a time by the caller's clock, at least its origin.
    pub(super) fn callers(self, store_us: i64) -> Instant {
        Instant::from_micros(u64::try_from(self.callers_us(store_us)).unwrap_or(0))
    }

    /// Returns a time by the caller's clock in microseconds, negative if before its origin.
    pub(super) fn callers_us(self, store_us: i64) -> i64 {
        store_us.saturating_sub(self.store_shift_us)
    }

    pub(super) fn store_us_of(self, callers_us: i64) -> i64 {
        callers_us.saturating_add(self.store_shift_us)
    }
}

fn micros(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;
    const LAST: Written = Written { store_us: PLAUSIBLE_FROM_US + 7, wall_us: PLAUSIBLE_FROM_US };

    fn opened(wall_us: i64, last: Option<Written>) -> i64 {
        let wall = Duration::from_micros(u64::try_from(wall_us).unwrap());
        Clock::new(Moment { at: Instant::from_micros(5), wall }, last).store_us(Instant::from_micros(5))
    }

    #[test]
    fn time_passes_while_the_store_is_closed_if_the_wall_clock_is_plausible() {
        assert_eq!(opened(PLAUSIBLE_FROM_US, None), PLAUSIBLE_FROM_US);
        assert_eq!(opened(PLAUSIBLE_FROM_US + DAY_US, Some(LAST)), LAST.store_us + DAY_US);
        assert_eq!(opened(PLAUSIBLE_FROM_US - DAY_US, Some(LAST)), LAST.store_us, "it went back");
        assert_eq!(opened(1_000, Some(LAST)), LAST.store_us, "it is not set");
        let unset = Written { store_us: 2_000, wall_us: 2_000 };
        assert_eq!(opened(PLAUSIBLE_FROM_US, Some(unset)), 2_000, "it was not set then");
        let clock = Clock::new(Moment { at: Instant::from_micros(9), wall: Duration::from_secs(3) }, Some(LAST));
        let at = Instant::from_micros(1_000_000);
        assert_eq!(clock.callers(clock.store_us(at)), at);
        assert_eq!(clock.written(at).wall_us, 3_999_991);
    }
}
