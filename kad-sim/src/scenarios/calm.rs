//! Networks in which nobody comes or goes.

use std::time::Duration;

use kad_core::Capacity;

use super::{Scenario, Stage, capacity};
use crate::network::{Bursts, Network};
use crate::run::Workload;
use crate::tally::share;
use crate::world::Settings;

const PEOPLE: Workload = Workload {
    puts_per_hour: 2_000,
    gets_per_hour: 20_000,
    lookups_per_hour: 4_000,
    hot: false,
    ttl_secs: 24 * 3600,
    len_max: 3_000,
};

pub(super) const STEADY: Scenario = Scenario {
    name: "steady",
    about: "nodes all over the world store, read and look up; one datagram in a thousand is lost",
    pass_line: "every read succeeds; 99 % of lookups find exactly the true k nearest",
    nodes: 500,
    hours: 0.5,
    known_gap: None,
    play: |stage| {
        use_it(stage);
        let success = stage.run.tally.success();
        stage.demand(success == 1.0, format!("only {success} of reads succeed"));
        let exact = share(stage.run.tally.exact.0, stage.run.tally.exact.1);
        stage.demand(exact >= 0.99, format!("only {exact} of lookups are exact"));
        stage.demand_rest();
    },
};

pub(super) const LOSS: Scenario = Scenario {
    name: "loss",
    about: "as steady, but one datagram in ten is lost, and more in bursts; some come twice, some late",
    pass_line: "99.9 % of reads succeed; lookups find 90 % of the true k nearest",
    nodes: 300,
    hours: 0.5,
    known_gap: None,
    play: |stage| {
        let bursts = Some(Bursts { begin: 5_000, end: 100_000, loss: 500_000 });
        let network = Network { loss: 100_000, bursts, duplication: 20_000, straggling: 20_000, ..Network::WORLDWIDE };
        stage.set(Settings { network, ..stage.settings() });
        use_it(stage);
        let success = stage.run.tally.success();
        stage.demand(success >= 0.999, format!("only {success} of reads succeed"));
        let recall = share(stage.run.tally.recall.0, stage.run.tally.recall.1);
        stage.demand(recall >= 0.9, format!("lookups find only {recall} of the nodes that they should"));
        stage.demand_rest();
    },
};

fn use_it(stage: &mut Stage) {
    stage.run.grow(stage.nodes);
    let half = stage.span / 2;
    stage.run.open(Workload { gets_per_hour: 0, ..PEOPLE });
    stage.run.run_for(half);
    stage.run.close();
    stage.run.open(Workload { puts_per_hour: 0, ..PEOPLE });
    stage.run.run_for(half);
    stage.run.close();
    stage.run.run_for(Duration::from_secs(60));
    let exact = share(stage.run.tally.exact.0, stage.run.tally.exact.1);
    let recall = share(stage.run.tally.recall.0, stage.run.tally.recall.1);
    stage.figure("exact_lookups", exact);
    stage.figure("recall", recall);
}

pub(super) const SCALE: Scenario = Scenario {
    name: "scale",
    about: "a very large network, its tables filled as years of use would fill them, and 20,000 lookups",
    pass_line: "lookups find 99.5 % of the true k nearest",
    nodes: 100_000,
    hours: 0.05,
    known_gap: None,
    play: |stage| {
        // As little memory as a node that only looks up needs.
        let lean = Capacity {
            spares: 0,
            operations: 1,
            operations_max: 1,
            items: 1,
            transfers: 1,
            arena_rows: 1,
            ..capacity(stage.nodes, stage.options.k.into())
        };
        let lean = Capacity { rows: lean.rows - 2, ..lean };
        let mut settings = Settings { capacity: lean, check_every: 0, upkeep: false, ..stage.settings() };
        settings.config.value_max = 1024;
        stage.set(settings);
        stage.run.fill(stage.nodes);
        stage.run.start_the_clock();
        let lookups = 20_000;
        let per_hour = (f64::from(lookups) / (stage.span.as_secs_f64() / 3600.0)) as u64;
        stage.run.open(Workload { lookups_per_hour: per_hour, ..Workload::default() });
        stage.run.run_for(stage.span);
        stage.run.close();
        stage.run.run_for(Duration::from_secs(40));
        let recall = share(stage.run.tally.recall.0, stage.run.tally.recall.1);
        stage.figure("recall", recall);
        stage.demand(recall >= 0.995, format!("lookups find only {recall} of the nodes that they should"));
    },
};
