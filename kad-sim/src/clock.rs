//! Clocks of nodes, which run at their own pace.

use kad_wire::Instant;

/// How a node's clock differs from the world's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Clock {
    /// How far it is ahead, in microseconds: nodes have booted at different times.
    pub ahead_us: u64,
    /// How much faster it runs, in parts per million; slower if negative.
    pub drift_ppm: i32,
}

impl Clock {
    /// What this clock shows at a time of the world.
    pub fn shows(&self, world: Instant) -> Instant {
        if self.drift_ppm == 0 {
            return world.plus_micros(self.ahead_us);
        }
        let gained = i128::from(world.as_micros()) * i128::from(self.drift_ppm) / 1_000_000;
        let shown = i128::from(world.as_micros()) + gained + i128::from(self.ahead_us);
        Instant::from_micros(u64::try_from(shown).unwrap_or(0))
    }

    /// The first time of the world at which this clock shows `shown` or later.
    pub fn is_reached(&self, shown: Instant) -> Instant {
        if self.drift_ppm == 0 {
            return Instant::from_micros(shown.as_micros().saturating_sub(self.ahead_us));
        }
        let since = i128::from(shown.as_micros()) - i128::from(self.ahead_us);
        let world = (since * 1_000_000).div_euclid(1_000_000 + i128::from(self.drift_ppm));
        let mut world = Instant::from_micros(u64::try_from(world).unwrap_or(0));
        while self.shows(world) < shown {
            world = world.plus_micros(1);
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_by_the_worlds_time_is_neither_early_nor_late() {
        for clock in [(0, 0), (77, 200), (5_000_000, -200), (1, 500_000), (0, -500_000)] {
            let clock = Clock { ahead_us: clock.0, drift_ppm: clock.1 };
            for micros in [10_000_000, 10_000_001, 86_400_000_123] {
                let at = clock.is_reached(Instant::from_micros(micros));
                assert!(clock.shows(at) >= Instant::from_micros(micros));
                assert!(clock.shows(Instant::from_micros(at.as_micros() - 3)) < Instant::from_micros(micros));
            }
        }
    }
}
