//! The `kad` program: a daemon, and a command line that talks to one or is a short-lived node itself.

mod args;
mod client;
mod commands;
mod config;
mod contacts;
mod data_dir;
mod error;
mod input;
mod log;
mod output;
mod service;
mod signals;
mod traces;

use std::process::ExitCode;

use args::Command;
use config::Read;
use error::Failure;

fn main() -> ExitCode {
    match config::read(std::env::args_os().collect()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::remark(&format!("kad: {failure}"));
            if let Some(advice) = failure.advice() {
                output::remark(&format!("     {advice}"));
            }
            failure.exit_code()
        }
    }
}

fn run(Read { args, daemon: settings }: Read) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::System)?;
    runtime.block_on(async {
        match args.command {
            Command::Daemon(args) => commands::daemon::run(*args, settings.shown()).await,
            Command::Config(args) => commands::config::run(args, &settings),
            Command::Put(args) => commands::put::run(args).await,
            Command::Get(args) => commands::get::run(args).await,
            Command::Forget(args) => commands::forget::run(args).await,
            Command::Delete(args) => commands::forget::delete(args).await,
            Command::Ping(args) => commands::ping::run(args).await,
            Command::Lookup(args) => commands::lookup::run(args).await,
            Command::Peers(args) => commands::peers::run(args).await,
            Command::Status(args) => commands::status::run(args).await,
            Command::Top(args) => commands::top::run(args).await,
            Command::Doctor(args) => commands::doctor::run(args).await,
            Command::Completions(args) => commands::completions::run(&args),
            Command::Man(args) => commands::man::run(&args),
            Command::Stop(args) => commands::stop::run(args).await,
            Command::Dev(args) => commands::dev::run(args).await,
        }
    })
}
