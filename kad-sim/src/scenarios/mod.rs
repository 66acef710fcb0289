//! Scenarios by name, each with the line that it must pass.

mod calm;
mod crowds;
mod enemies;
mod faults;
mod paths;

use std::time::Duration;

use kad_core::{Capacity, Config};
use kad_wire::Instant;

use crate::run::Run;
use crate::tally::Report;
use crate::world::Settings;

/// What a run of a scenario is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything random follows from this.
    pub seed: u64,
    /// Nodes; the scenario's own number if not given.
    pub nodes: Option<usize>,
    /// Simulated hours of what lasts; the scenario's own if not given.
    pub hours: Option<f64>,
    /// Contacts per bucket and holders per value.
    pub k: u8,
    /// Every how many-th step all invariants of its node are checked; 0 for never.
    pub check_every: u64,
}

impl Options {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, nodes: None, hours: None, k: 20, check_every: 64 }
    }
}

/// A scenario. To write one: a function on a [`Stage`] that grows a network, lets things happen, and
/// [demands](Stage::demand) what must hold; and a line in [`SCENARIOS`].
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    /// What must hold in the end.
    pub pass_line: &'static str,
    /// Nodes, if not told otherwise.
    pub nodes: usize,
    /// Hours, if not told otherwise.
    pub hours: f64,
    /// Why it does not pass, where that is known and accepted for now.
    pub known_gap: Option<&'static str>,
    play: fn(&mut Stage),
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 13] = [
    calm::STEADY,
    calm::LOSS,
    calm::SCALE,
    paths::LATENCY,
    faults::CHURN,
    faults::MASS_RESTART,
    faults::PARTITION_AND_HEAL,
    faults::TARPITS,
    crowds::FLASH_CROWD,
    crowds::BULK_PUBLISH,
    enemies::TABLE_POISONING,
    enemies::ECLIPSE,
    enemies::LOOKUP_BOMBS,
];

/// The scenario of this name.
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// Where a scenario is played.
pub struct Stage {
    /// What it is asked for.
    pub options: Options,
    /// Nodes to play with.
    pub nodes: usize,
    /// Simulated time of what lasts.
    pub span: Duration,
    /// The network with its people and its oracle.
    pub run: Run,
    failures: Vec<String>,
    figures: Vec<(&'static str, f64)>,
}

impl Stage {
    /// What must hold, or the text says what does not.
    pub fn demand(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.failures.push(otherwise.into());
        }
    }

    /// A figure of this scenario's own.
    pub fn figure(&mut self, name: &'static str, figure: f64) {
        self.figures.push((name, figure));
    }

    /// Starts over with other settings.
    fn set(&mut self, settings: Settings) {
        let progress = std::mem::replace(&mut self.run.progress, Box::new(|_| {}));
        self.run = Run::new(settings);
        self.run.progress = progress;
    }

    /// The settings that most scenarios have in common.
    fn settings(&self) -> Settings {
        settings(&self.options, self.nodes)
    }

    /// What every scenario demands in the end: nobody was given wrong bytes, and every slot is free again.
    fn demand_rest(&mut self) {
        self.run.close();
        self.run.run_for(Duration::from_secs(60));
        let restless = self.run.restless();
        self.demand(restless == 0, format!("{restless} nodes do not come to rest"));
        let wrong = self.run.tally.wrong;
        self.demand(wrong == 0, format!("{wrong} reads brought wrong bytes"));
    }
}

/// Settings of a network of so many nodes, with upkeep, on the paths of the world.
pub fn settings(options: &Options, nodes: usize) -> Settings {
    let config = Config { k: options.k, value_max: 8192, ..Config::default() };
    Settings {
        network: crate::network::Network::WORLDWIDE,
        config,
        capacity: capacity(nodes, options.k.into()),
        check_every: options.check_every,
        upkeep: true,
        ..Settings::new(options.seed)
    }
}

/// Memory for a node among so many: as many rows as its table can fill, and three more.
pub fn capacity(nodes: usize, k: usize) -> Capacity {
    let rows = (nodes / k).max(1).ilog2() as usize + 4;
    Capacity {
        rows,
        spares: 2,
        operations: 2,
        operations_max: 64,
        candidates: k * 3 / 2,
        items: 16,
        transfers: 8,
        arena_rows: 2,
    }
}

/// Plays a scenario. `progress` is called now and then with the simulated time.
pub fn play(scenario: &Scenario, options: &Options, progress: impl FnMut(Instant) + 'static) -> Report {
    let nodes = options.nodes.unwrap_or(scenario.nodes);
    let span = Duration::from_secs_f64(options.hours.unwrap_or(scenario.hours) * 3600.0);
    let mut run = Run::new(settings(options, nodes));
    run.progress = Box::new(progress);
    let mut stage = Stage { options: options.clone(), nodes, span, run, failures: Vec::new(), figures: Vec::new() };
    (scenario.play)(&mut stage);
    let mut report = stage.run.report(scenario.name, options.seed);
    report.figures.extend(stage.figures);
    report.passed = stage.failures.is_empty();
    report.known_gap = scenario.known_gap.filter(|_| !report.passed);
    report.failures = stage.failures;
    report
}
