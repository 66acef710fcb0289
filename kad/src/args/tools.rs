//! Commands of operators.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Daemon, Json, Target};
use crate::input;

#[derive(ClapArgs, Debug)]
pub(crate) struct Top {
    /// Print one frame and end
    #[arg(long)]
    pub(crate) once: bool,
    /// How often the numbers are taken, 100ms or more
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
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Man {
    /// The directory; made if it is not there
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
    /// Say whether a configuration file is right, and if not, where.
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Json,
    },
    /// Show every setting that `kad daemon` would have with the same flags, and where it is from.
    Show {
        #[command(flatten)]
        daemon: Box<Daemon>,
        #[command(flatten)]
        output: Json,
    },
}
