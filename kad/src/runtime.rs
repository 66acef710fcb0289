//! The threads that commands, and a daemon's HTTP server, run on.

use std::io;
use std::panic::{self, PanicHookInfo};

use tokio::runtime::{Builder, Runtime};

use crate::error::Failure;

/// Starts them. When the system gives no more threads the runtime panics, and waits for those that it has: the process is ended
/// before that, with `end`, which says what is wrong.
///
/// # Errors
/// [`Failure::System`] for what else the system refuses.
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
