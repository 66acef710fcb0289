//! Which time it is on disk: the wall clock's, as far as that can be believed.

use std::time::{SystemTime, UNIX_EPOCH};

use core::time::Duration;
use kad_wire::Instant;

/// Two clocks at one moment: the owner's, which begins anew at every start, and the one on the wall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// What the owner passes to the store's methods as the time.
    pub at: Instant,
    /// Time since the beginning of 1970, UTC.
    pub wall: Duration,
}

impl Moment {
    /// The system's wall clock says now what it is while the owner's clock says `at`.
    pub fn system(at: Instant) -> Self {
        Self { at, wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

/// A wall clock that says less than this, the beginning of 2026, was never set.
const BELIEVED_FROM_US: i64 = 1_767_225_600_000_000;

/// What is known of the clock when something is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// The store's clock: microseconds since 1970 if the wall clock was always right.
    pub(super) store_us: i64,
    /// The wall clock at the same moment, in microseconds since 1970.
    pub(super) wall_us: i64,
}

/// The store's clock while it is open: it goes on with the owner's. Whatever happens to the wall clock meanwhile does nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What the store's clock adds to the owner's.
    store_shift_us: i64,
    /// What the wall clock adds to it.
    wall_shift_us: i64,
}

impl Clock {
    /// Goes on from what was written last. A wall clock that has gone back since, or was not set then or is not now, says
    /// nothing of how much time has passed: then none has.
    pub(super) fn new(moment: Moment, last: Option<Written>) -> Self {
        let (at_us, wall_us) = (micros(moment.at), i64::try_from(moment.wall.as_micros()).unwrap_or(i64::MAX));
        let store_us = last.map_or(wall_us, |last| {
            let believed = last.wall_us >= BELIEVED_FROM_US && wall_us >= last.wall_us;
            let passed_us = if believed { wall_us - last.wall_us } else { 0 };
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

    /// The owner's time. What was before the owner's clock began was at its beginning.
    pub(super) fn owners(self, store_us: i64) -> Instant {
        Instant::from_micros(u64::try_from(self.owners_us(store_us)).unwrap_or(0))
    }

    /// The owner's time, which may be before its clock began.
    pub(super) fn owners_us(self, store_us: i64) -> i64 {
        store_us.saturating_sub(self.store_shift_us)
    }

    pub(super) fn store_us_of(self, owners_us: i64) -> i64 {
        owners_us.saturating_add(self.store_shift_us)
    }
}

fn micros(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;
    const LAST: Written = Written { store_us: BELIEVED_FROM_US + 7, wall_us: BELIEVED_FROM_US };

    fn opened(wall_us: i64, last: Option<Written>) -> i64 {
        let wall = Duration::from_micros(u64::try_from(wall_us).unwrap());
        Clock::new(Moment { at: Instant::from_micros(5), wall }, last).store_us(Instant::from_micros(5))
    }

    #[test]
    fn time_passes_while_nobody_looks_unless_the_wall_clock_is_not_believed() {
        assert_eq!(opened(BELIEVED_FROM_US, None), BELIEVED_FROM_US);
        assert_eq!(opened(BELIEVED_FROM_US + DAY_US, Some(LAST)), LAST.store_us + DAY_US);
        assert_eq!(opened(BELIEVED_FROM_US - DAY_US, Some(LAST)), LAST.store_us, "it went back");
        assert_eq!(opened(1_000, Some(LAST)), LAST.store_us, "it is not set");
        let unset = Written { store_us: 2_000, wall_us: 2_000 };
        assert_eq!(opened(BELIEVED_FROM_US, Some(unset)), 2_000, "it was not set then");
        let clock = Clock::new(Moment { at: Instant::from_micros(9), wall: Duration::from_secs(3) }, Some(LAST));
        let at = Instant::from_micros(1_000_000);
        assert_eq!(clock.owners(clock.store_us(at)), at);
        assert_eq!(clock.written(at).wall_us, 3_999_991);
    }
}
