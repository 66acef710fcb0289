//! Round-trip estimates: Jacobson's smoothed mean and variation, as in RFC 6298, in microseconds.

/// What is known of the round-trip time to somebody.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Rtt {
    smoothed_us: u32,
    variation_us: u32,
}

impl Rtt {
    pub(crate) const UNKNOWN: Self = Self { smoothed_us: 0, variation_us: 0 };

    /// Takes one sample in. A sample of zero counts as one microsecond.
    pub(crate) fn sample(&mut self, sample_us: u64) {
        let sample = u32::try_from(sample_us).unwrap_or(u32::MAX / 4).clamp(1, u32::MAX / 4);
        if self.smoothed_us == 0 {
            self.smoothed_us = sample;
            self.variation_us = sample / 2;
            return;
        }
        let error = self.smoothed_us.abs_diff(sample);
        self.variation_us = self.variation_us - self.variation_us / 4 + error / 4;
        self.smoothed_us = (self.smoothed_us - self.smoothed_us / 8).saturating_add(sample / 8).max(1);
    }

    /// The smoothed round-trip time, if there was a sample.
    pub(crate) const fn smoothed_us(&self) -> Option<u32> {
        if self.smoothed_us == 0 { None } else { Some(self.smoothed_us) }
    }

    /// After how many microseconds an answer is late, if there was a sample.
    pub(crate) const fn timeout_us(&self) -> Option<u64> {
        match self.smoothed_us() {
            Some(smoothed) => Some(smoothed as u64 + 4 * self.variation_us as u64),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converges_to_a_steady_path_and_widens_when_it_varies() {
        let mut rtt = Rtt::UNKNOWN;
        assert_eq!(rtt.timeout_us(), None);
        for _ in 0..60 {
            rtt.sample(20_000);
        }
        assert!((19_900..20_100).contains(&rtt.smoothed_us().unwrap()));
        assert!(rtt.timeout_us().unwrap() < 20_500);
        rtt.sample(80_000);
        assert!(rtt.timeout_us().unwrap() > 80_000);
    }

    #[test]
    fn survives_any_sample() {
        let mut rtt = Rtt::UNKNOWN;
        for sample in [0, u64::MAX, 0, u64::MAX, 1, u64::from(u32::MAX)] {
            rtt.sample(sample);
            assert!(rtt.timeout_us().unwrap() > 0);
        }
    }
}
