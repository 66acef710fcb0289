#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod batch;
mod bulk;
mod clock;
mod cluster;
mod compared;
mod disk;
mod drive;
mod echo;
mod emo;
mod failure;
mod figures;
mod idle;
mod load;
mod machine;
mod network;
#[cfg(feature = "peers")]
mod peers;
mod progress;
mod report;
mod requests;
mod results;
mod serve;
mod stream;
mod table;
mod values;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Measure};
use failure::Failure;
use machine::Machine;
use progress::Progress;
use results::Results;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kad-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let (suites, measure): (&[Suite], _) = match command {
        Command::Serve(measure) => (&[Suite::Serve], measure),
        Command::Cluster(measure) => (&[Suite::Cluster], measure),
        Command::Values(measure) => (&[Suite::Values], measure),
        Command::Disk(measure) => (&[Suite::Disk], measure),
        Command::Bulk(measure) => (&[Suite::Bulk], measure),
        Command::Idle(measure) => (&[Suite::Idle], measure),
        Command::Peers(measure) => (&[Suite::Peers], measure),
        Command::All(measure) => (Suite::ALL, measure),
        Command::Report { results, document } => return report::write(&results, &document),
    };
    let mut results = Results::new(Machine::here(), measure.seconds);
    for suite in suites {
        suite.run(&measure, &mut results)?;
    }
    print(&results, measure.json)?;
    results.judge()
}

/// What is measured together.
#[derive(Clone, Copy)]
enum Suite {
    Serve,
    Cluster,
    Values,
    Disk,
    Bulk,
    Idle,
    Peers,
}

impl Suite {
    /// In this order: what weighs a node's memory comes before what fills it.
    const ALL: &[Self] = if cfg!(feature = "peers") { &Self::EVERY } else { Self::EVERY.split_at(6).0 };
    const EVERY: [Self; 7] =
        [Self::Idle, Self::Serve, Self::Cluster, Self::Values, Self::Disk, Self::Bulk, Self::Peers];

    /// Other implementations are there if they were asked for when this was built.
    #[cfg(feature = "peers")]
    fn peers(seconds: f64, progress: &Progress) -> Result<compared::Compared, Failure> {
        peers::measure(seconds, progress)
    }

    #[cfg(not(feature = "peers"))]
    fn peers(_: f64, _: &Progress) -> Result<compared::Compared, Failure> {
        Err(Failure::NoPeers)
    }

    fn run(self, measure: &Measure, results: &mut Results) -> Result<(), Failure> {
        let (seconds, progress) = (measure.seconds, Progress::new());
        match self {
            Self::Serve => results.serve = Some(serve::measure(seconds, &progress)?),
            Self::Cluster => results.cluster = Some(cluster::measure(seconds, &progress)?),
            Self::Values => results.values = Some(values::measure(seconds, &progress)?),
            Self::Disk => results.disk = Some(disk::measure(&measure.directory, seconds, &progress)?),
            Self::Bulk => results.bulk = Some(bulk::measure(&progress)?),
            Self::Peers => results.peers = Some(Self::peers(seconds, &progress)?),
            Self::Idle => results.idle = Some(idle::measure(seconds, &progress)?),
        }
        Ok(())
    }
}

fn print(results: &Results, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(results)?);
        return Ok(());
    }
    for table in results.tables() {
        println!("{}", table.terminal());
    }
    Ok(())
}
