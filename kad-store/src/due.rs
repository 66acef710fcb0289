//! When an item is to be passed on.

use core::time::Duration;

use kad_wire::{Instant, NodeId};

/// Shortest interval.
const SHORTEST_US: u64 = 1_000_000;

/// `interval` from `now`, give or take a quarter. Which share of that is decided by who this node is and when it is asked:
/// the holders of an item spread out, what was passed on together is due together again, and a node repeats itself exactly.
pub(crate) fn jittered(now: Instant, interval: Duration, id: &NodeId) -> Instant {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    // FNV-1a: this needs to be spread, not secret.
    for byte in id.as_bytes().iter().chain(&now.as_micros().to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash ^= hash >> 32;
    // Nothing is due again at once, or looking for what is due would not end.
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(SHORTEST_US);
    let spread = (u128::from(interval_us / 2) * u128::from(hash)) >> 64;
    now.plus_micros((interval_us - interval_us / 4).saturating_add(spread as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_a_quarter_and_spreads_over_it() {
        let interval = Duration::from_secs(3600);
        let mut quarters = [0; 4];
        for holder in 0..200u8 {
            let at = jittered(Instant::from_micros(77), interval, &NodeId::from_bytes([holder; 32]));
            let secs = at.micros_since(Instant::from_micros(77)) / 1_000_000;
            assert!((2700..=4500).contains(&secs), "{secs}");
            quarters[((secs - 2700) / 451) as usize] += 1;
        }
        assert!(quarters.iter().all(|&count| count > 20), "{quarters:?}");
    }
}
