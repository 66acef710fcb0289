//! Figures of other implementations beside this one's.

use serde::{Deserialize, Serialize};

use crate::drive::Driven;
use crate::table::{Table, count, two};

/// One implementation under one load.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) bytes: usize,
    pub(crate) concurrency: usize,
    /// Bytes of memory for each node of this implementation.
    pub(crate) memory_per_node: f64,
    pub(crate) put: Driven,
    pub(crate) get: Driven,
}

/// All figures of the suite `peers`.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Compared {
    pub(crate) peers: Vec<Peer>,
}

impl Compared {
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut table = Table::new(
            "Other implementations under the same load",
            ["", "value", "at a time", "put/s", "p50 ms", "CPU us", "failed", "get/s", "p50 ms", "CPU us", "failed"],
        );
        for peer in &self.peers {
            let of = |driven: &Driven| {
                let rate = driven.rate;
                [count(rate.per_second), two(driven.times.p50_ms), count(rate.cpu_us), driven.failed().to_string()]
            };
            let ([a, b, c, d], [e, f, g, h]) = (of(&peer.put), of(&peer.get));
            let (name, value, width) = (peer.name.clone(), format!("{} B", peer.bytes), peer.concurrency.to_string());
            table.row([name, value, width, a, b, c, d, e, f, g, h]);
        }
        let mut memory = Table::new("Memory of their nodes", ["", "KiB a node"]);
        let mut named: Vec<&str> = Vec::new();
        for peer in &self.peers {
            if !named.contains(&peer.name.as_str()) {
                named.push(&peer.name);
                memory.row([peer.name.clone(), count(peer.memory_per_node / 1024.0)]);
            }
        }
        vec![
            table.with_note(
                "Twenty nodes, and twenty clients that hold nothing, in one process. A put waits for all holders, where the \
                 implementation can; a get for the first value. CPU is of the whole process.",
            ),
            memory.with_note("Anonymous memory that is resident once the nodes know each other."),
        ]
    }
}
