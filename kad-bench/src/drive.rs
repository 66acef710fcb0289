//! Callers of nodes: so many at a time, for some time, each operation timed and judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::clock::{dropped, process_time};
use crate::failure::Failure;
use crate::figures::{Rate, Times};

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
    let next = Arc::new(AtomicU64::new(0));
    let (lost, cpu, begun) = (dropped()?, process_time()?, Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..demand.concurrency {
        let (next, operation) = (next.clone(), operation.clone());
        callers.spawn(async move {
            let mut ended = Vec::new();
            while begun.elapsed() < demand.span {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= demand.most {
                    break;
                }
                let start = Instant::now();
                let outcome = operation(number).await;
                ended.push((outcome, start.elapsed()));
            }
            ended
        });
    }
    let mut ended = Vec::new();
    while let Some(caller) = callers.join_next().await {
        ended.extend(caller.map_err(|error| Failure::Void(format!("a caller: {error}")))?);
    }
    let wall = begun.elapsed();
    settle().await?;
    let cpu = process_time()?.saturating_sub(cpu);
    let count = |wanted| ended.iter().filter(|(outcome, _)| *outcome == wanted).count() as u64;
    let times: Vec<Duration> = ended.iter().map(|(_, time)| *time).collect();
    Ok(Driven {
        rate: Rate::of(ended.len() as u64, wall, cpu),
        times: Times::of(&times),
        operations: ended.len() as u64,
        silent: count(Outcome::Silent),
        refused: count(Outcome::Refused),
        timeouts: count(Outcome::Timeout),
        errors: count(Outcome::Wrong),
        dropped: dropped()?.saturating_sub(lost),
    })
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
