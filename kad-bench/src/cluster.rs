//! A network of twenty nodes on loopback, used as applications use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kad_tokio::{Bytes, Copies, Dht, Error, Key, Role};
use serde::{Deserialize, Serialize};

use crate::clock::resident;
use crate::drive::{Demand, Driven, Outcome, drive};
use crate::earlier::{CONCURRENCY, EMO_FIND, EMO_STORE, Figure};
use crate::echo::{Echo, echoed};
use crate::failure::Failure;
use crate::figures::Rate;
use crate::network::{close, network, node, runtime};
use crate::progress::Progress;
use crate::table::{Table, count, two};

/// Nodes that hold values, and as many clients that read: with twenty holders and k = 20 every node holds every value, and
/// would find all in its own store.
pub(crate) const NODES: usize = 20;
/// Bytes of values.
pub(crate) const LENGTHS: [usize; 2] = [64, 16 * 1024];
/// Operations at a time.
const CONCURRENCIES: [usize; 3] = [1, 64, 512];
/// Where figures through one node are measured besides.
const MIDDLE: usize = 64;
/// Bytes of distinct values that one run stores at the most: every one of them is kept twenty times.
const BYTES_MAX: usize = 32 << 20;
/// How long a network may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done, and when a store is over.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// A store that waits for all nineteen others.
    Store,
    /// A store that waits for three others, as it does if not told otherwise.
    StoreQuorum,
    /// A find by a client that holds nothing.
    Find,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Store => "store, all copies",
            Self::StoreQuorum => "store, three copies",
            Self::Find => "find",
        }
    }

    /// emo's figure for values of so many bytes.
    fn emo(self, bytes: usize) -> Option<Figure> {
        let figures = match self {
            Self::Store => EMO_STORE,
            Self::Find => EMO_FIND,
            Self::StoreQuorum => return None,
        };
        figures.into_iter().find_map(|(of, figure)| (of == bytes).then_some(figure))
    }
}

/// One figure.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Line {
    pub(crate) operation: Operation,
    pub(crate) bytes: usize,
    pub(crate) concurrency: usize,
    /// Whether one node was asked for everything; otherwise all in turn.
    pub(crate) through_one: bool,
    pub(crate) driven: Driven,
    /// The echo's requests a second, at the same time.
    pub(crate) echo_per_second: f64,
    /// This rate over emo's, scaled by the echo of its machine and of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_x_emo: Option<f64>,
    /// Processor time each over emo's, scaled alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_x_emo: Option<f64>,
}

/// All figures of this suite.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: usize,
    pub(crate) echo: Rate,
    /// Bytes of memory for each node, after all have joined.
    pub(crate) memory_per_node: f64,
    pub(crate) lines: Vec<Line>,
    /// Operations that did not end as they should, of all lines.
    pub(crate) failed: u64,
}

/// Nodes, and clients that read.
pub(crate) struct Network {
    pub(crate) nodes: Arc<Vec<Dht>>,
    pub(crate) clients: Arc<Vec<Dht>>,
    pub(crate) memory_per_node: f64,
}

impl Network {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let before = resident()?;
        let nodes = network(NODES, |builder| builder).await?;
        let memory_per_node = resident()?.saturating_sub(before) as f64 / NODES as f64;
        let mut clients = Vec::new();
        for _ in 0..NODES {
            let client = node(nodes.first()).role(Role::Client).start()?;
            client.joined().await?;
            clients.push(client);
        }
        Ok(Self { nodes: Arc::new(nodes), clients: Arc::new(clients), memory_per_node })
    }

    /// Waits until no node has anything under way.
    async fn rest(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        for dht in self.nodes.iter().chain(self.clients.iter()) {
            loop {
                let stats = dht.stats().await?;
                if stats.operations == 0 && stats.transfers == 0 {
                    break;
                }
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::Void("the network does not come to rest".into()));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }

    async fn stop(self) -> Result<(), Failure> {
        close(&self.clients).await?;
        close(&self.nodes).await
    }
}

/// Measures everything, each figure for `seconds`.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Cluster, Failure> {
    let (runtime, echo) = (runtime()?, Echo::start()?);
    let (mut lines, mut echoes, mut memory) = (Vec::new(), Vec::new(), None);
    for bytes in LENGTHS {
        for (concurrency, through_one) in CONCURRENCIES.map(|width| (width, false)).into_iter().chain([(MIDDLE, true)])
        {
            progress.say(&format!("cluster: {NODES} nodes for values of {bytes} B, {concurrency} at a time"));
            let network = runtime.block_on(Network::start())?;
            // Later networks find memory that the first one has left.
            memory.get_or_insert(network.memory_per_node);
            let most = (BYTES_MAX / bytes) as u64;
            let demand = Demand { concurrency, span: Duration::from_secs_f64(seconds), most };
            for operation in [Operation::Store, Operation::Find, Operation::StoreQuorum] {
                let before = echoed(&echo)?;
                let stored = match lines.last() {
                    Some(Line { operation: Operation::Store, driven, .. }) => *driven,
                    _ => Driven::default(),
                };
                let asked = Asked { operation, bytes, through_one, stored: stored.operations };
                let driven = runtime.block_on(drive_network(&network, asked, demand))?;
                let echo = Rate::median(&[before, echoed(&echo)?]);
                lines.push(line(asked, concurrency, driven, echo));
                echoes.push(echo);
            }
            runtime.block_on(network.stop())?;
        }
    }
    let failed = lines.iter().map(|line| line.driven.failed()).sum();
    Ok(Cluster { nodes: NODES, echo: Rate::median(&echoes), memory_per_node: memory.unwrap_or(0.0), lines, failed })
}

