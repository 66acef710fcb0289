//! Small networks of all shapes: a seed decides how many nodes with how much memory, on what paths, and what befalls them.
//! Every invariant is checked after every step. Then everything heals, and progress is demanded.

use std::time::Duration;

use kad_core::{Capacity, Config, FindOptions};
use kad_wire::Key;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::network::{Bursts, Delay, Network, PartsPerMillion, Uplink};
use crate::run::{Run, Workload};
use crate::world::Settings;

/// Events of the rough part.
const EVENTS: u64 = 40;

/// Plays one small network. Answers with the datagrams that it sent.
///
/// # Errors
/// What does not hold. A broken invariant is a panic of `check`, with its own words.
pub fn soak(seed: u64) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let shape = Shape::of(&mut dice);
    let mut run = Run::new(shape.settings(seed));
    run.knows_doors = true;
    run.caches = dice.chance(500_000);
    run.grow(shape.nodes);
    skew_clocks(&mut run, &mut dice);
    *run.world.network() = shape.rough.clone();
    run.keep_doors_open();
    run.open(shape.workload);
    for _ in 0..EVENTS {
        befall(&mut run, &mut dice, shape.nodes);
        run.run_for(Duration::from_millis(dice.below(20_000)));
    }
    heal(&mut run, shape.nodes);
    demand_progress(&mut run, &shape)?;
    Ok(run.world.traffic().0)
}

/// What a seed decides.
struct Shape {
    nodes: usize,
    k: u8,
    capacity: Capacity,
    value_max: u32,
    rough: Network,
    workload: Workload,
}

impl Shape {
    fn of(dice: &mut Dice) -> Self {
        // With k = 1 a publisher may be the only holder, which is right and looks like a failure.
        let k = 2 + dice.below(19) as u8;
        let value_max = [512, 2048, 8192, 32_768][dice.below(4) as usize];
        let capacity = Capacity {
            rows: 2 + dice.below(10) as usize,
            spares: dice.below(3) as usize,
            operations: 1 + dice.below(3) as usize,
            operations_max: 32,
            candidates: usize::from(k) + 3 + dice.below(12) as usize,
            items: 1 + dice.below(16) as usize,
            transfers: 1 + dice.below(6) as usize,
            arena_rows: 1 + dice.below(3) as usize,
        };
        let workload = Workload {
            puts_per_hour: 60 + dice.below(600),
            gets_per_hour: 60 + dice.below(2_000),
            lookups_per_hour: dice.below(600),
            hot: dice.chance(500_000),
            ttl_secs: 7_200,
            len_max: value_max as usize,
        };
        Self { nodes: 2 + dice.below(24) as usize, k, capacity, value_max, rough: rough(dice), workload }
    }

    /// Whether lookups must find their way: with very small buckets or very few of them a table may lead nowhere, and only
    /// safety is demanded.
    fn is_sound(&self) -> bool {
        self.k >= 4 && self.capacity.rows >= 5
    }

    fn settings(&self, seed: u64) -> Settings {
        let config = Config { k: self.k, value_max: self.value_max, ..Config::default() };
        Settings { config, capacity: self.capacity, check_every: 1, upkeep: true, ..Settings::new(seed) }
    }
}

/// Paths of any quality.
fn rough(dice: &mut Dice) -> Network {
    let up_to = |dice: &mut Dice, most: u64| dice.below(most + 1) as PartsPerMillion;
    let bursts = Bursts { begin: up_to(dice, 20_000), end: 50_000 + up_to(dice, 200_000), loss: up_to(dice, 900_000) };
    let shortest = dice.below(50_000);
    Network {
        delay: if dice.chance(500_000) {
            Delay::Geography
        } else {
            Delay::Even(shortest..shortest + 1 + dice.below(100_000))
        },
        loss: up_to(dice, 200_000),
        bursts: dice.chance(500_000).then_some(bursts),
        duplication: up_to(dice, 100_000),
        straggling: up_to(dice, 100_000),
    }
}

