//! Callers of nodes: so many at a time, for some time, each operation timed and judged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::clock::{dropped, process_time};
use crate::failure::Failure;
use crate::figures::{Rate, Times};

/// No operation takes longer, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// As it should.
    Right,
    /// A store with too few copies, because a holder did not answer.
    Silent,
    /// A store with too few copies, because a holder refused.
    Refused,
    /// It took longer than it may.
    Timeout,
    /// Nothing, something wrong, or an error.
    Wrong,
}

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Operations at a time.
    pub(crate) concurrency: usize,
    /// No operation begins after this.
    pub(crate) span: Duration,
    /// Nor after so many.
    pub(crate) most: u64,
}

/// What came of it.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub(crate) struct Driven {
    /// Operations, and processor time of this whole process: all nodes and all callers.
    pub(crate) rate: Rate,
    pub(crate) times: Times,
    pub(crate) operations: u64,
    pub(crate) silent: u64,
    pub(crate) refused: u64,
    pub(crate) timeouts: u64,
    pub(crate) errors: u64,
    /// Datagrams that the system dropped meanwhile because a socket's buffer was full, of the whole machine.
    pub(crate) dropped: u64,
}

impl Driven {
    /// How many did not end as they should.
    pub(crate) const fn failed(&self) -> u64 {
        self.silent + self.refused + self.timeouts + self.errors
    }
}

/// Runs `operation` again and again, each with the next number. `settle` waits for what goes on afterwards: its processor time
/// counts, its wall time does not.
pub(crate) async fn drive<F, S>(
    demand: Demand,
    operation: impl Fn(u64) -> F + Clone + Send + 'static,
    settle: impl FnOnce() -> S,
) -> Result<Driven, Failure>
where
    F: Future<Output = Outcome> + Send,
    S: Future<Output = Result<(), Failure>>,
{
    let (next, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Ended::new()?)));
    let (lost, cpu, begun) = (dropped()?, process_time()?, Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..demand.concurrency {
        let (next, ended, operation) = (next.clone(), ended.clone(), operation.clone());
        callers.spawn(async move {
            while begun.elapsed() < demand.span {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= demand.most {
                    break;
                }
                let start = Instant::now();
                let outcome = operation(number).await;
                ended.lock().unwrap_or_else(PoisonError::into_inner).note(outcome, start.elapsed());
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|error| Failure::Void(format!("a caller: {error}")))?;
    }
    let wall = begun.elapsed();
    settle().await?;
    let cpu = process_time()?.saturating_sub(cpu);
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |outcome: Outcome| ended.outcomes[outcome as usize];
    let operations = ended.outcomes.iter().sum();
    Ok(Driven {
        rate: Rate::of(operations, wall, cpu),
        times: ended.times(),
        operations,
        silent: count(Outcome::Silent),
        refused: count(Outcome::Refused),
        timeouts: count(Outcome::Timeout),
        errors: count(Outcome::Wrong),
        dropped: dropped()?.saturating_sub(lost),
    })
}

/// How operations ended, in memory that does not grow with their number.
struct Ended {
    /// By [`Outcome`].
    outcomes: [u64; 5],
    /// Durations in microseconds, to three digits.
    took_us: Histogram<u64>,
}

impl Ended {
    fn new() -> Result<Self, Failure> {
        let took_us = Histogram::new_with_max(LONGEST_US, 3).map_err(|error| Failure::Void(error.to_string()))?;
        Ok(Self { outcomes: [0; 5], took_us })
    }

    fn note(&mut self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize] += 1;
        self.took_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn times(&self) -> Times {
        let ms = |share| self.took_us.value_at_quantile(share) as f64 / 1e3;
        Times { p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn operations_are_counted_by_how_they_end() {
        let demand = Demand { concurrency: 3, span: Duration::from_secs(60), most: 100 };
        let operation = |number: u64| async move {
            match number % 5 {
                0 => Outcome::Right,
                1 => Outcome::Silent,
                2 => Outcome::Refused,
                3 => Outcome::Timeout,
                _ => Outcome::Wrong,
            }
        };
        let driven = drive(demand, operation, || async { Ok(()) }).await.unwrap();
        assert_eq!((driven.silent, driven.refused, driven.timeouts, driven.errors), (20, 20, 20, 20));
        assert_eq!((driven.operations, driven.failed()), (100, 80));
        assert!(driven.rate.per_second > 0.0);
    }
}
