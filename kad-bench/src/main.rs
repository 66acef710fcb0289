#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod apart;
mod args;
mod batch;
mod bulk;
mod clock;
mod cluster;
mod compared;
mod disk;
mod drive;
mod earlier;
mod echo;
mod failure;
mod figures;
mod gateway;
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
mod suite;
mod table;
mod values;
mod workers;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use results::Results;
use suite::Suite;

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
    let (suite, measure) = match command {
        Command::Serve(measure) => (Suite::Serve, measure),
        Command::Workers(measure) => (Suite::Workers, measure),
        Command::Cluster(measure) => (Suite::Cluster, measure),
        Command::Values(measure) => (Suite::Values, measure),
        Command::Gateway(measure) => (Suite::Gateway, measure),
        Command::Disk(measure) => (Suite::Disk, measure),
        Command::Bulk(measure) => (Suite::Bulk, measure),
        Command::Idle(measure) => (Suite::Idle, measure),
        Command::Peers { measure, only } => (Suite::Peers { only }, measure),
        Command::All(measure) => (Suite::All, measure),
        Command::Report { results, document } => return report::write(&results, &document),
    };
    let results = suite.run(&measure)?;
    print(&results, measure.json)?;
    results.judge()
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
