//! A run: a network with people who use it and things that befall it, and an oracle that watches.

mod comings;
mod people;
mod truth;

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Wall};

use kad_core::OperationId;
use kad_store::MemoryStore;
use kad_wire::{Instant, Key};
use rustc_hash::FxHashMap;

use crate::oracle::{Oracle, Published};
use crate::tally::{Report, Tally, resident};
use crate::world::{Settings, Step, World};

pub use comings::Churn;
pub use people::Workload;

/// Something that was planned.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A node tries to join.
    Join(usize),
    /// A node's session ends.
    End(usize),
    /// A node comes back.
    Return(usize),
    /// Somebody stores a value, and the next store is planned.
    Put,
    /// Somebody reads a value, and the next read is planned.
    Get,
    /// Somebody looks up a random point, and the next lookup is planned.
    Lookup,
    /// The living holders of each value are counted, and the next census is planned.
    Census,
}

/// What an operation is for.
#[derive(Clone, Debug)]
enum Pending {
    Join,
    Put(Published),
    Get(usize),
    Lookup(Key),
}

/// See the module.
pub struct Run {
    /// The network.
    pub world: World,
    /// What is true.
    pub oracle: Oracle,
    /// What was counted.
    pub tally: Tally,
    /// Sessions and absences, if nodes come and go.
    pub churn: Option<Churn>,
    /// What people do.
    pub workload: Workload,
    /// Whether readers leave a copy at the nearest node that lacked the value, as servers do.
    pub caches: bool,
    /// Called now and then with the simulated time.
    pub progress: Box<dyn FnMut(Instant)>,
    /// Whether nodes join through others that may not have joined themselves, as a configuration file tells them.
    pub knows_doors: bool,
    k: usize,
    actions: FxHashMap<u64, Action>,
    next_token: u64,
    pending: BTreeMap<(usize, OperationId), Pending>,
    joining: usize,
    /// Whether nodes that know others look for their doors again.
    rejoins: bool,
    /// What nodes that are gone held, if it survives.
    kept: BTreeMap<usize, MemoryStore>,
    published: u64,
    wall: Wall,
    /// Datagrams that were sent before the machine's speed was measured.
    unmeasured: u64,
    steps: u64,
}

impl Run {
    /// A run without nodes.
    pub fn new(settings: Settings) -> Self {
        let k = settings.config.k.into();
        Self {
            world: World::new(settings),
            oracle: Oracle::default(),
            tally: Tally::default(),
            churn: None,
            workload: Workload::default(),
            caches: false,
            progress: Box::new(|_| {}),
            knows_doors: false,
            k,
            actions: FxHashMap::default(),
            next_token: 0,
            pending: BTreeMap::new(),
            joining: 0,
            rejoins: false,
            kept: BTreeMap::new(),
            published: 0,
            wall: Wall::now(),
            unmeasured: 0,
            steps: 0,
        }
    }

    /// Contacts per bucket and holders per value.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The machine's speed is measured from now on: what came before was preparation.
    pub fn start_the_clock(&mut self) {
        self.wall = Wall::now();
        self.unmeasured = self.world.traffic().0;
    }

    /// Plans an action.
    pub fn plan(&mut self, after: Duration, action: Action) {
        self.next_token += 1;
        self.actions.insert(self.next_token, action);
        self.world.plan(after, self.next_token);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while self.step(until) {}
        self.world.arrive_at(until);
    }

    fn step(&mut self, until: Instant) -> bool {
        let Some(step) = self.world.step(until) else { return false };
        if let Step::Token(token) = step
            && let Some(action) = self.actions.remove(&token)
        {
            self.act(action);
        }
        while let Some((number, operation, outcome)) = self.world.next_outcome() {
            if let Some(pending) = self.pending.remove(&(number, operation)) {
                self.ended(number, operation, pending, &outcome);
            }
        }
        self.steps += 1;
        if self.steps.is_multiple_of(1 << 14) {
            (self.progress)(self.world.now());
        }
        true
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Join(number) => self.try_join(number),
            Action::End(number) => self.end_session(number),
            Action::Return(number) => self.come_back(number),
            Action::Put => {
                self.put();
                self.plan_next(self.workload.puts_per_hour, Action::Put);
            }
            Action::Get => {
                self.get();
                self.plan_next(self.workload.gets_per_hour, Action::Get);
            }
            Action::Lookup => {
                self.look_up();
                self.plan_next(self.workload.lookups_per_hour, Action::Lookup);
            }
            Action::Census => self.census(),
        }
    }

    /// Plans the next of something that happens so often, at random.
    fn plan_next(&mut self, per_hour: u64, action: Action) {
        let Some(mean_us) = 3_600_000_000u64.checked_div(per_hour) else { return };
        // The median of an exponential spread is ln 2 of its mean.
        let after = self.world.dice.exponential(mean_us * 69 / 100);
        self.plan(Duration::from_micros(after), action);
    }

    /// People begin to use the network.
    pub fn open(&mut self, workload: Workload) {
        self.workload = workload;
        self.plan_next(workload.puts_per_hour, Action::Put);
        self.plan_next(workload.gets_per_hour, Action::Get);
        self.plan_next(workload.lookups_per_hour, Action::Lookup);
    }

    /// People stop using the network; what they have begun goes on.
    pub fn close(&mut self) {
        self.workload = Workload { ttl_secs: self.workload.ttl_secs, ..Workload::default() };
        self.actions.retain(|_, action| !matches!(action, Action::Put | Action::Get | Action::Lookup));
    }

    /// What is said of it.
    pub fn report(&mut self, scenario: &str, seed: u64) -> Report {
        let (datagrams, bytes) = self.world.traffic();
        let (tally, wall) = (&self.tally, self.wall.elapsed().as_secs_f64());
        let nodes = self.world.living().count();
        Report {
            scenario: scenario.into(),
            seed,
            version: env!("CARGO_PKG_VERSION"),
            nodes,
            passed: true,
            failures: Vec::new(),
            known_gap: None,
            simulated_seconds: self.world.now().as_micros() as f64 / 1e6,
            datagrams,
            bytes,
            datagrams_per_second: (datagrams - self.unmeasured) as f64 / wall,
            wall_seconds: wall,
            success: tally.success(),
            gets: tally.gets.0 + tally.gets.1,
            puts: tally.puts.0 + tally.puts.1,
            copies_p50: tally.copies.percentile(50),
            lost: tally.lost,
            hops_p50: tally.hops.percentile(50),
            hops_p99: tally.hops.percentile(99),
            hops_mean: tally.hops.mean(),
            messages_p50: tally.requests.percentile(50),
            messages_mean: tally.requests.mean(),
            latency_ms_p50: tally.took_us.percentile(50) as f64 / 1e3,
            latency_ms_p99: tally.took_us.percentile(99) as f64 / 1e3,
            bytes_per_node: resident() / nodes.max(1) as u64,
            figures: BTreeMap::new(),
            digest: format!("{:016x}", self.world.digest()),
        }
    }
}
