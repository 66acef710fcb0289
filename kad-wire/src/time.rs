//! A reading of the caller's clock.

use core::time::Duration;

/// A point on the caller's monotonic clock, in microseconds since any fixed moment (boot, say).
///
/// The protocol has no wall clock: nothing on the wire is a date. Whoever drives a node passes the time in, which is what
/// makes a node repeatable under simulation. All arithmetic saturates.
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
    /// Later than every real reading.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// `micros` microseconds later.
    #[must_use]
    #[inline(never)]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// `millis` milliseconds later.
    #[must_use]
    #[inline(never)]
    pub const fn plus_millis(self, millis: u64) -> Self {
        self.plus_micros(millis.saturating_mul(1000))
    }

    /// Microseconds from `earlier` to here, 0 if `earlier` is later.
    #[inline(never)]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to here, zero if `earlier` is later.
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
