//! Figures of two earlier implementations in the same role, emo and Camomile: twenty nodes on one two-core machine, 64
//! operations at a time. emo's store waits for 19 acknowledgements, its find asks three nodes; Camomile was used over HTTP.

use crate::figures::Rate;

/// The bare echo of that machine.
pub(crate) const ECHO: Rate = Rate { per_second: 319_000.0, cpu_us: 3.09 };
/// Operations at a time.
pub(crate) const CONCURRENCY: usize = 64;

/// What one operation was measured at.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) per_second: f64,
    /// Of all nodes; not measured for large values.
    pub(crate) cpu_us: Option<f64>,
}

impl Figure {
    /// A rate over this one, scaled by the echo of that machine and of this one.
    pub(crate) fn rate_ratio(&self, per_second: f64, echo_per_second: f64) -> f64 {
        per_second / (self.per_second * echo_per_second / ECHO.per_second)
    }

    /// Processor time over this one's, scaled alike.
    pub(crate) fn cpu_ratio(&self, cpu_us: f64, echo_cpu_us: f64) -> Option<f64> {
        self.cpu_us.map(|cpu| cpu_us / (cpu * echo_cpu_us / ECHO.cpu_us))
    }
}

/// emo's store and find, by the bytes of values.
pub(crate) const EMO_STORE: [(usize, Figure); 2] =
    [(64, Figure { per_second: 2_258.0, cpu_us: Some(785.0) }), (16_384, Figure { per_second: 381.0, cpu_us: None })];
pub(crate) const EMO_FIND: [(usize, Figure); 2] = [
    (64, Figure { per_second: 11_739.0, cpu_us: Some(145.0) }),
    (16_384, Figure { per_second: 4_770.0, cpu_us: None }),
];

/// Camomile's POST and GET of values of 64 bytes.
pub(crate) const CAMOMILE_POST: Figure = Figure { per_second: 441.0, cpu_us: None };
pub(crate) const CAMOMILE_GET: Figure = Figure { per_second: 5_731.0, cpu_us: None };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_twice_as_fast_must_be_twice_as_fast() {
        let figure = Figure { per_second: 100.0, cpu_us: Some(10.0) };
        assert_eq!(figure.rate_ratio(600.0, 2.0 * ECHO.per_second), 3.0);
        assert_eq!(figure.cpu_ratio(1.0, ECHO.cpu_us / 2.0), Some(0.2));
        assert_eq!(CAMOMILE_GET.cpu_ratio(1.0, 1.0), None);
    }
}
