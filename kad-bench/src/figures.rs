//! Medians and percentiles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The value below which this share of all lies, from 0 to 1; 0 of none.
pub(crate) fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
}

/// The middle one; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values.into_iter().collect(), 0.5)
}

/// How long operations took.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub(crate) struct Times {
    /// Milliseconds, the median.
    pub(crate) p50_ms: f64,
    /// Milliseconds, one in a hundred took longer.
    pub(crate) p99_ms: f64,
}

impl Times {
    pub(crate) fn of(times: &[Duration]) -> Self {
        let ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        Self { p50_ms: percentile(ms.clone(), 0.5), p99_ms: percentile(ms, 0.99) }
    }
}

/// What so many of something took.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub(crate) struct Rate {
    /// How many a second, by the wall clock.
    pub(crate) per_second: f64,
    /// Microseconds of processor time each.
    pub(crate) cpu_us: f64,
}

impl Rate {
    pub(crate) fn of(count: u64, wall: Duration, cpu: Duration) -> Self {
        let count = count.max(1) as f64;
        Self { per_second: count / wall.as_secs_f64().max(1e-9), cpu_us: cpu.as_secs_f64() * 1e6 / count }
    }

    /// The median rate and the median cost of several rounds.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        Self {
            per_second: median(rounds.iter().map(|round| round.per_second)),
            cpu_us: median(rounds.iter().map(|round| round.cpu_us)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=101).map(f64::from).rev().collect();
        assert_eq!((percentile(values.clone(), 0.0), percentile(values.clone(), 0.99)), (1.0, 100.0));
        assert_eq!((median(values), median([]), median([2.0])), (51.0, 0.0, 2.0));
    }

    #[test]
    fn a_rate_is_per_second_and_a_cost_each() {
        let rate = Rate::of(1000, Duration::from_millis(500), Duration::from_millis(3));
        assert_eq!((rate.per_second, rate.cpu_us.round()), (2000.0, 3.0));
    }
}
