//! A node with two threads against one with one, under the same two loaders.

use std::thread;
use std::time::{Duration, Instant};

use kad_tokio::{Copies, Dht, Key};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::clock::{ThreadId, threads_time};
use crate::failure::Failure;
use crate::figures::{Rate, median};
use crate::load::{Sending, load};
use crate::network::{close, network_id, node, runtime, start};
use crate::progress::Progress;
use crate::requests::{Question, Requests};
use crate::table::{Table, count, percent, two};

/// Loaders, each a thread with a socket.
const LOADERS: usize = 2;
/// Bytes of the value.
const VALUE: usize = 100;
/// Seconds of a round, of which there is one of each node in turn.
const ROUND: f64 = 0.2;

/// All figures of this suite. The requests are FIND_VALUE.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Workers {
    /// Answers to one requester leave together.
    pub(crate) with_offload: Pair,
    /// Each answer leaves by itself, as to many requesters.
    pub(crate) without_offload: Pair,
}

/// One worker and two.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Pair {
    /// Requests a second, and processor time of all of the node's threads.
    pub(crate) one: Rate,
    pub(crate) two: Rate,
    /// Medians of two over one, side by side.
    pub(crate) workers_rate_ratio: f64,
    pub(crate) workers_cpu_ratio: f64,
    /// Share of the requests that the busier of two workers received.
    pub(crate) workers_largest_share: f64,
}

/// A node under test.
struct Server {
    dht: Dht,
    threads: Vec<ThreadId>,
}

/// Measures each node for `seconds`.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Workers, Failure> {
    let runtime = runtime()?;
    let pair = |offload| measure_pair(&runtime, offload, seconds, progress);
    Ok(Workers { with_offload: pair(true)?, without_offload: pair(false)? })
}

fn measure_pair(runtime: &Runtime, offload: bool, seconds: f64, progress: &Progress) -> Result<Pair, Failure> {
    let (one, two) = (Server::start(runtime, 1, offload)?, Server::start(runtime, 2, offload)?);
    let before = runtime.block_on(two.dht.stats())?.received;
    let rounds = (seconds / ROUND).ceil() as usize;
    let mut of_both = Vec::new();
    for number in 1..=rounds {
        progress.say(&format!("workers: round {number} of {rounds}"));
        of_both.push((one.round()?, two.round()?));
    }
    let after = runtime.block_on(two.dht.stats())?.received;
    let received: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let largest = received.iter().max().copied().unwrap_or(0);
    runtime.block_on(close(&[one.dht, two.dht]))?;
    Ok(Pair {
        one: Rate::median(&of_both.iter().map(|(one, _)| *one).collect::<Vec<_>>()),
        two: Rate::median(&of_both.iter().map(|(_, two)| *two).collect::<Vec<_>>()),
        workers_rate_ratio: median(of_both.iter().map(|(one, two)| two.per_second / one.per_second)),
        workers_cpu_ratio: median(of_both.iter().map(|(one, two)| two.cpu_us / one.cpu_us)),
        workers_largest_share: largest as f64 / received.iter().sum::<u64>().max(1) as f64,
    })
}

fn served() -> (Key, Vec<u8>) {
    (Key::hash("served"), vec![7; VALUE])
}

impl Server {
    fn start(runtime: &Runtime, workers: usize, offload: bool) -> Result<Self, Failure> {
        let (dht, threads) = start(node(None).workers(workers).socket_offload(offload), workers)?;
        let (key, value) = served();
        runtime.block_on(async { dht.store(key, value).copies(Copies::AtLeast(0)).await })?;
        Ok(Self { dht, threads })
    }

    /// Loads the node from all loaders at once.
    fn round(&self) -> Result<Rate, Failure> {
        let (to, span) = (self.dht.local_addr(), Duration::from_secs_f64(ROUND));
        let (cpu, begun) = (threads_time(&self.threads)?, Instant::now());
        let answered = thread::scope(|scope| {
            let loader = || {
                let (key, value) = served();
                let mut requests = Requests::new(network_id(), Question::FindValue { key, value })?;
                Ok::<_, Failure>(load(to, &self.threads, &mut requests, Sending::Together, span)?.answered)
            };
            let loaders: Vec<_> = (0..LOADERS).map(|_| scope.spawn(loader)).collect();
            let joined = loaders.into_iter().map(|loader| loader.join());
            joined
                .map(|ended| ended.map_err(|_| Failure::Void("a loader panicked".into()))?)
                .collect::<Result<Vec<_>, _>>()
        })?;
        let wall = begun.elapsed();
        let cpu = threads_time(&self.threads)?.saturating_sub(cpu);
        Ok(Rate::of(answered.iter().sum(), wall, cpu))
    }
}

impl Workers {
    pub(crate) fn table(&self) -> Table {
        let head = ["offload", "workers", "a second", "x one", "CPU us each", "x one", "largest share"];
        let mut table = Table::new("One worker and two, under two loaders", head);
        for (offload, pair) in [("yes", &self.with_offload), ("no", &self.without_offload)] {
            let row = |workers: &str, rate: &Rate, [of_rate, of_cpu]: [String; 2], share: f64| {
                let (rate, cpu) = (count(rate.per_second), two(rate.cpu_us));
                [offload.into(), workers.into(), rate, of_rate, cpu, of_cpu, percent(share)]
            };
            table.row(row("1", &pair.one, ["1".into(), "1".into()], 1.0));
            let ratios = [two(pair.workers_rate_ratio), two(pair.workers_cpu_ratio)];
            table.row(row("2", &pair.two, ratios, pair.workers_largest_share));
        }
        table.with_note(
            "FIND_VALUE of 100 B; requests come eight together, as from a node that has many. With offload answers to one \
             loader leave together too; without it each leaves by itself, as those to many requesters do. On two cores one \
             worker has one to itself and its loaders need the other, so that there is none for a second worker: what more \
             cores would be worth shows in the processor time of each answer, which must not grow.",
        )
    }
}
