//! What the program prints.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kad_sim::{Report, Scenario};
use kad_wire::Instant;

use crate::args;

/// Lists scenarios.
pub(crate) fn list(scenarios: &[Scenario]) -> Result<bool, String> {
    for scenario in scenarios {
        println!("{} ({} nodes)", scenario.name, scenario.nodes);
        println!("    {}", scenario.about);
        println!("    passes if: {}", scenario.pass_line);
        if let Some(gap) = scenario.known_gap {
            println!("    known gap: {gap}");
        }
    }
    Ok(true)
}

/// Shows how far the simulated time is.
pub(crate) fn progress(quiet: bool) -> impl FnMut(Instant) + 'static {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.enable_steady_tick(Duration::from_millis(200));
    move |now| {
        let secs = now.as_micros() / 1_000_000;
        bar.set_message(format!("simulated {}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60));
    }
}

/// Shows how many of so many are done.
pub(crate) fn count(all: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(all), target);
    // The template is right; were it not, the default bar would do.
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Prints whether a scenario passed; everything, as JSON.
pub(crate) fn verdict(report: &Report, json: bool) -> Result<(), String> {
    if json {
        println!("{}", serde_json::to_string(report).map_err(|error| error.to_string())?);
        return Ok(());
    }
    let verdict = match (report.passed, report.known_gap) {
        (true, _) => "passed".into(),
        (false, Some(gap)) => format!("known gap: {gap}"),
        (false, None) => "FAILED".into(),
    };
    println!("{} with seed {}: {verdict} ({:.1} s)", report.scenario, report.seed, report.wall_seconds);
    for failure in &report.failures {
        println!("  {failure}");
    }
    Ok(())
}

/// Prints what became of a scenario, with all figures.
pub(crate) fn report(report: &Report, json: bool) -> Result<(), String> {
    verdict(report, json)?;
    if json {
        return Ok(());
    }
    let mut rows = vec![
        ("nodes", report.nodes.to_string()),
        ("simulated", format!("{:.0} s", report.simulated_seconds)),
        ("datagrams", format!("{} ({:.0} a second on this machine)", report.datagrams, report.datagrams_per_second)),
        ("reads", format!("{}, {:.3} % right", report.gets, report.success * 100.0)),
        ("stores", format!("{}, {} copies in the median", report.puts, report.copies_p50)),
        ("hops", format!("{:.2} mean, {} p50, {} p99", report.hops_mean, report.hops_p50, report.hops_p99)),
        ("messages", format!("{:.1} mean, {} p50", report.messages_mean, report.messages_p50)),
        ("latency", format!("{:.0} ms p50, {:.0} ms p99", report.latency_ms_p50, report.latency_ms_p99)),
        ("memory", format!("{} bytes a node", report.bytes_per_node)),
        ("digest", report.digest.clone()),
    ];
    rows.extend(report.figures.iter().map(|(name, figure)| (*name, format!("{figure:.3}"))));
    for (name, value) in rows {
        println!("  {:<32} {value}", name.replace('_', " "));
    }
    Ok(())
}

/// The command that does the same again.
pub(crate) fn again(args: &args::Run) -> String {
    let mut command =
        format!("cargo run --release -p kad-sim -- run --scenario {} --seed {}", args.scenario, args.seed);
    let options =
        [("nodes", args.nodes.map(|nodes| nodes.to_string())), ("hours", args.hours.map(|hours| hours.to_string()))];
    for (name, value) in options {
        if let Some(value) = value {
            command += &format!(" --{name} {value}");
        }
    }
    command + &format!(" --k {} --check-every 1", args.k)
}

/// Prints that every seed held.
pub(crate) fn soaked(args: &args::Soak, datagrams: u64) -> Result<(), String> {
    if args.json {
        let line = serde_json::json!({ "seeds": args.seeds, "first": args.first, "failed": 0, "datagrams": datagrams });
        println!("{line}");
    } else {
        println!("{} seeds hold, {datagrams} datagrams", args.seeds);
    }
    Ok(())
}

/// Prints what a recording was.
pub(crate) fn replayed(replayed: &kad_record::Replayed, json: bool) {
    let kad_record::Replayed { entries, datagrams_in, datagrams_out, ended, outputs } = replayed;
    let (seconds, outputs) = (ended.as_micros() as f64 / 1e6, format!("{outputs:016x}"));
    if json {
        let line = serde_json::json!({
            "entries": entries, "datagrams_in": datagrams_in, "datagrams_out": datagrams_out,
            "seconds": seconds, "outputs": outputs, "identical": true,
        });
        println!("{line}");
    } else {
        println!(
            "identical: {entries} inputs, {datagrams_in} datagrams in, {datagrams_out} out, {seconds:.1} s, {outputs}"
        );
    }
}
