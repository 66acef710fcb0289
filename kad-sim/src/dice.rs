//! The simulator's randomness: one generator, seeded once. Chances are integers, and the few functions of real numbers come from
//! `libm`, so that a seed is the same run on every machine.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A repeatable source of randomness.
#[derive(Clone, Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in `ppm` of a million rolls.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// A number that is evenly spread over what lies above 0 and up to 1.
    fn share(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        ((self.0.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// A span in microseconds, exponentially spread around this median: what has no memory lasts so long.
    pub fn exponential(&mut self, median_us: u64) -> u64 {
        (median_us as f64 * -libm::log(self.share()) / std::f64::consts::LN_2) as u64
    }

    /// A span in microseconds with a heavy tail around this median (Weibull, shape 0.5): many short ones, a few that
    /// hardly end, as sessions of peers are found to be (Stutzbach and Rejaie, 2006).
    pub fn heavy_tailed(&mut self, median_us: u64) -> u64 {
        let root = -libm::log(self.share()) / std::f64::consts::LN_2;
        (median_us as f64 * root * root) as u64
    }

    /// Index of one of `count` things, of which the n-th is asked for 1 / n as often as the first (Zipf).
    pub fn zipf(&mut self, count: u64) -> u64 {
        // The harmonic sum is close to the logarithm: good enough for a workload.
        let count = count.max(1);
        (libm::exp(self.share() * libm::log(count as f64 + 1.0)) as u64).clamp(1, count) - 1
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_spans_are_shorter_than_the_median() {
        let mut dice = Dice::new(1);
        for draw in [Dice::exponential, Dice::heavy_tailed] {
            let shorter = (0..100_000).filter(|_| draw(&mut dice, 1_000_000) < 1_000_000).count();
            assert!((49_000..51_000).contains(&shorter), "{shorter}");
        }
        let long = (0..100_000).filter(|_| dice.heavy_tailed(1_000_000) > 20_000_000).count();
        assert!((3_900..5_300).contains(&long), "two to the minus root of twenty: {long}");
    }

    #[test]
    fn the_first_of_many_is_asked_for_most() {
        let mut dice = Dice::new(1);
        let mut counts = [0; 100];
        for _ in 0..100_000 {
            counts[dice.zipf(100) as usize] += 1;
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[3] && counts[3] > counts[50] && counts[99] > 0);
    }
}
