//! Many values of one publisher, in batches, against as many single stores: counted in the simulator.

use kad_sim::{Options, play, scenario};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::table::{Table, two};

/// Nodes of the network.
const NODES: usize = 1_000;
/// The simulator's scenario.
const SCENARIO: &str = "bulk-publish";

/// All figures of this suite: the same on every machine.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Bulk {
    pub(crate) nodes: usize,
    /// Requests that the publisher sends for each value.
    pub(crate) alone: f64,
    pub(crate) in_bulk: f64,
    pub(crate) ratio: f64,
}

/// Plays the scenario, which publishes 10,000 values in the batches that a server makes.
pub(crate) fn measure(progress: &Progress) -> Result<Bulk, Failure> {
    progress.say(&format!("bulk: 10,000 values among {NODES} simulated nodes"));
    let scenario = scenario(SCENARIO).ok_or_else(|| Failure::Void(format!("there is no scenario {SCENARIO}")))?;
    let report = play(scenario, &Options { nodes: Some(NODES), ..Options::new(1) }, |_| {});
    if !report.passed {
        return Err(Failure::Void(report.failures.join("; ")));
    }
    let figure = |name: &str| {
        let figure = report.figures.get(name).copied();
        figure.ok_or_else(|| Failure::Void(format!("the scenario {SCENARIO} has no figure {name}")))
    };
    let (alone, in_bulk) = (figure("requests_a_value_alone")?, figure("requests_a_value_in_bulk")?);
    Ok(Bulk { nodes: NODES, alone, in_bulk, ratio: in_bulk / alone })
}

impl Bulk {
    pub(crate) fn tables(&self) -> Vec<Table> {
        let head = ["nodes", "requests a value, alone", "in bulk", "ratio"];
        let mut table = Table::new("Ten thousand values by one publisher", head);
        table.row([self.nodes.to_string(), two(self.alone), two(self.in_bulk), two(self.ratio)]);
        vec![table.with_note(
            "Simulated, values of 64 B, k = 20: a count, the same on every machine. Every value was read afterwards.",
        )]
    }
}
