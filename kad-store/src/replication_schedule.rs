//! When an item is replicated and republished (Kademlia paper, section 2.5): intervals, their jitter, and what is due together.

use core::time::Duration;

use kad_wire::{Instant, NodeId, StoreMode};

use crate::record::Record;
use crate::{Due, Limits};

/// The shortest interval, in microseconds. Above 0, so that nothing is due again at once and every search for due items ends.
const INTERVAL_MIN_US: u64 = 1_000_000;
/// An item with no more than this left to live is not passed on: it would end before it is read.
const TTL_TOO_SHORT_MS: u32 = 5_000;

impl Limits {
    /// Returns when an item that was stored or replicated at `now` is replicated next.
    pub(crate) fn next_replication(&self, now: Instant) -> Instant {
        jittered(now, self.replicate, &self.id)
    }

    /// Returns when an item that was published at `now` is republished next.
    pub(crate) fn next_republishing(&self, now: Instant) -> Instant {
        jittered(now, self.republish, &self.id)
    }
}

impl Record {
    /// Returns when the item is next passed on, and why; `None` for a cached copy.
    #[inline(never)]
    pub(crate) fn due(&self) -> Option<(Instant, StoreMode)> {
        if self.is_cached() {
            return None;
        }
        match self.own && self.republish_at <= self.replicate_at {
            true => Some((self.republish_at, StoreMode::Publish)),
            false => Some((self.replicate_at, StoreMode::Replicate)),
        }
    }

    /// Returns when the item is next passed on, or expires.
    pub(crate) fn next_wake(&self) -> Instant {
        self.due().map_or(self.expires, |(at, _)| at.min(self.expires))
    }

    /// Returns whether the item is due by `until`, for the same reason as `first` and with a key that shares `bits` leading bits
    /// with its key. `false` for `first` itself, which with a short interval is due again by then.
    pub(crate) fn is_due_with(&self, until: Instant, first: &Due, bits: usize) -> bool {
        if self.key == first.key && self.digest == first.header.digest {
            return false;
        }
        let near = self.key.shared_bits(&first.key) >= bits;
        near && self.due().is_some_and(|(at, mode)| at <= until && mode == first.mode)
    }

    /// Restarts the replication interval, with [`StoreMode::Publish`] also the republishing interval, and returns what to pass on;
    /// `None` when the item expires too soon for that.
    pub(crate) fn take_due(&mut self, now: Instant, limits: &Limits, mode: StoreMode) -> Option<Due> {
        self.replicate_at = limits.next_replication(now);
        if mode == StoreMode::Publish {
            self.republish_at = limits.next_republishing(now);
        }
        let header = self.header(now);
        (header.ttl_ms > TTL_TOO_SHORT_MS).then_some(Due { key: self.key, header, mode })
    }

    /// Puts off the replication by an interval: another holder, or the publisher, has just passed the item on.
    pub(crate) fn put_off_replication(&mut self, now: Instant, limits: &Limits) {
        self.replicate_at = limits.next_replication(now);
    }

    /// Reschedules an item that is read back from disk: what was due while the store was closed is due within an interval, and
    /// not all of it at once.
    #[cfg(feature = "disk")]
    pub(crate) fn reschedule_overdue(&mut self, now: Instant, limits: &Limits) {
        let latest = limits.next_replication(now);
        let is_ahead = self.replicate_at > now && self.replicate_at < latest;
        if !is_ahead {
            self.replicate_at = latest;
        }
        self.republish_at = self.republish_at.min(limits.next_republishing(now));
    }
}

/// Returns `interval` from `now`, plus or minus up to a quarter. The node's id and `now` determine the jitter: the holders of an
/// item spread out, items that were passed on together are due together again, and a simulated node repeats itself exactly.
fn jittered(now: Instant, interval: Duration, id: &NodeId) -> Instant {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    // FNV-1a: this needs to be spread, not secret.
    for byte in id.as_bytes().iter().chain(&now.as_micros().to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash ^= hash >> 32;
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(INTERVAL_MIN_US);
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
