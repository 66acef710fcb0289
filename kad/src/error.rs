//! Failures of the command line: messages, advice, and exit statuses.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kad_tokio::{CloseReason, DiskError, Error, StartError};

/// The exit statuses and their meanings: part of the interface, as in the README.
pub(crate) const STATUSES: [(u8, &str); 13] = [
    (0, "success"),
    (1, "failure, or a failed check"),
    (2, "wrong usage"),
    (3, "no such value"),
    (4, "not a key"),
    (5, "unreadable or unwritable file"),
    (6, "address or data directory in use"),
    (7, "unreachable: no daemon, or no node answers"),
    (8, "value too large"),
    (9, "timeout"),
    (10, "stored at no node, or at fewer than `--quorum`"),
    (11, "incomplete: values may exist that were not received"),
    (12, "not allowed: the daemon requires its token, or another `Host` name"),
];

/// Returns the exit statuses, for the help.
pub(crate) fn statuses() -> String {
    let lines = STATUSES.iter().map(|(status, meaning)| format!("    {status:>2}  {meaning}\n"));
    format!("Exit statuses:\n\n{}", lines.collect::<String>())
}

/// Every way in which a command fails. The exit statuses are part of the interface: see the README.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    CheckFailed(String),
    #[error("no value under {0}")]
    NotFound(String),
    #[error("`{text}` is not a key: {reason}")]
    BadKey { text: String, reason: kad_tokio::wire::ParseKeyError },
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{0}")]
    Store(DiskError),
    #[error("cannot read standard input: {0}")]
    Stdin(io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {address} for HTTP: {source}")]
    Http { address: SocketAddr, source: io::Error },
    #[error("no daemon runs with the data directory {}", directory.display())]
    NoDaemon { directory: PathBuf, is_needed: bool },
    #[error("no daemon runs with the data directory {}: something else answers at {url}", directory.display())]
    Stale { directory: PathBuf, url: String },
    #[error("no daemon answers at {url}: {why}")]
    NoAnswer { url: String, why: String },
    #[error("the server at {url} is not a kad daemon: {said}")]
    NotKad { url: String, said: String },
    #[error("the daemon at {url} denies this: {why}")]
    NotAllowed { url: String, has_token: bool, why: String },
    #[error("a daemon already runs with the data directory {}", .0.display())]
    AlreadyRunning(PathBuf),
    #[error("no node answers at {0}")]
    Unreachable(String),
    #[error("the value has {len} bytes; at most {max} can be stored")]
    TooLarge { len: usize, max: usize },
    #[error("timed out")]
    Timeout,
    #[error("stored at no node: {0}")]
    StoredNowhere(String),
    #[error("stored at {elsewhere} other nodes, not at {quorum}")]
    NoQuorum { elsewhere: usize, quorum: u8 },
    #[error("incomplete: {0}")]
    Incomplete(String),
    #[error("others may write to the data directory {}", .0.display())]
    Exposed(PathBuf),
    #[error("the daemon did not come up: {log}")]
    NotUp { log: String, code: Option<u8> },
    #[error("{0}")]
    Setting(String),
    #[error("{}, line {line}: {message}", path.display())]
    Config { path: PathBuf, line: usize, message: String },
    #[error("{}, line {line}: {message}", path.display())]
    Line { path: PathBuf, line: usize, message: String },
    #[error("{failed} of {all} values have fewer copies than requested; the first: {first}")]
    Bulk { failed: usize, all: usize, first: String },
    #[error("the daemon answers: {0}")]
    Daemon(String),
    #[error("the node ended by itself: {0}")]
    NodeEnded(CloseReason),
    #[error("the system refused a resource: {0}")]
    System(io::Error),
    #[cfg(target_os = "linux")]
    #[error("the virtual network: {0}")]
    Network(#[from] kad_netns::Error),
}

impl Failure {
    /// Returns the failure of a command that needs a daemon.
    pub(crate) fn for_daemons_only(self) -> Self {
        match self {
            Self::NoDaemon { directory, .. } => Self::NoDaemon { directory, is_needed: true },
            other => other,
        }
    }

    /// Returns what the user can do.
    pub(crate) fn advice(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(_) => "It may have expired, or was stored under another key or network.".into(),
            Self::BadKey { .. } => "Give what `kad put` printed, or a name with --name.".into(),
            Self::Store(error) => store_advice(error).into(),
            Self::File { source, .. } | Self::Stdin(source) => file_advice(source.kind()).into(),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                "Another process uses that port. Stop it, or choose another port with --listen (port 0: any free one)."
                    .into()
            }
            Self::Http { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                "Another process uses that port. Choose another port with --http (port 0: any free one).".into()
            }
            Self::Http { .. } => "Choose an address of this host with --http.".into(),
            Self::Listen { .. } => "Choose an address of this host with --listen.".into(),
            Self::NoDaemon { is_needed: true, .. } => {
                "If one runs: give its directory with --data-dir, or its URL with --api.".into()
            }
            Self::NoDaemon { .. } => {
                "Start one with `kad daemon`, name its directory with --data-dir or its URL with --api, or \
                                      give --bootstrap ADDRESS."
                    .into()
            }
            Self::Stale { .. } => {
                "The daemon has ended without removing its `control.json`, and its port went to another \
                                   program. Start it again with `kad daemon`."
                    .into()
            }
            Self::NoAnswer { .. } => {
                "Check the address, that the daemon runs, that it listens there (`kad daemon --http`; \
                                      else on loopback only), and that TCP passes."
                    .into()
            }
            Self::NotKad { .. } => {
                "Give --api the address of the daemon's HTTP server: `kad daemon` logs it as `http=`.".into()
            }
            Self::NotAllowed { has_token: false, .. } => {
                "Give its token with --token FILE: the file that its own --token names, \
                                                          or `control.json` of its data directory."
                    .into()
            }
            Self::NotAllowed { why, .. } if !why.contains("token") => return None,
            Self::NotAllowed { .. } => {
                "The token in `control.json` changes with each start; the one of `kad daemon --token FILE` does not."
                    .into()
            }
            Self::AlreadyRunning(_) => "Stop it with `kad stop`, or choose another directory with --data-dir.".into(),
            Self::Exposed(path) => format!(
                "Check that all files in it are yours, then `chmod 700 {}`, or choose another with --data-dir.",
                path.display()
            ),
            Self::Unreachable(_) => {
                "Check the address and port, that the node runs, that firewalls pass UDP, and --network.".into()
            }
            Self::TooLarge { .. } => "Split it, or compress it.".into(),
            Self::Timeout => "The network may be slow: raise --timeout.".into(),
            Self::NoQuorum { .. } => "It is published nevertheless. Lower --quorum, or see `kad peers`.".into(),
            Self::Incomplete(_) => {
                "Try again, allow more with --timeout, or ask another node: one that reaches more of the network, or \
                 takes larger values."
                    .into()
            }
            Self::NodeEnded(_) => {
                "See the log and docs/troubleshooting.md. After a restart the node has the values on its disk.".into()
            }
            Self::StoredNowhere(_) => "See `kad status` and `kad peers`, or try again.".into(),
            Self::Config { .. } => {
                "`kad daemon --help` lists the settings: those in a file have the names of the flags.".into()
            }
            Self::Line { .. } => "Nothing was stored. `kad put --help` describes the lines.".into(),
            Self::Bulk { .. } => "The others are stored. See `kad status` and `kad peers`, or try again.".into(),
            Self::System(source) if source.kind() == io::ErrorKind::WouldBlock => {
                "No more threads or processes are allowed: see `ulimit -u`, `TasksMax=`, or the container's limit."
                    .into()
            }
            #[cfg(target_os = "linux")]
            Self::Network(_) => return None,
            Self::CheckFailed(_) | Self::Setting(_) | Self::Daemon(_) | Self::NotUp { .. } | Self::System(_) => {
                return None;
            }
        })
    }

    /// Returns the exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            #[cfg(target_os = "linux")]
            Self::Network(_) => 1,
            Self::CheckFailed(_) | Self::Daemon(_) | Self::NodeEnded(_) | Self::System(_) => 1,
            // The status of the daemon; none if a signal killed it.
            Self::NotUp { code, .. } => code.unwrap_or(1),
            // The argument parser also exits with 2.
            Self::Setting(_) | Self::Config { .. } | Self::Line { .. } => 2,
            Self::NotFound(_) => 3,
            Self::BadKey { .. } => 4,
            Self::File { .. } | Self::Stdin(_) | Self::Store(_) | Self::Exposed(_) => 5,
            Self::Listen { .. } | Self::Http { .. } | Self::AlreadyRunning(_) => 6,
            Self::Unreachable(_)
            | Self::NoDaemon { .. }
            | Self::Stale { .. }
            | Self::NoAnswer { .. }
            | Self::NotKad { .. } => 7,
            Self::TooLarge { .. } => 8,
            Self::Timeout => 9,
            Self::StoredNowhere(_) | Self::NoQuorum { .. } | Self::Bulk { .. } => 10,
            Self::Incomplete(_) => 11,
            Self::NotAllowed { .. } => 12,
        }
    }
}