fn line(asked: Asked, concurrency: usize, driven: Driven, echo: Rate) -> Line {
    let Asked { operation, bytes, through_one, .. } = asked;
    let comparable = concurrency == CONCURRENCY && !through_one;
    let emo = comparable.then(|| operation.emo(bytes)).flatten();
    Line {
        operation,
        bytes,
        concurrency,
        through_one,
        driven,
        echo_per_second: echo.per_second,
        rate_x_emo: emo.map(|emo| emo.rate_ratio(driven.rate.per_second, echo.per_second)),
        cpu_x_emo: emo.and_then(|emo| emo.cpu_ratio(driven.rate.cpu_us, echo.cpu_us)),
    }
}

/// What is asked of a network.
#[derive(Clone, Copy)]
struct Asked {
    operation: Operation,
    bytes: usize,
    through_one: bool,
    /// Values that there are to be found.
    stored: u64,
}

/// A key and a value that differ from every other's.
pub(crate) fn item(number: u64, bytes: usize) -> (Key, Bytes) {
    let mut value = vec![number as u8; bytes];
    value[..8].copy_from_slice(&number.to_le_bytes());
    (Key::hash_int(number), value.into())
}

/// Whether it is the value of this number, byte for byte.
fn is_item(number: u64, bytes: usize, value: &[u8]) -> bool {
    let (head, rest) = value.split_at(value.len().min(8));
    // Against itself, one byte on: as fast as memory, where a loop over bytes would be the benchmark's own cost.
    let is_even = rest.first() == Some(&(number as u8)) && rest[1..] == rest[..rest.len() - 1];
    value.len() == bytes && head == number.to_le_bytes() && is_even
}

async fn drive_network(network: &Network, asked: Asked, demand: Demand) -> Result<Driven, Failure> {
    let Asked { operation, bytes, through_one, stored } = asked;
    let nodes = if operation == Operation::Find { &network.clients } else { &network.nodes }.clone();
    let demand = match operation {
        Operation::Find => Demand { most: u64::MAX, ..demand },
        _ => demand,
    };
    let run = move |number: u64| {
        let dht = nodes[if through_one { 0 } else { number as usize % nodes.len() }].clone();
        async move {
            match operation {
                Operation::Find => find(&dht, number.wrapping_mul(7919) % stored.max(1), bytes).await,
                Operation::Store => store(&dht, number, bytes, Copies::All, NODES - 1).await,
                // Other keys than those that are stored already.
                Operation::StoreQuorum => store(&dht, number | 1 << 32, bytes, Copies::AtLeast(3), 3).await,
            }
        }
    };
    drive(demand, run, || network.rest()).await
}

pub(crate) async fn store(dht: &Dht, number: u64, bytes: usize, copies: Copies, elsewhere: usize) -> Outcome {
    let (key, value) = item(number, bytes);
    match dht.store(key, value).copies(copies).await {
        Ok(receipt) if receipt.elsewhere >= elsewhere => Outcome::Right,
        Ok(receipt) if receipt.refused.is_empty() => Outcome::Silent,
        Ok(_) => Outcome::Refused,
        Err(Error::TooFewCopies { receipts }) if receipts.iter().all(|receipt| receipt.refused.is_empty()) => {
            Outcome::Silent
        }
        Err(Error::TooFewCopies { .. }) => Outcome::Refused,
        Err(Error::Timeout) => Outcome::Timeout,
        Err(_) => Outcome::Wrong,
    }
}

pub(crate) async fn find(dht: &Dht, number: u64, bytes: usize) -> Outcome {
    match dht.find(Key::hash_int(number)).await {
        Ok(Some(found)) if is_item(number, bytes, &found.bytes) => Outcome::Right,
        Err(Error::Timeout) => Outcome::Timeout,
        _ => Outcome::Wrong,
    }
}

impl Cluster {
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut table = Table::new(
            "Twenty nodes on loopback",
            [
                "operation",
                "value",
                "at a time",
                "a second",
                "p50 ms",
                "p99 ms",
                "CPU us each",
                "failed",
                "dropped",
                "rate x emo",
                "CPU x emo",
            ],
        );
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), two);
        for line in &self.lines {
            let through = if line.through_one { " (through one node)" } else { "" };
            table.row([
                format!("{}{through}", line.operation.name()),
                format!("{} B", line.bytes),
                line.concurrency.to_string(),
                count(line.driven.rate.per_second),
                two(line.driven.times.p50_ms),
                two(line.driven.times.p99_ms),
                count(line.driven.rate.cpu_us),
                line.driven.failed().to_string(),
                line.driven.dropped.to_string(),
                ratio(line.rate_x_emo),
                ratio(line.cpu_x_emo),
            ]);
        }
        let mut memory = Table::new("Memory of a node in this network", ["KiB a node"]);
        memory.row([count(self.memory_per_node / 1024.0)]);
        vec![
            table.with_note(
                "Operations go through all nodes in turn if not said otherwise: stores through the twenty that hold, finds \
                 through twenty clients that hold nothing. CPU is of the whole process, all nodes and callers; dropped are \
                 datagrams for which a socket's buffer had no room. `x emo` is against figures of another machine, scaled \
                 by the bare echo there and here.",
            ),
            memory.with_note("Anonymous memory that is resident when all have joined, less what was before, with default settings."),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{is_item, item};

    #[test]
    fn a_value_is_told_from_all_others() {
        let (_, value) = item(300, 100);
        assert!(is_item(300, 100, &value) && !is_item(301, 100, &value) && !is_item(300, 99, &value));
        for at in 0..value.len() {
            let mut wrong = value.to_vec();
            wrong[at] ^= 1;
            assert!(!is_item(300, 100, &wrong), "byte {at}");
        }
        assert!(!is_item(300, 100, &value[..50]) && !is_item(300, 100, &[]));
    }
}
