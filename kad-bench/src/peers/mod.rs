//! Other implementations under the same load: twenty nodes on loopback in this process, and twenty clients that hold nothing.

mod bep44;
mod libp2p_kad;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::cluster::{self, Network};
use crate::clock::{process_time, resident};
use crate::compared::{Compared, Peer};
use crate::drive::{Demand, Driven, Outcome, drive};
use crate::failure::Failure;
use crate::network::runtime;
use crate::progress::Progress;

/// Operations at a time.
const CONCURRENCIES: [usize; 2] = [1, 64];
/// Most values of one figure: bounds of the peers' stores are set to this.
const VALUES: u64 = 20_000;
/// An operation that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A network is at rest when all of it takes less than this share of a core for so long.
const CALM: f64 = 0.05;
const CALM_SPAN: Duration = Duration::from_secs(1);
const CALM_WITHIN: Duration = Duration::from_secs(120);

/// A network of some implementation.
trait Members: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    /// Bytes of values that it takes.
    const LENGTHS: &'static [usize];

    /// Starts the network. Answers with bytes of memory for each node besides.
    fn start() -> impl Future<Output = Result<(Self, f64), Failure>>;

    /// Stores a value at all holders, through one node or the other.
    fn put(&self, number: u64, bytes: usize) -> impl Future<Output = Outcome> + Send;

    /// Finds a value through one client or the other.
    fn get(&self, number: u64, bytes: usize) -> impl Future<Output = Outcome> + Send;
}

/// Implementations, by name.
pub(crate) const NAMES: [&str; 3] = ["kad", "libp2p-kad", "mainline"];

/// Measures one implementation, each figure for `seconds`.
pub(crate) fn measure(name: &str, seconds: f64, progress: &Progress) -> Result<Compared, Failure> {
    let run = match name {
        "kad" => run::<Kad>,
        "libp2p-kad" => run::<libp2p_kad::Swarms>,
        "mainline" => run::<bep44::Mainline>,
        other => return Err(Failure::Void(format!("nothing is known of `{other}`: try {}", NAMES.join(", ")))),
    };
    Ok(Compared { peers: run(&runtime()?, Duration::from_secs_f64(seconds), progress)? })
}

fn run<M: Members>(runtime: &Runtime, span: Duration, progress: &Progress) -> Result<Vec<Peer>, Failure> {
    let mut peers: Vec<Peer> = Vec::new();
    for bytes in M::LENGTHS.iter().copied() {
        for concurrency in CONCURRENCIES {
            progress.say(&format!("peers: {}, {bytes} B, {concurrency} at a time", M::NAME));
            let (members, memory_per_node) = runtime.block_on(M::start())?;
            runtime.block_on(calm())?;
            // Later networks find memory that the first one has left.
            let memory_per_node = peers.first().map_or(memory_per_node, |first| first.memory_per_node);
            let members = Arc::new(members);
            let (put, get) = runtime.block_on(both(&members, bytes, Demand { concurrency, span, most: VALUES }))?;
            peers.push(Peer { name: M::NAME.into(), bytes, concurrency, memory_per_node, put, get });
        }
    }
    Ok(peers)
}

async fn both<M: Members>(members: &Arc<M>, bytes: usize, demand: Demand) -> Result<(Driven, Driven), Failure> {
    let writers = members.clone();
    let put = move |number| {
        let members = writers.clone();
        async move { in_time(members.put(number, bytes)).await }
    };
    let put = drive(demand, put, || async { Ok(()) }).await?;
    let (readers, stored) = (members.clone(), put.operations.max(1));
    let get = move |number: u64| {
        let members = readers.clone();
        async move { in_time(members.get(number.wrapping_mul(7919) % stored, bytes)).await }
    };
    let get = drive(Demand { most: u64::MAX, ..demand }, get, || async { Ok(()) }).await?;
    Ok((put, get))
}

async fn in_time(operation: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(TIMEOUT, operation).await.unwrap_or(Outcome::Timeout)
}

/// Waits until a network that has just begun leaves the processor alone: what it does to find together is no operation's.
async fn calm() -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let (cpu, from) = (process_time()?, Instant::now());
        tokio::time::sleep(CALM_SPAN).await;
        let cpu = process_time()?.saturating_sub(cpu);
        if cpu.as_secs_f64() < CALM * from.elapsed().as_secs_f64() {
            return Ok(());
        }
        if begun.elapsed() > CALM_WITHIN {
            return Err(Failure::Void("a network does not come to rest".into()));
        }
    }
}

/// Memory that a network has taken, for each of its nodes.
fn per_node(before: u64) -> Result<f64, Failure> {
    Ok(resident()?.saturating_sub(before) as f64 / cluster::NODES as f64)
}

/// This implementation.
struct Kad(Network);

impl Members for Kad {
    const NAME: &'static str = "kad";
    const LENGTHS: &'static [usize] = &cluster::LENGTHS;

    async fn start() -> Result<(Self, f64), Failure> {
        let network = Network::start().await?;
        let memory = network.memory_per_node;
        Ok((Self(network), memory))
    }

    async fn put(&self, number: u64, bytes: usize) -> Outcome {
        let node = &self.0.nodes[number as usize % cluster::NODES];
        cluster::store(node, number, bytes, kad_tokio::Copies::All, cluster::NODES - 1).await
    }

    async fn get(&self, number: u64, bytes: usize) -> Outcome {
        cluster::find(&self.0.clients[number as usize % cluster::NODES], number, bytes).await
    }
}
