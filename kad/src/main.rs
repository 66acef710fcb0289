//! The `kad` program: a daemon, and a command line that uses one or is a short-lived node itself.

#![deny(unsafe_code)]

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
mod runtime;
mod service;
mod signals;
mod sockets;
mod token;
mod traces;

use std::process::ExitCode;

use args::Command;
use config::Read;
use error::Failure;
use sockets::Inherited;

fn main() -> ExitCode {
    match config::read().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            explain(&failure);
            ExitCode::from(failure.status())
        }
    }
}

/// Prints a failure and its advice.
fn explain(failure: &Failure) {
    output::complain(&format!("kad: {failure}"));
    if let Some(advice) = failure.advice() {
        output::complain(&format!("     {advice}"));
    }
}

/// Ends the process at once, as `main` would.
fn end(failure: &Failure) -> ! {
    explain(failure);
    std::process::exit(failure.status().into())
}

fn run(Read { args, daemon: settings }: Read) -> Result<(), Failure> {
    let sockets = match &args.command {
        Command::Daemon(_) => Inherited::take()?,
        _ => Inherited::default(),
    };
    if args.verbosity.quiet {
        output::be_quiet();
    }
    if !matches!(args.command, Command::Daemon(_)) {
        log::start_command(args.verbosity);
    }
    let runtime = runtime::start(end)?;
    let result = runtime.block_on(async {
        match args.command {
            Command::Daemon(args) => commands::daemon::run(*args, settings, sockets).await,
            Command::Config(args) => commands::config::run(args, &settings),
            Command::Put(args) => commands::put::run(args).await,
            Command::Get(args) => commands::get::run(args).await,
            Command::Forget(args) => commands::forget::run(args).await.map_err(Failure::for_daemons_only),
            Command::Delete(args) => commands::forget::delete(args).await.map_err(Failure::for_daemons_only),
            Command::Ping(args) => commands::ping::run(args).await,
            Command::Lookup(args) => commands::lookup::run(args).await,
            Command::Peers(args) => commands::peers::run(args).await,
            Command::Status(args) => commands::status::run(args).await,
            Command::Top(args) => commands::top::run(args).await.map_err(Failure::for_daemons_only),
            Command::Doctor(args) => commands::doctor::run(args).await,
            Command::Completions(args) => commands::completions::run(&args),
            Command::Man(args) => commands::man::run(&args),
            Command::Stop(args) => commands::stop::run(args).await.map_err(Failure::for_daemons_only),
            Command::Dev(args) => commands::dev::run(args).await,
        }
    });
    // A thread that waits for a resolver would delay the exit.
    runtime.shutdown_background();
    result
}
