//! What can go wrong.

use std::io;
use std::process::ExitStatus;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program of the system failed.
    #[error("{command}: {status}: {message}")]
    Command {
        /// How it was called.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed to standard error.
        message: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was to be done.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program on a host did not do what it was to do.
    #[error("{name}: {problem}; it printed:\n  {printed}")]
    Program {
        /// The program, and where it runs.
        name: String,
        /// What is wrong.
        problem: String,
        /// The last lines of what it printed.
        printed: String,
    },
    /// The kernel cannot delay: it lacks `netem`.
    #[error("this kernel cannot delay datagrams: it lacks netem (CONFIG_NET_SCH_NETEM, the module sch_netem)")]
    NoDelay,
}

impl Error {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::System { what: what.into(), source }
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}
