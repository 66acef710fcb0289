//! The threads of commands and of a daemon's HTTP server.

use std::io;
use std::panic::{self, PanicHookInfo};

use tokio::runtime::{Builder, Runtime};

use crate::error::Failure;

/// Starts the runtime. If the system refuses threads, the runtime panics and waits for the threads that it has; before that,
/// `end` reports the failure and ends the process.
///
/// # Errors
/// [`Failure::System`] for other refusals of the system.
pub(crate) fn start(end: fn(&Failure) -> !) -> Result<Runtime, Failure> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| end(&refused(panic))));
    let runtime = Builder::new_multi_thread().enable_all().build();
    panic::set_hook(hook);
    runtime.map_err(Failure::System)
}

fn refused(panic: &PanicHookInfo<'_>) -> Failure {
    let reason = panic.payload_as_str().unwrap_or("no threads").to_owned();
    Failure::System(io::Error::new(io::ErrorKind::WouldBlock, reason))
}
