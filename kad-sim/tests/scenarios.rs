//! Scenarios at a size for every day, with all invariants checked; their own sizes are `kad-sim check`.

use kad_sim::{Options, SCENARIOS, play, scenario, soak};

fn small(name: &str, seed: u64) -> kad_sim::Report {
    // In a small network it hardly matters who is asked first: all are.
    let nodes = if name == "latency" { 400 } else { 40 };
    let options = Options { nodes: Some(nodes), hours: Some(0.1), check_every: 1, ..Options::new(seed) };
    play(scenario(name).expect("it exists"), &options, |_| {})
}

#[test]
fn every_scenario_but_the_largest_passes_or_is_a_known_gap() {
    let fixed = ["scale", "mass-restart", "bulk-publish", "flash-crowd"];
    for scenario in SCENARIOS.iter().filter(|scenario| !fixed.contains(&scenario.name)) {
        let report = small(scenario.name, 1);
        assert!(report.passed || report.known_gap.is_some(), "{}: {:?}", scenario.name, report.failures);
    }
}

#[test]
fn a_mass_restart_recovers() {
    for seed in 1..4 {
        let options = Options { check_every: 1, ..Options::new(seed) };
        let report = play(scenario("mass-restart").expect("it exists"), &options, |_| {});
        assert!(report.passed, "{:?}", report.failures);
    }
}

#[test]
fn two_runs_of_a_seed_have_the_same_digest_and_other_seeds_another() {
    let digests = [1, 1, 2].map(|seed| small("churn", seed).digest);
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[test]
fn networks_of_all_shapes_survive_what_befalls_them() {
    for seed in 1..=25 {
        soak(seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}
