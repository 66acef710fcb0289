//! What operations cost on a network at rest, and what nodes weigh: the table of docs/numbers.md.
//!
//! ```text
//! cargo run --release -p kad-sim --example costs
//! ```

use std::time::Duration;

use kad_core::{Capacity, Config, FindOptions, NodeId, Slabs};
use kad_sim::{Network, Settings, World};
use kad_wire::Key;

const OPERATIONS: u64 = 100;
/// Every path takes this long one way, so that times are counts of round trips.
const ONE_WAY_US: u64 = 10_000;

kad_core::block! {
    struct Client {
        rows: 4,
        contacts_per_row: 9,
        operations: 1,
        candidates_per_operation: 12,
        items_per_operation: 1,
        transfers: 1,
        arena: 2048,
    }
}

kad_core::block! {
    struct SmallNode {
        rows: 10,
        contacts_per_row: 7,
        operations: 2,
        candidates_per_operation: 10,
        items_per_operation: 1,
        transfers: 3,
        arena: 2 * 2048,
    }
}

kad_core::block! {
    struct Node {
        rows: 14,
        contacts_per_row: 9,
        operations: 3,
        candidates_per_operation: 16,
        items_per_operation: 2,
        transfers: 4,
        arena: 2 * 8192,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    println!("Costs per operation, k = 20, no loss (median of {OPERATIONS}):\n");
    println!("| nodes | operation | requests | datagrams | bytes | round trips |");
    println!("|---|---|---|---|---|---|");
    for count in [20usize, 200] {
        let network = Network { delay: kad_sim::Delay::Even(ONE_WAY_US..ONE_WAY_US + 1), ..Network::STEADY };
        let mut world = World::grown(Settings { network, check_every: 0, ..Settings::new(1) }, count);
        for (name, len) in [("64 B", 64), ("16 KiB", 16 * 1024)] {
            let key = |number: u64| Key::hash(format!("{name} {number}"));
            let value = vec![7; len];
            report(&mut world, count, &format!("store {name}, all copies"), |world, number| {
                let outcome = world.store(number as usize % count, key(number), &value, Duration::from_secs(3600));
                (outcome.requests, outcome.took_us)
            });
            report(&mut world, count, &format!("find {name}"), |world, number| {
                let reader = (number as usize + count / 2) % count;
                let (found, outcome) = world.find(reader, key(number), FindOptions::FIRST);
                assert_eq!(found.len(), 1);
                (outcome.requests, outcome.took_us)
            });
        }
        report(&mut world, count, "find a value that nobody has", |world, number| {
            let (_, outcome) = world.find(number as usize % count, Key::hash_int(number), FindOptions::FIRST);
            (outcome.requests, outcome.took_us)
        });
    }

    println!("\nMemory of a node on this machine, without its store:\n");
    println!("| profile | bytes |");
    println!("|---|---|");
    println!("| client (a block: 1 operation, values to 2 KiB) | {} |", size_of::<Client>());
    println!("| small node (a block: 10 x 6 contacts, 2 operations, values to 2 KiB) | {} |", size_of::<SmallNode>());
    println!("| node (a block: 14 x 8 contacts, 3 operations, values to 8 KiB) | {} |", size_of::<Node>());
    for (name, capacity) in [("`Capacity::SMALL`", Capacity::SMALL), ("`Capacity::SERVER`", Capacity::SERVER)] {
        let slabs = Slabs::new(NodeId::from_bytes([1; 32]), &Config::default(), &[1; 32], capacity);
        println!("| {name}, idle, k = 20 | {} |", slabs.expect("the defaults fit").size());
    }
}

/// Runs an operation many times and prints its medians.
fn report(world: &mut World, count: usize, name: &str, mut run: impl FnMut(&mut World, u64) -> (usize, u64)) {
    let (mut requests, mut datagrams, mut bytes, mut trips) = (vec![], vec![], vec![], vec![]);
    for number in 0..OPERATIONS {
        let before = world.traffic();
        let (sent, took_us) = run(world, number);
        let after = world.traffic();
        requests.push(sent as f64);
        datagrams.push((after.0 - before.0) as f64);
        bytes.push((after.1 - before.1) as f64);
        trips.push(took_us as f64 / (2 * ONE_WAY_US) as f64);
        // Whatever else is on its way must not count for the next one.
        world.run_for(Duration::from_secs(1));
    }
    println!(
        "| {count} | {name} | {} | {} | {} | {:.1} |",
        median(requests),
        median(datagrams),
        median(bytes),
        median(trips)
    );
}
