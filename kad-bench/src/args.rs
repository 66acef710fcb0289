//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// How fast is kad, and what does it cost? Everything is measured beside a reference in the same run, because absolute
/// figures are the machine's.
#[derive(Parser, Debug)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// One node that answers PING, FIND_NODE and FIND_VALUE, against a bare echo
    Serve(Measure),
    /// A node with two threads against one with one, under two loaders
    Workers(Measure),
    /// Twenty nodes that store and find
    Cluster(Measure),
    /// Large values that one node reads from another, against a bare transfer
    Values(Measure),
    /// Twenty HTTP gateways under load, and their memory: for ten minutes with `--seconds 600`
    Gateway(Measure),
    /// Values on disk, against the disk's own time
    Disk(Measure),
    /// Ten thousand values of one publisher, counted in the simulator
    Bulk(Measure),
    /// Twenty idle nodes
    Idle(Measure),
    /// mainline and libp2p-kad under the load of `cluster` (needs `--features peers`)
    Peers {
        #[command(flatten)]
        measure: Measure,
        /// One implementation, in this process
        #[arg(long, hide = true)]
        only: Option<String>,
    },
    /// Every suite, each in a process of its own
    All(Measure),
    /// Write tables and pictures of a run into docs/numbers.md
    Report {
        /// What `kad-bench all --json` has printed
        results: PathBuf,
        /// The document, which has markers around what is written
        #[arg(long, default_value = "docs/numbers.md")]
        document: PathBuf,
    },
}

/// How a suite is run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Measure {
    /// Print the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How long each figure is measured, altogether
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Where files are written to and removed again: on the disk that is to be measured
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) directory: PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 3600 seconds".into()) }
}
