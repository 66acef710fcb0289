//! What twenty nodes cost that nobody uses.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::{process_time, resident};
use crate::cluster::NODES;
use crate::failure::Failure;
use crate::network::{close, network, runtime};
use crate::progress::Progress;
use crate::table::{Table, count, two};

/// A network that has just grown is not at rest yet.
const SETTLE: Duration = Duration::from_secs(5);
/// Idle nodes do something every few seconds: shorter spans say little.
const SHORTEST: f64 = 10.0;

/// All figures of this suite.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Idle {
    pub(crate) nodes: usize,
    /// Share of one core that all nodes take together.
    pub(crate) core_share: f64,
    /// Datagrams a second that one node sends.
    pub(crate) datagrams_per_second: f64,
    /// Bytes of resident memory for each node, beyond the files that all share.
    pub(crate) memory_per_node: f64,
    /// Bytes of that which the core has for its tables and operations.
    pub(crate) core_per_node: f64,
}

/// Measures for `seconds`, ten at the least.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Idle, Failure> {
    let (span, runtime) = (Duration::from_secs_f64(seconds.max(SHORTEST)), runtime()?);
    progress.say(&format!("idle: {NODES} nodes for {:.0} s", (SETTLE + span).as_secs_f64()));
    runtime.block_on(async {
        let before = resident()?;
        let nodes = network(NODES, |builder| builder).await?;
        tokio::time::sleep(SETTLE).await;
        let memory = resident()?.saturating_sub(before);
        let sent = || async {
            let (mut sent, mut memory) = (0, 0);
            for dht in &nodes {
                let stats = dht.stats().await?;
                sent += stats.core.datagrams_out;
                memory += stats.memory;
            }
            Ok::<_, Failure>((sent, memory))
        };
        let (sent_before, core) = sent().await?;
        let (cpu, begun) = (process_time()?, Instant::now());
        tokio::time::sleep(span).await;
        let (cpu, wall) = (process_time()?.saturating_sub(cpu), begun.elapsed().as_secs_f64());
        let (sent, _) = sent().await?;
        close(&nodes).await?;
        let each = NODES as f64;
        Ok(Idle {
            nodes: NODES,
            core_share: cpu.as_secs_f64() / wall,
            datagrams_per_second: (sent - sent_before) as f64 / wall / each,
            memory_per_node: memory as f64 / each,
            core_per_node: core as f64 / each,
        })
    })
}

impl Idle {
    pub(crate) fn tables(&self) -> Vec<Table> {
        let head = ["nodes", "share of a core, all", "datagrams a second, each", "KiB a node", "of these the core's"];
        let mut table = Table::new("Idle nodes", head);
        table.row([
            self.nodes.to_string(),
            format!("{} %", two(self.core_share * 100.0)),
            two(self.datagrams_per_second),
            count(self.memory_per_node / 1024.0),
            count(self.core_per_node / 1024.0),
        ]);
        vec![
            table.with_note(
                "From five seconds after the last node has joined. Memory is what is resident and of no file.",
            ),
        ]
    }
}
