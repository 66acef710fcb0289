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
    about: "each pair of nodes has a round trip of its own; the same use of the same nodes without and with proximity routing",
    pass_line: "with it reads take an eighth less time (median, mean, p90), lookups a thirtieth (p90: a hundredth), stores hardly \
                more (a thirtieth); none costs a tenth more requests; all reads succeed, lookups find 99.9 % of the true k nearest",
    nodes: 1_000,
    hours: 0.0,
    known_gap: None,
    play: |stage| {
        let without = use_it(stage, false);
        let with = use_it(stage, true);
        compare(stage, &without.reads, &with.reads, &READS, [0.875; 3]);
        // In a small network most of the k nearest must answer, so their p90 is hardly anybody's choice.
        compare(stage, &without.lookups, &with.lookups, &LOOKUPS, [0.967, 0.967, 0.99]);
        // The slowest of twenty holders decides: their p90 is mostly chance.
        compare(stage, &without.stores, &with.stores, &STORES, [1.033, 1.033, 1.1]);
        let recall = share(with.lookups.recall.0, with.lookups.recall.1);
        stage.figure("lookup_recall", recall);
        stage.demand(recall >= 0.999, format!("lookups find only {recall} of the nodes that they should"));
        for reads in [&without.reads, &with.reads] {
            let (all, right) = (reads.gets.0 + reads.gets.1 + reads.wrong, reads.gets.0);
            stage.demand(all > 0 && right == all, format!("only {right} of {all} reads are right"));
        }
        stage.demand_rest();
    },
};

/// One figure of many durations, in milliseconds.
type OfSeries = fn(&Series) -> f64;

/// A kind of operation: its name, its durations and requests, and what its figures are called without and with proximity routing.
struct Kind {
    name: &'static str,
    took_us: fn(&Tally) -> &Series,
    requests: fn(&Tally) -> &Series,
    durations: [(OfSeries, &'static str, &'static str); 3],
    cost: (&'static str, &'static str),
}

const READS: Kind = Kind {
    name: "reads",
    took_us: |tally| &tally.took_us,
    requests: |tally| &tally.requests,
    durations: [
        (median_ms, "read_ms_p50_without", "read_ms_p50"),
        (mean_ms, "read_ms_mean_without", "read_ms_mean"),
        (p90_ms, "read_ms_p90_without", "read_ms_p90"),
    ],
    cost: ("read_requests_without", "read_requests"),
};

const LOOKUPS: Kind = Kind {
    name: "lookups",
    took_us: |tally| &tally.took_us,
    requests: |tally| &tally.requests,
    durations: [
        (median_ms, "lookup_ms_p50_without", "lookup_ms_p50"),
        (mean_ms, "lookup_ms_mean_without", "lookup_ms_mean"),
        (p90_ms, "lookup_ms_p90_without", "lookup_ms_p90"),
    ],
    cost: ("lookup_requests_without", "lookup_requests"),
};

const STORES: Kind = Kind {
    name: "stores",
    took_us: |tally| &tally.store_took_us,
    requests: |tally| &tally.store_requests,
    durations: [
        (median_ms, "store_ms_p50_without", "store_ms_p50"),
        (mean_ms, "store_ms_mean_without", "store_ms_mean"),
        (p90_ms, "store_ms_p90_without", "store_ms_p90"),
    ],
    cost: ("store_requests_without", "store_requests"),
};

fn median_ms(took_us: &Series) -> f64 {
    took_us.percentile(50) as f64 / 1e3
}

fn mean_ms(took_us: &Series) -> f64 {
    took_us.mean() / 1e3
}

fn p90_ms(took_us: &Series) -> f64 {
    took_us.percentile(90) as f64 / 1e3
}

/// Notes the figures of one kind of operation, and demands that no duration is more than these parts of what it was.
fn compare(stage: &mut Stage, without: &Tally, with: &Tally, kind: &Kind, parts: [f64; 3]) {
    for ((of, name_without, name_with), part) in kind.durations.into_iter().zip(parts) {
        let (before, after) = (of((kind.took_us)(without)), of((kind.took_us)(with)));
        stage.figure(name_without, before);
        stage.figure(name_with, after);
        stage.demand(after <= part * before, format!("{}: {name_with} is {after} and was {before}", kind.name));
    }
    let (before, after) = ((kind.requests)(without).mean(), (kind.requests)(with).mean());
    stage.figure(kind.cost.0, before);
    stage.figure(kind.cost.1, after);
    stage.demand(after <= 1.1 * before, format!("{} take {after} requests, and took {before}", kind.name));
}

/// What came of each kind of operation.
struct Tallies {
    stores: Tally,
    reads: Tally,
    lookups: Tally,
}

/// Grows the network that belongs to the seed, and lets people use it. Who asks for what does not depend on what happens.
fn use_it(stage: &mut Stage, proximity_routing: bool) -> Tallies {
    let settings = stage.settings();
    let config = Config { proximity_routing, ..settings.config };
    stage.set(Settings { config, network: Network::PAIRS, ..settings });
    let mut dice = Dice::new(stage.options.seed);
    stage.run.grow_from(stage.nodes, &mut dice);
    stage.run.workload = Workload { ttl_secs: 24 * 3600, ..Workload::default() };
    stage.run.run_for(Duration::from_secs(60));
    let anybody = |stage: &Stage, dice: &mut Dice| dice.below(stage.nodes as u64) as usize;
    let count = stage.nodes.max(200);
    let stores = tally(stage, count / 2, |stage| {
        let number = anybody(stage, &mut dice);
        stage.run.put_on(number, 100);
    });
    // In the order in which they were stored, not in which the stores ended.
    stage.run.oracle.acknowledged.sort_by_key(|published| published.number);
    let reads = tally(stage, count * 4, |stage| {
        let number = anybody(stage, &mut dice);
        let which = dice.below(stage.run.oracle.acknowledged.len() as u64) as usize;
        stage.run.get_on(number, which);
    });
    let lookups = tally(stage, count, |stage| {
        let number = anybody(stage, &mut dice);
        stage.run.look_up_on(number, Key::from_bytes(dice.bytes()));
    });
    Tallies { stores, reads, lookups }
}

/// What comes of so many operations, ten a second.
fn tally(stage: &mut Stage, count: usize, mut start: impl FnMut(&mut Stage)) -> Tally {
    stage.run.tally = Tally::default();
    for _ in 0..count {
        start(stage);
        stage.run.run_for(Duration::from_millis(100));
    }
    stage.run.run_for(Duration::from_secs(35));
    stage.run.tally.clone()
}
