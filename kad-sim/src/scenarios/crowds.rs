//! Many who want the same, and one who wants much.

use std::time::Duration;

use kad_wire::StoreMode;

use super::{Scenario, Stage};
use crate::run::Workload;

pub(super) const FLASH_CROWD: Scenario = Scenario {
    name: "flash-crowd",
    about: "one value, and 20,000 reads of it by random nodes within ten seconds; readers leave copies on their way",
    pass_line: "every read succeeds; the busiest node receives no more than a tenth of all datagrams",
    nodes: 1_000,
    hours: 0.0,
    known_gap: None,
    play: |stage| {
        stage.run.grow(stage.nodes);
        stage.run.caches = true;
        stage.run.workload = Workload { ttl_secs: 3600, ..Workload::default() };
        stage.run.put_on(0, 500);
        stage.run.run_for(Duration::from_secs(30));
        let before: Vec<_> = (0..stage.nodes).map(|number| stage.run.world.received(number)).collect();
        for _ in 0..1_000 {
            for _ in 0..20 {
                if let Some(number) = stage.run.somebody() {
                    stage.run.get_on(number, 0);
                }
            }
            stage.run.run_for(Duration::from_millis(10));
        }
        stage.run.run_for(Duration::from_secs(35));
        let mut received: Vec<_> =
            before.iter().enumerate().map(|(number, before)| stage.run.world.received(number) - before).collect();
        received.sort_unstable();
        let all: u64 = received.iter().sum();
        let busiest = received.last().copied().unwrap_or(0) as f64 / all.max(1) as f64;
        let (success, gets) = (stage.run.tally.success(), stage.run.tally.gets);
        stage.figure("busiest_share", busiest);
        stage.figure("datagrams_a_read", all as f64 / (gets.0 + gets.1).max(1) as f64);
        stage.demand(success == 1.0, format!("only {success} of {gets:?} reads succeed"));
        stage.demand(busiest <= 0.1, format!("the busiest node receives {busiest} of all datagrams"));
        stage.demand_rest();
    },
};

pub(super) const BULK_PUBLISH: Scenario = Scenario {
    name: "bulk-publish",
    about: "one node publishes 10,000 small values",
    pass_line: "at most 15 % of the requests that 10,000 single stores take; 99.9 % of the values are read",
    nodes: 300,
    hours: 0.0,
    known_gap: None,
    play: |stage| {
        stage.run.grow(stage.nodes);
        stage.run.workload = Workload { ttl_secs: 24 * 3600, ..Workload::default() };
        let single = cost_of(stage, |stage| {
            for _ in 0..50 {
                stage.run.put_on(0, 64);
                stage.run.run_for(Duration::from_secs(3));
            }
        }) / 50.0;
        let count = 10_000;
        let bulk = cost_of(stage, |stage| publish_all(stage, count)) / count as f64;
        stage.figure("requests_a_value_alone", single);
        stage.figure("requests_a_value_in_bulk", bulk);
        stage.run.tally = Default::default();
        stage.run.read_everything();
        let success = stage.run.tally.success();
        stage.demand(bulk <= single * 0.15, format!("{bulk} requests a value, {single} alone"));
        stage.demand(success >= 0.999, format!("only {success} of the values are read"));
        stage.demand_rest();
    },
};

/// Requests that node 0 sends meanwhile.
fn cost_of(stage: &mut Stage, play: impl FnOnce(&mut Stage)) -> f64 {
    let requests = |stage: &mut Stage| stage.run.world.member(0).node().stats().requests_out;
    let before = requests(stage);
    play(stage);
    (requests(stage) - before) as f64
}

/// Node 0 publishes values in batches of one region of the key space each, as the server's `store_many` does.
fn publish_all(stage: &mut Stage, count: usize) {
    let mut items: Vec<_> = (0..count).map(|_| stage.run.publish_later(0, 64)).collect();
    items.sort_by_key(|(key, header)| (*key, header.digest));
    let mut node = stage.run.world.member(0).node();
    let (bits, width) = (node.region_bits(), node.items_per_operation());
    for batch in kad_upkeep::regions(&items, bits, width, |(key, header)| (*key, header.digest)) {
        let store = |node: &mut kad_core::Node<'_>, now: kad_wire::Instant| {
            node.store(now, now.plus_millis(30_000), StoreMode::Publish, 0, batch)
        };
        while stage.run.world.try_start(0, store).is_err() {
            stage.run.run_for(Duration::from_millis(100));
        }
    }
    stage.run.run_for(Duration::from_secs(60));
}
