#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod batch;
mod clock;
mod cluster;
mod drive;
mod echo;
mod emo;
mod failure;
mod figures;
mod load;
mod machine;
mod network;
mod progress;
mod requests;
mod results;
mod serve;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
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
        Command::All(measure) => (&[Suite::Serve, Suite::Cluster], measure),
    };
    let mut results = Results::new(Machine::here(), measure.seconds);
    for suite in suites {
        suite.run(&mut results)?;
    }
    print(&results, measure.json)?;
    results.judge()
}

/// What is measured together.
enum Suite {
    Serve,
    Cluster,
}

impl Suite {
    fn run(&self, results: &mut Results) -> Result<(), Failure> {
        let (seconds, progress) = (results.seconds, Progress::new());
        match self {
            Self::Serve => results.serve = Some(serve::measure(seconds, &progress)?),
            Self::Cluster => results.cluster = Some(cluster::measure(seconds, &progress)?),
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
