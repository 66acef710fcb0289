//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Simulates networks of kad nodes: the shipping core, a virtual clock, and an oracle that knows the truth.
///
/// Exit statuses: 0 everything holds, 1 something does not, 2 wrong usage.
#[derive(Parser, Debug)]
#[command(version, about, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Play a scenario.
    Run(Run),
    /// List the scenarios, each with the line that it must pass.
    List,
    /// Play every scenario at its own size, all but the largest.
    Check(Check),
    /// Play many small networks of all shapes, each from its seed, until one does not hold.
    Soak(Soak),
    /// Repeat what a daemon recorded (`kad daemon --record FILE`), and say where it differs, if it does.
    Replay(Replay),
    /// Measure, and draw pictures of what was measured.
    Plot(Plot),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Run {
    /// Which scenario; see `list`
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: String,
    /// Nodes [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<usize>,
    /// Simulated hours of what lasts [default: the scenario's own]
    #[arg(long, value_name = "HOURS")]
    pub(crate) hours: Option<f64>,
    /// Contacts per bucket and holders per value
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=64))]
    pub(crate) k: u8,
    /// Everything random follows from this
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Check all invariants of a node after every so many steps; 1 for each, 0 for never
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) check_every: u64,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Check {
    /// Everything random follows from this
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Print one line of JSON for each
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Soak {
    /// How many seeds
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) first: u64,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print every input
    #[arg(long)]
    pub(crate) inputs: bool,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Plot {
    /// Where the pictures go
    #[arg(long, default_value = "docs/plots", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Nodes of the largest network
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(crate) nodes_max: usize,
}
