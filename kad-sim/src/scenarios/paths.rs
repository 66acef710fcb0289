//! Networks in which it matters who is near whom.

use std::time::Duration;

use kad_core::Config;
use kad_wire::Key;

use super::{Scenario, Stage};
use crate::dice::Dice;
use crate::network::Network;
use crate::run::Workload;
use crate::tally::{Series, Tally, share};
use crate::world::Settings;

pub(super) const LATENCY: Scenario = Scenario {
    name: "latency",
    about: "each pair of nodes has a round trip of its own; the same people use the same nodes with and without proximity routing",
    pass_line: "with it half of all reads take at least a fifth less time and no more requests, and lookups are as exact",
    nodes: 1_000,
    hours: 0.0,
    known_gap: None,
    play: |stage| {
        let without = use_it(stage, false);
        let with = use_it(stage, true);
        for (name, of) in FIGURES {
            let (before, after) = (of(&without), of(&with));
            stage.figure(name.0, before);
            stage.figure(name.1, after);
        }
        stage.demand_rest();
    },
};

type Figure = fn(&Tallies) -> f64;

/// Names of a figure without and with proximity routing, and how to tell it.
const FIGURES: [((&str, &str), Figure); 12] = [
    (("read_ms_p50_without", "read_ms_p50"), |of| millis(&of.reads.took_us, 50)),
    (("read_ms_p90_without", "read_ms_p90"), |of| millis(&of.reads.took_us, 90)),
    (("read_ms_mean_without", "read_ms_mean"), |of| of.reads.took_us.mean() / 1e3),
    (("read_requests_without", "read_requests"), |of| of.reads.requests.mean()),
    (("lookup_ms_p50_without", "lookup_ms_p50"), |of| millis(&of.lookups.took_us, 50)),
    (("lookup_ms_p90_without", "lookup_ms_p90"), |of| millis(&of.lookups.took_us, 90)),
    (("lookup_requests_without", "lookup_requests"), |of| of.lookups.requests.mean()),
    (("lookup_recall_without", "lookup_recall"), |of| share(of.lookups.recall.0, of.lookups.recall.1)),
    (("store_ms_p50_without", "store_ms_p50"), |of| millis(&of.stores.store_took_us, 50)),
    (("store_ms_p90_without", "store_ms_p90"), |of| millis(&of.stores.store_took_us, 90)),
    (("store_requests_without", "store_requests"), |of| of.stores.store_requests.mean()),
    (("read_success_without", "read_success"), |of| of.reads.success()),
];

/// What came of each kind of operation.
struct Tallies {
    stores: Tally,
    reads: Tally,
    lookups: Tally,
}

fn millis(series: &Series, percent: usize) -> f64 {
    series.percentile(percent) as f64 / 1e3
}

/// Grows the network that belongs to the seed, and lets people use it, one after the other.
fn use_it(stage: &mut Stage, proximity_routing: bool) -> Tallies {
    let settings = stage.settings();
    let config = Config { proximity_routing, ..settings.config };
    stage.set(Settings { config, network: Network::PAIRS, ..settings });
    let mut dice = Dice::new(stage.options.seed);
    stage.run.grow_from(stage.nodes, &mut dice);
    stage.run.workload = Workload { ttl_secs: 24 * 3600, ..Workload::default() };
    stage.run.run_for(Duration::from_secs(60));
    let stores = tally(stage, 500, |stage, _| {
        let number = dice.below(stage.nodes as u64) as usize;
        stage.run.put_on(number, 100);
    });
    let reads = tally(stage, 4_000, |stage, _| {
        let number = dice.below(stage.nodes as u64) as usize;
        let which = dice.below(stage.run.oracle.acknowledged.len() as u64) as usize;
        stage.run.get_on(number, which);
    });
    let lookups = tally(stage, 1_000, |stage, _| {
        let number = dice.below(stage.nodes as u64) as usize;
        stage.run.look_up_on(number, Key::from_bytes(dice.bytes()));
    });
    Tallies { stores, reads, lookups }
}

/// What comes of so many operations, ten a second.
fn tally(stage: &mut Stage, count: usize, mut start: impl FnMut(&mut Stage, usize)) -> Tally {
    stage.run.tally = Tally::default();
    for number in 0..count {
        start(stage, number);
        stage.run.run_for(Duration::from_millis(100));
    }
    stage.run.run_for(Duration::from_secs(35));
    std::mem::take(&mut stage.run.tally)
}
