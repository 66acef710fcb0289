//! What the oracle makes of it.

use std::time::Duration;

use kad_store::Store as _;
use kad_wire::{Digest, ItemHeader, Key, Query, Sink};

use super::{Action, Run};
use crate::member::Outcome;

/// Looks for an item in a store.
struct Seen(Digest, bool);

impl Sink for Seen {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        self.1 |= header.digest == self.0;
        // The bytes are not wanted.
        None
    }
}

impl Run {
    pub(super) fn note_walk(&mut self, outcome: &Outcome) {
        self.tally.hops.note(outcome.hops.into());
        self.tally.requests.note(outcome.requests as u64);
        self.tally.took_us.note(outcome.took_us);
    }

    pub(super) fn note_exactness(&mut self, number: usize, target: &Key, outcome: &Outcome) {
        let mut truth = self.oracle.nearest(target, self.k + 1);
        truth.retain(|&other| other != number);
        truth.truncate(self.k);
        let found: Vec<_> = outcome.closest.iter().take(self.k).map(|contact| contact.id).collect();
        let hit = truth.iter().filter(|&&other| found.contains(&self.world.id(other))).count();
        self.tally.recall.0 += hit as u64;
        self.tally.recall.1 += truth.len() as u64;
        let exact = truth.iter().map(|&other| self.world.id(other)).eq(found);
        self.tally.exact.0 += u64::from(exact);
        self.tally.exact.1 += 1;
    }

    /// Counts holders every five minutes from now on.
    pub fn begin_census(&mut self) {
        self.plan(Duration::from_secs(300), Action::Census);
    }

    pub(super) fn census(&mut self) {
        for which in 0..self.oracle.acknowledged.len() {
            let published = &self.oracle.acknowledged[which];
            if published.lost || published.expires <= self.world.now() {
                continue;
            }
            let holders = self.living_holders(which);
            let published = &mut self.oracle.acknowledged[which];
            if holders == 0 {
                published.lost = true;
                self.tally.lost += 1;
                let half = (published.copies / 2).max(1);
                self.tally.lost_at_once += u64::from(published.fewest_holders >= half);
            }
            published.fewest_holders = published.fewest_holders.min(holders);
        }
        self.begin_census();
    }

    /// Living nodes that hold a value.
    pub fn living_holders(&mut self, which: usize) -> usize {
        let (key, digest) = (self.oracle.acknowledged[which].key, self.oracle.acknowledged[which].digest);
        // Holders are among the nearest, as long as there are enough of them; otherwise everybody is asked.
        let near = self.oracle.nearest(&key, 3 * self.k);
        match near.into_iter().filter(|&number| self.holds(number, &key, &digest)).count() {
            0 => {
                let living: Vec<_> = self.world.living().collect();
                living.into_iter().filter(|&number| self.holds(number, &key, &digest)).count()
            }
            holders => holders,
        }
    }

    fn holds(&mut self, number: usize, key: &Key, digest: &Digest) -> bool {
        let now = self.world.shown(number);
        if !self.world.is_alive(number) {
            return false;
        }
        let mut seen = Seen(*digest, false);
        self.world.member(number).store.find(now, &Query::all(*key), &mut seen);
        seen.1
    }

    /// Reads every value that must be there once, from random nodes, and waits for the answers.
    pub fn read_everything(&mut self) {
        for which in 0..self.oracle.acknowledged.len() {
            if let Some(number) = self.somebody() {
                self.get_on(number, which);
            }
            if which % 64 == 63 {
                self.run_for(Duration::from_secs(1));
            }
        }
        self.run_for(Duration::from_secs(35));
    }

    fn is_busy(&mut self, number: usize) -> bool {
        let status = self.world.member(number).node().status();
        status.operations > 0 || status.transfers > 0
    }

    /// Nodes that do not come to rest although nobody asks anything of them: a slot that is never freed.
    pub fn restless(&mut self) -> usize {
        let mut restless: Vec<_> = self.world.living().collect();
        for _ in 0..180 {
            restless.retain(|&number| self.world.is_alive(number) && self.is_busy(number));
            if restless.is_empty() {
                break;
            }
            self.run_for(Duration::from_secs(1));
        }
        restless.len()
    }
}
