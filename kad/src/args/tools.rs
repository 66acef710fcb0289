//! Commands for operators.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Daemon, Json, Target};
use crate::input;

#[derive(ClapArgs, Debug)]
pub(crate) struct Top {
    /// Print one frame and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Interval of the statistics, 100ms or more
    #[arg(long, default_value = "1s", value_parser = input::interval, value_name = "TIME")]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) daemon: Box<Daemon>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Man {
    /// Directory; created if missing
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Validate a configuration file; errors name the line.
    Check {
        /// Configuration file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Json,
    },
    /// Show every effective setting of `kad daemon` with the same flags, and its source.
    Show {
        #[command(flatten)]
        daemon: Box<Daemon>,
        #[command(flatten)]
        output: Json,
    },
}
