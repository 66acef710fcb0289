//! Points in time on the caller's clock.

use core::time::Duration;

/// A point in time on the caller's monotonic clock, in microseconds since any fixed moment, such as boot.
///
/// The protocol has no wall clock: no field on the wire is a date. The driver of a node passes the time in, so a node under
/// simulation is repeatable. All arithmetic saturates.
///
/// ```
/// use core::time::Duration;
/// use kad_wire::Instant;
/// let start = Instant::from_micros(5);
/// assert_eq!((start + Duration::from_millis(1)).as_micros(), 1005);
/// assert_eq!(start.saturating_since(start + Duration::from_millis(1)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than every time that a clock shows.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// Returns the instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the instant `micros` microseconds later.
    #[must_use]
    #[inline(never)]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Returns the instant `millis` milliseconds later.
    #[must_use]
    #[inline(never)]
    pub const fn plus_millis(self, millis: u64) -> Self {
        self.plus_micros(millis.saturating_mul(1000))
    }

    /// Returns the microseconds from `earlier` to this instant; 0 if `earlier` is later.
    #[inline(never)]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        self.plus_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}
