//! Networks that lose nodes, paths and memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kad_wire::NodeId;

use super::{Scenario, Stage};
use crate::run::{Churn, Workload};
use crate::tally::share;

const PEOPLE: Workload = Workload {
    puts_per_hour: 500,
    gets_per_hour: 5_000,
    lookups_per_hour: 500,
    hot: false,
    ttl_secs: 26 * 3600,
    len_max: 1_000,
};

pub(super) const CHURN: Scenario = Scenario {
    name: "churn",
    about: "half of all sessions are shorter than 30 minutes; one node in five says goodbye, all come back empty",
    pass_line: "99.9 % of reads succeed; no acknowledged value is lost while half of its holders live at each census",
    nodes: 1_000,
    hours: 2.0,
    known_gap: None,
    play: |stage| {
        stage.run.grow(stage.nodes);
        stage.run.begin_churn(Churn {
            session: Duration::from_secs(30 * 60),
            absence: Duration::from_secs(60),
            heavy_tailed: stage.options.seed % 2 == 1,
            goodbyes: 200_000,
            keeps_values: false,
        });
        stage.run.keep_doors_open();
        stage.run.begin_census();
        // Values are stored in the first quarter and read all the time.
        let span = stage.span;
        stage.run.open(PEOPLE);
        stage.run.run_for(span / 4);
        stage.run.close();
        stage.run.open(Workload { puts_per_hour: 0, ..PEOPLE });
        stage.run.run_for(span * 3 / 4);
        let tally = &stage.run.tally;
        let (success, lost, at_once) = (tally.success(), tally.lost, tally.lost_at_once);
        let fewest = stage.run.oracle.acknowledged.iter().map(|value| value.fewest_holders).min().unwrap_or(0);
        stage.figure("fewest_holders", fewest as f64);
        stage.figure("lost", lost as f64);
        let hours = span.as_secs_f64() / 3600.0;
        let (datagrams, _) = stage.run.world.traffic();
        stage.figure("datagrams_per_node_and_second", datagrams as f64 / stage.nodes as f64 / hours / 3600.0);
        stage.demand(success >= 0.999, format!("only {success} of reads succeed"));
        stage.demand(at_once == 0, format!("{at_once} values were lost although half of their holders lived"));
        stage.run.churn = None;
        stage.demand_rest();
    },
};

pub(super) const MASS_RESTART: Scenario = Scenario {
    name: "mass-restart",
    about: "21 nodes behind one address that hold 1,000 values all restart at once, with what they held",
    pass_line: "within two minutes each knows three quarters of the others; then every value is read; traffic dies down",
    nodes: 21,
    hours: 0.1,
    known_gap: None,
    play: |stage| {
        for number in 0..stage.nodes {
            let id = NodeId::from_bytes(stage.run.world.dice.bytes());
            let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 9000 + number as u16));
            let config = stage.settings().config;
            let number = stage.run.world.add_as(id, address, &config);
            stage.run.arrive(number);
            stage.run.wait_for_joins();
        }
        stage.run.workload = Workload { ttl_secs: 24 * 3600, ..Workload::default() };
        for value in 0..1_000 {
            let number = value % stage.nodes;
            stage.run.put_on(number, 100 + value);
            if value % 20 == 19 {
                stage.run.run_for(Duration::from_secs(2));
            }
        }
        stage.run.run_for(Duration::from_secs(60));
        let stores: Vec<_> = (0..stage.nodes).map(|number| stage.run.crash(number)).collect();
        stage.run.run_for(Duration::from_secs(2));
        restart_all(stage, stores);
    },
};