/// Nodes that hold nothing yet get clocks of their own: booted at other times, up to 0.1 % fast or slow.
fn skew_clocks(run: &mut Run, dice: &mut Dice) {
    let living: Vec<_> = run.world.living().collect();
    for number in living {
        let clock = Clock { ahead_us: dice.below(1 << 40), drift_ppm: dice.below(2_001) as i32 - 1_000 };
        run.crash(number);
        run.world.set_clock(number, clock);
        run.revive(number, None);
    }
    run.wait_for_joins();
}

/// Something happens to a network.
fn befall(run: &mut Run, dice: &mut Dice, nodes: usize) {
    let number = dice.below(nodes as u64) as usize;
    let alive = run.world.is_alive(number);
    match dice.below(10) {
        0 if alive => {
            // What it held survives, or not.
            let store = run.crash(number).filter(|_| dice.chance(500_000));
            run.run_for(Duration::from_millis(dice.below(5_000)));
            run.revive(number, store);
        }
        1 if alive => drop(run.crash(number)),
        2 if !alive => run.revive(number, None),
        3 if alive => run.depart(number),
        4 => run.world.link(number).part = dice.below(2) as u8,
        5 => {
            let uplink = Uplink { rate: 2_000 + dice.below(100_000), patience_us: dice.below(2_000_000) };
            run.world.link(number).uplink = dice.chance(500_000).then_some(uplink);
        }
        6 => run.world.link(number).behind_nat = dice.chance(300_000),
        7 if alive => cancel_one(run, dice, number),
        8 => (0..nodes).for_each(|other| run.world.link(other).part = 0),
        _ => {}
    }
}

/// An owner begins something and thinks better of it.
fn cancel_one(run: &mut Run, dice: &mut Dice, number: usize) {
    let target = Key::from_bytes(dice.bytes());
    let key = run.oracle.acknowledged.last().map_or(target, |published| published.key);
    let find = |node: &mut kad_core::Node<'_>, now: kad_wire::Instant| {
        node.find_value(now, now.plus_millis(20_000), key, FindOptions::ALL)
    };
    let Ok(operation) = run.world.try_start(number, find) else { return };
    run.run_for(Duration::from_millis(dice.below(400)));
    if run.world.is_alive(number) {
        let now = run.world.shown(number);
        run.world.member(number).node().cancel(now, operation);
        run.world.drive(number);
    }
}

/// Everything is as good as it can be.
fn heal(run: &mut Run, nodes: usize) {
    run.close();
    *run.world.network() = Network::STEADY;
    for number in 0..nodes {
        let link = run.world.link(number);
        (link.part, link.uplink, link.behind_nat) = (0, None, false);
    }
    // Who is about to leave is gone by then.
    run.run_for(Duration::from_secs(10));
    for number in 0..nodes {
        if !run.world.is_alive(number) {
            run.revive(number, None);
        }
    }
    run.run_for(Duration::from_secs(1_200));
}

fn demand_progress(run: &mut Run, shape: &Shape) -> Result<(), String> {
    let strangers = (0..shape.nodes).filter(|&number| !run.world.member(number).has_joined).count();
    if strangers > 0 {
        return Err(format!("{strangers} of {} nodes have not joined", shape.nodes));
    }
    // What was stored while the network was rough may be lost with its holders; what is stored now must be found.
    let before = run.oracle.acknowledged.len();
    run.tally = Default::default();
    run.workload = shape.workload;
    for number in 0..shape.nodes {
        run.put_on(number, shape.workload.len_max * number / shape.nodes);
        run.run_for(Duration::from_secs(2));
    }
    run.close();
    run.run_for(Duration::from_secs(40));
    let stored = run.oracle.acknowledged.len() - before;
    if stored != shape.nodes {
        return Err(format!("{stored} of {} values are stored", shape.nodes));
    }
    for which in before..run.oracle.acknowledged.len() {
        if let Some(number) = run.somebody() {
            run.get_on(number, which);
            run.run_for(Duration::from_secs(1));
        }
    }
    run.run_for(Duration::from_secs(40));
    let (gets, wrong) = (run.tally.gets, run.tally.wrong);
    if wrong > 0 || (shape.is_sound() && gets.0 != stored as u64) {
        return Err(format!("of {stored} values {} are read, {} not found, {wrong} wrong", gets.0, gets.1));
    }
    match run.restless() {
        0 => Ok(()),
        restless => Err(format!("{restless} nodes do not come to rest")),
    }
}