/// Returns the advice for a file that cannot be used.
fn file_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "Check that it exists.",
        io::ErrorKind::AlreadyExists => "It exists already: choose another, or remove it.",
        io::ErrorKind::PermissionDenied => "Check its permissions.",
        io::ErrorKind::IsADirectory => "That is a directory: name a file.",
        io::ErrorKind::StorageFull => "The disk is full: make room, or write elsewhere.",
        _ => "Check the file and its directory.",
    }
}

/// Returns the advice for a store that cannot be opened.
fn store_advice(error: &DiskError) -> &'static str {
    match error {
        DiskError::Io { source, .. } => file_advice(source.kind()),
        DiskError::InUse { .. } => "Another process has it open: stop it, or choose another directory with --data-dir.",
        DiskError::OtherFormat { .. } => "Nothing was changed. Move the file away to start with an empty store.",
        _ => {
            "Put back a backup, or move the file away to start with an empty store: other holders \
             have copies of what it held for others; publish your own values again."
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bind { address, source } => Self::Listen { address, source },
            StartError::Record { file, source } => Self::File { what: "record to", path: file, source },
            StartError::Disk(error) => Self::Store(error),
            StartError::System(source) => Self::System(source),
            other => Self::Setting(other.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge { len, max } => Self::TooLarge { len, max },
            Error::Timeout | Error::Busy => Self::Timeout,
            Error::Truncated | Error::Incomplete(_) => Self::Incomplete(error.to_string()),
            Error::Unreachable => Self::Unreachable("any known address".into()),
            Error::Refused(status) => Self::StoredNowhere(format!("this node's own store refused it: {status:?}")),
            other => Self::CheckFailed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ended_by_itself_is_a_failure_that_says_why() {
        let reasons = [
            CloseReason::Panicked { thread: "kad-worker-1".into(), message: "a store's bug".into() },
            CloseReason::Socket { kind: io::ErrorKind::NotConnected, message: "not a socket".into() },
        ];
        for reason in reasons {
            assert!(reason.is_failure());
            let (text, failure) = (reason.to_string(), Failure::NodeEnded(reason));
            assert!(failure.to_string().contains(&text) && failure.advice().is_some());
            assert_eq!(failure.status(), 1);
        }
    }
}
