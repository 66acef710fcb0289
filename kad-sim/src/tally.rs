//! What is counted in a run, and what is said of it in the end.

use std::collections::BTreeMap;

use serde::Serialize;

/// Figures of many operations.
#[derive(Clone, Default, Debug)]
pub struct Series(Vec<u64>);

impl Series {
    /// Takes one in.
    pub fn note(&mut self, figure: u64) {
        self.0.push(figure);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The figure that so many percent are not above.
    pub fn percentile(&self, percent: usize) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64 / self.0.len().max(1) as f64
    }

    /// All figures, in the order in which they came.
    pub fn figures(&self) -> &[u64] {
        &self.0
    }
}

/// What happened in a run.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Joins that ended with somebody's answer, and those that did not.
    pub joins: (u64, u64),
    /// Values that got copies, and those that did not.
    pub puts: (u64, u64),
    /// Copies that receipts promised.
    pub copies: Series,
    /// Reads that brought the right value, and those that did not.
    pub gets: (u64, u64),
    /// Operations that could not start because the node had no place for them.
    pub turned_away: u64,
    /// Hops of lookups and reads.
    pub hops: Series,
    /// Requests of lookups and reads.
    pub requests: Series,
    /// Microseconds that lookups and reads took.
    pub took_us: Series,
    /// Requests of stores.
    pub store_requests: Series,
    /// Microseconds that stores took.
    pub store_took_us: Series,
    /// Lookups whose nearest nodes were the true ones, of all.
    pub exact: (u64, u64),
    /// True nearest nodes that lookups found, of all.
    pub recall: (u64, u64),
    /// Values that no living node held at a census.
    pub lost: u64,
    /// Of these, values of which half of the holders had lived at every census before.
    pub lost_at_once: u64,
    /// Wrong bytes that were delivered: a fault wherever it is seen.
    pub wrong: u64,
}

impl Tally {
    /// Share of reads that brought the right value; 1 if there were none.
    pub fn success(&self) -> f64 {
        share(self.gets.0, self.gets.0 + self.gets.1)
    }
}

/// `part` of `all`; 1 of nothing.
pub fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { part as f64 / all as f64 }
}

/// What is said of a run.
#[derive(Clone, Serialize, Debug)]
pub struct Report {
    /// Which scenario.
    pub scenario: String,
    /// Which seed: with the scenario, its size and this version, everything else follows from it.
    pub seed: u64,
    /// The simulator's version.
    pub version: &'static str,
    /// Nodes, at the end.
    pub nodes: usize,
    /// Whether every line of the pass line holds.
    pub passed: bool,
    /// What does not.
    pub failures: Vec<String>,
    /// Why not, where that is known and accepted for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_gap: Option<&'static str>,
    /// Simulated time.
    pub simulated_seconds: f64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams that this machine simulates in a second.
    pub datagrams_per_second: f64,
    /// Time that the run took.
    pub wall_seconds: f64,
    /// Reads that brought the right value.
    pub success: f64,
    /// Reads.
    pub gets: u64,
    /// Stores.
    pub puts: u64,
    /// Copies that half of the receipts promised.
    pub copies_p50: u64,
    /// Acknowledged values that no living node held any more.
    pub lost: u64,
    /// Hops of half of the lookups and reads.
    pub hops_p50: u64,
    /// Hops of 99 % of them.
    pub hops_p99: u64,
    /// Mean hops.
    pub hops_mean: f64,
    /// Requests of half of them.
    pub messages_p50: u64,
    /// Mean requests.
    pub messages_mean: f64,
    /// Simulated milliseconds that half of them took.
    pub latency_ms_p50: f64,
    /// Simulated milliseconds that 99 % of them took.
    pub latency_ms_p99: f64,
    /// Memory of this process per node, in bytes, at the end.
    pub bytes_per_node: u64,
    /// What only this scenario measures.
    pub figures: BTreeMap<&'static str, f64>,
    /// Fingerprint of every datagram of the run.
    pub digest: String,
}

/// Bytes of memory that this process has resident; 0 where that cannot be told.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_of_the_series() {
        let mut series = Series::default();
        assert_eq!((series.percentile(50), series.mean()), (0, 0.0));
        for figure in (1..=100).rev() {
            series.note(figure);
        }
        assert_eq!((series.percentile(0), series.percentile(50), series.percentile(99)), (1, 51, 100));
        assert_eq!((series.percentile(100), series.mean()), (100, 50.5));
    }
}