fn restart_all(stage: &mut Stage, stores: Vec<Option<kad_store::MemoryStore>>) {
    for (number, store) in stores.into_iter().enumerate() {
        stage.run.world.restart(number, store);
    }
    // Nobody has joined yet: everybody knows its doors by address, as from a configuration file.
    stage.run.knows_doors = true;
    for number in 0..stage.nodes {
        stage.run.rejoin(number);
    }
    let (mut recovered, mut peak, mut before) = (None, 0, stage.run.world.traffic().0);
    for second in 1..=120u32 {
        stage.run.run_for(Duration::from_secs(1));
        let now = stage.run.world.traffic().0;
        peak = peak.max(now - before);
        before = now;
        if recovered.is_none() && fewest_contacts(stage) * 4 >= (stage.nodes - 1) * 3 {
            recovered = Some(second);
        }
    }
    stage.run.read_everything();
    let fewest = fewest_contacts(stage);
    stage.figure("fewest_contacts", fewest as f64);
    stage.figure("recovered_after_seconds", recovered.map_or(f64::INFINITY, f64::from));
    stage.figure("peak_datagrams_a_node_and_second", peak as f64 / stage.nodes as f64);
    stage.demand(recovered.is_some_and(|seconds| seconds < 120), format!("recovered after {recovered:?} s"));
    let quiet = stage.run.world.traffic().0;
    stage.run.run_for(Duration::from_secs(600));
    let quiet = (stage.run.world.traffic().0 - quiet) as f64 / 600.0 / stage.nodes as f64;
    stage.figure("quiet_datagrams_a_node_and_second", quiet);
    stage.demand(quiet < 1.0, format!("{quiet} datagrams a node and second do not end"));
    let success = stage.run.tally.success();
    stage.demand(success == 1.0, format!("only {success} of the values are read"));
    stage.demand_rest();
}

/// Contacts of the node that knows the fewest.
fn fewest_contacts(stage: &mut Stage) -> usize {
    (0..stage.nodes).map(|number| stage.run.world.member(number).node().status().contacts).min().unwrap_or(0)
}

pub(super) const PARTITION_AND_HEAL: Scenario = Scenario {
    name: "partition-and-heal",
    about: "a network falls into halves that do not reach each other, both are used, and after an hour the paths are back",
    pass_line: "within 30 minutes after that every value is read from random nodes, 99.9 % at the first try",
    nodes: 200,
    hours: 1.0,
    known_gap: None,
    play: |stage| {
        stage.run.grow(stage.nodes);
        stage.run.keep_doors_open();
        stage.run.open(Workload { gets_per_hour: 0, puts_per_hour: 600, ..PEOPLE });
        stage.run.run_for(Duration::from_secs(600));
        for number in 0..stage.nodes {
            stage.run.world.link(number).part = (number % 2) as u8;
        }
        let span = stage.span;
        stage.run.run_for(span);
        stage.run.close();
        for number in 0..stage.nodes {
            stage.run.world.link(number).part = 0;
        }
        stage.run.run_for(Duration::from_secs(1800));
        stage.run.read_everything();
        let (success, values) = (stage.run.tally.success(), stage.run.oracle.acknowledged.len());
        stage.figure("values", values as f64);
        stage.demand(success >= 0.999, format!("only {success} of {values} values are read"));
        stage.demand_rest();
    },
};

pub(super) const TARPITS: Scenario = Scenario {
    name: "tarpits",
    about: "30 % of all nodes stop to answer, at once, and stay in the tables of the others",
    pass_line: "99.9 % of reads succeed in the ten minutes after that; half of the lookups take less than three seconds",
    nodes: 500,
    hours: 0.2,
    known_gap: None,
    play: |stage| {
        stage.run.grow(stage.nodes);
        stage.run.open(Workload { gets_per_hour: 0, ..PEOPLE });
        stage.run.run_for(Duration::from_secs(900));
        stage.run.close();
        stage.run.run_for(Duration::from_secs(60));
        let before = (stage.run.tally.requests.mean(), stage.run.tally.took_us.percentile(50));
        stage.run.tally = Default::default();
        for number in 0..stage.nodes {
            if number % 10 < 3 {
                stage.run.crash(number);
            }
        }
        stage.run.open(Workload { puts_per_hour: 0, lookups_per_hour: 5_000, ..PEOPLE });
        let span = stage.span;
        stage.run.run_for(span);
        let tally = &stage.run.tally;
        let (success, messages, median) = (tally.success(), tally.requests.mean(), tally.took_us.percentile(50));
        let exact = share(tally.exact.0, tally.exact.1);
        stage.figure("messages_mean_before", before.0);
        stage.figure("messages_mean_after", messages);
        stage.figure("lookup_ms_p50_before", before.1 as f64 / 1e3);
        stage.figure("lookup_ms_p50_after", median as f64 / 1e3);
        stage.figure("exact_lookups", exact);
        stage.demand(success >= 0.999, format!("only {success} of reads succeed"));
        stage.demand(median < 3_000_000, format!("half of the lookups take {median} us"));
        stage.demand_rest();
    },
};
