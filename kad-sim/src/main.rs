//! The `kad-sim` program.

mod args;
mod show;

use std::process::ExitCode;

use clap::Parser as _;
use kad_sim::{Options, SCENARIOS, play, scenario};

use args::{Args, Command};

fn main() -> ExitCode {
    let held = match Args::parse().command {
        Command::Run(args) => run(&args),
        Command::List => show::list(&SCENARIOS),
        Command::Check(args) => check(&args),
        Command::Soak(args) => soak(&args),
        Command::Replay(args) => replay(&args),
        Command::Plot(args) => plot(&args),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("kad-sim: {why}");
            ExitCode::from(2)
        }
    }
}

/// Starts this program once more so that its memory is backed by huge pages: a large network's nodes lie all over it, and
/// with small pages a good part of the time goes into finding them. The C library takes that only from the environment.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn use_huge_pages() {
    use std::os::unix::process::CommandExt as _;
    const TUNABLES: &str = "GLIBC_TUNABLES";
    if std::env::var_os(TUNABLES).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let mut again = std::process::Command::new(program);
        // If it cannot be started again it goes on as it is.
        let _ = again.args(std::env::args_os().skip(1)).env(TUNABLES, "glibc.malloc.hugetlb=1").exec();
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn use_huge_pages() {}

/// Plays one scenario. A known gap is no failure: it is shown with its figures.
fn run(args: &args::Run) -> Result<bool, String> {
    let scenario = scenario(&args.scenario)
        .ok_or_else(|| format!("there is no scenario `{}`; `kad-sim list` names them all", args.scenario))?;
    use_huge_pages();
    let options =
        Options { seed: args.seed, nodes: args.nodes, hours: args.hours, k: args.k, check_every: args.check_every };
    let report = play(scenario, &options, show::progress(args.json));
    show::report(&report, args.json)?;
    if !report.passed {
        eprintln!("again: {}", show::again(args));
    }
    Ok(report.passed || report.known_gap.is_some())
}

/// Plays every scenario but the largest. All are played, also after one that fails.
fn check(args: &args::Check) -> Result<bool, String> {
    let mut held = true;
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name != "scale") {
        let report = play(scenario, &Options::new(args.seed), show::progress(args.json));
        show::verdict(&report, args.json)?;
        held &= report.passed || report.known_gap.is_some();
    }
    Ok(held)
}

fn soak(args: &args::Soak) -> Result<bool, String> {
    let bar = show::count(args.seeds, args.json);
    let mut datagrams = 0;
    for seed in args.first..args.first + args.seeds {
        // A broken invariant panics with its own words.
        let played = std::panic::catch_unwind(|| kad_sim::soak(seed));
        match played.unwrap_or_else(|_| Err("an invariant is broken".into())) {
            Ok(sent) => datagrams += sent,
            Err(why) => {
                bar.abandon();
                eprintln!("seed {seed}: {why}");
                eprintln!("again: cargo run --release -p kad-sim -- soak --first {seed} --seeds 1");
                return Ok(false);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    show::soaked(args, datagrams)?;
    Ok(true)
}

/// Repeats a recording through the same state machine. One that differs, or cannot be read, does not hold.
fn replay(args: &args::Replay) -> Result<bool, String> {
    let file = std::fs::File::open(&args.file);
    let file = file.map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let replayed = kad_record::replay(std::io::BufReader::new(file), |entry| {
        if args.inputs {
            println!("{} us: {:?}", entry.at.as_micros(), entry.input);
        }
    });
    match replayed {
        Ok(replayed) => show::replayed(&replayed, args.json),
        Err(error) => {
            eprintln!("kad-sim: {}: {error}", args.file.display());
            return Ok(false);
        }
    }
    Ok(true)
}

fn plot(args: &args::Plot) -> Result<bool, String> {
    kad_sim::plot(&args.output, args.nodes_max, &mut |what| eprintln!("{what}"))?;
    Ok(true)
}
