//! The command line.

#[cfg(test)]
mod tests;
mod tools;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::error::Failure;
use crate::input;
pub(crate) use tools::{Completions, Config, ConfigCommand, Doctor, Man, Top};

/// A Kademlia distributed hash table.
#[derive(Parser, Debug)]
#[command(version, about, max_term_width = 110, after_long_help = crate::error::statuses())]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The amount of log output and remarks.
#[derive(ClapArgs, Debug, Clone, Copy, Default)]
pub(crate) struct Verbosity {
    /// Log more to standard error: requests of commands, or `debug` for a daemon; -vv: `trace`
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Print results and errors only; a daemon logs warnings only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a node.
    Daemon(Box<Daemon>),
    /// Store a value: an argument, a file, or standard input.
    Put(Put),
    /// Read a value and write its bytes to standard output.
    Get(Get),
    /// Stop republishing the values that this daemon published under a key.
    Forget(Forget),
    /// Delete all copies of the values that this daemon published under a key.
    ///
    /// A daemon locks the values that it publishes with a secret in its data directory; holders delete a value on a request
    /// that contains the secret of its lock. Values published without a lock are only forgotten, as by `kad forget`: other
    /// nodes keep their copies until they expire. The output tells the two cases apart.
    Delete(Forget),
    /// Ping a node, from this host or, with --api, from the daemon's host.
    Ping(Ping),
    /// Look up the nodes nearest to a key.
    Lookup(Lookup),
    /// List the daemon's routing table.
    Peers(Peers),
    /// Show the daemon's status.
    Status(Status),
    /// Show the daemon live: rates, contacts, the steps of operations, store, health.
    ///
    /// Keys: `q` quits, `?` lists the others. If the output is not a terminal, prints one frame.
    Top(Top),
    /// Check whether this host suits a daemon with these settings, and print what to change.
    ///
    /// Takes the settings of `kad daemon`, from flags, environment and file. Exits with status 1 if a check fails.
    Doctor(Doctor),
    /// Stop the daemon gracefully: it hands its values over and leaves the network.
    Stop(Stop),
    /// Run a whole network on this machine, and check it.
    Dev(Dev),
    /// Validate a configuration file, or show the effective settings of a daemon.
    Config(Config),
    /// Print the completions for a shell.
    Completions(Completions),
    /// Write the manual pages, one for each command, to a directory.
    Man(Man),
}

impl Command {
    /// Returns the remote daemon of a command, if the command can use one.
    pub(crate) const fn elsewhere(&mut self) -> Option<&mut Elsewhere> {
        Some(match self {
            Self::Put(Put { target, .. })
            | Self::Get(Get { target, .. })
            | Self::Forget(Forget { target, .. })
            | Self::Delete(Forget { target, .. })
            | Self::Lookup(Lookup { target, .. })
            | Self::Peers(Peers { target, .. })
            | Self::Status(Status { target, .. })
            | Self::Top(Top { target, .. })
            | Self::Stop(Stop { target, .. }) => &mut target.elsewhere,
            Self::Ping(Ping { elsewhere, .. }) => elsewhere,
            Self::Daemon(_)
            | Self::Doctor(_)
            | Self::Dev(_)
            | Self::Config(_)
            | Self::Completions(_)
            | Self::Man(_) => return None,
        })
    }

    /// Returns the lists of the command line; they may have empty parts.
    pub(crate) fn lists(&mut self) -> Vec<&mut Vec<String>> {
        match self {
            Self::Daemon(daemon) => daemon.lists(),
            Self::Doctor(Doctor { daemon, .. })
            | Self::Config(Config { command: ConfigCommand::Show { daemon, .. } }) => daemon.lists(),
            Self::Put(Put { target, .. })
            | Self::Get(Get { target, .. })
            | Self::Forget(Forget { target, .. })
            | Self::Delete(Forget { target, .. })
            | Self::Lookup(Lookup { target, .. })
            | Self::Peers(Peers { target, .. })
            | Self::Status(Status { target, .. })
            | Self::Top(Top { target, .. })
            | Self::Stop(Stop { target, .. }) => vec![&mut target.bootstrap],
            Self::Ping(_) | Self::Dev(_) | Self::Config(_) | Self::Completions(_) | Self::Man(_) => Vec::new(),
        }
    }
}

/// A remote daemon.
#[derive(ClapArgs, Debug, Clone, Default)]
pub(crate) struct Elsewhere {
    /// URL of the HTTP server of a remote daemon, for example http://192.0.2.1:9000
    #[arg(long, env = "KAD_API", value_parser = input::api, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// File with the token of that daemon: a copy of the file of its --token, or its `control.json`
    #[arg(long, env = "KAD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
}

/// The target of a command: the daemon of a data directory, a remote daemon, or a short-lived node of its own.
#[derive(ClapArgs, Debug, Clone)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    /// Data directory of the running daemon [default: the platform's data directory]
    #[arg(long, env = "KAD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Run without a daemon, as a short-lived node that joins through this address (repeatable)
    #[arg(long, value_delimiter = ',', value_parser = input::part(input::address), value_name = "ADDRESS")]
    pub(crate) bootstrap: Vec<String>,
    /// Name of the network, for a short-lived node
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// Time limit of the command
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Print JSON instead of text.
#[derive(ClapArgs, Debug, Clone, Copy)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Daemon {
    /// UDP address to listen on (repeatable, up to 8)
    #[arg(long, env = "KAD_LISTEN", value_delimiter = ',', value_parser = input::listen, default_value = "0.0.0.0:9000", value_name = "ADDRESS")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address at which other nodes list this node, if it differs from the source address: behind a forwarded port, or in a
    /// container with a published port; without a port, that of --listen (one for each address family)
    #[arg(long, env = "KAD_ADVERTISE", value_delimiter = ',', value_parser = input::advertised, value_name = "ADDRESS[:PORT]")]
    pub(crate) advertise: Vec<SocketAddr>,
    /// Bootstrap node, as ADDRESS:PORT or NAME:PORT (repeatable)
    #[arg(long, env = "KAD_BOOTSTRAP", value_delimiter = ',', value_parser = input::part(input::address), value_name = "ADDRESS")]
    pub(crate) bootstrap: Vec<String>,
    /// Data directory: identity, contacts, control file [default: the platform's data directory]
    #[arg(long, env = "KAD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Node id, as 64 hexadecimal digits [default: random, kept in the data directory]
    #[arg(long, env = "KAD_ID", value_name = "HEX")]
    pub(crate) id: Option<String>,
    /// Name of the network; the node ignores nodes of other networks
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// Configuration file (TOML); flags and environment variables take precedence [default: `config.toml` in the data
    /// directory, or in the platform's configuration directory]
    #[arg(long, env = "KAD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// TCP address of the HTTP server: values, operations, control [default: loopback, with the number of the UDP port if
    /// that is free]
    #[arg(long, env = "KAD_HTTP", value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Require the token for values over HTTP
    #[arg(long, env = "KAD_NO_GATEWAY", value_parser = BoolishValueParser::new())]
    pub(crate) no_gateway: bool,
    /// Extra host name to accept in `Host` (repeatable)
    #[arg(long, env = "KAD_HTTP_HOST", value_delimiter = ',', value_parser = input::part(input::host), value_name = "NAME")]
    pub(crate) http_host: Vec<String>,
    /// Origin whose web pages may read and write values, for example `https://app.example` (repeatable)
    #[arg(long, env = "KAD_HTTP_ORIGIN", value_delimiter = ',', value_parser = input::part(input::origin), value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    /// File with a permanent token for remote commands (the token in `control.json` changes with each start)
    #[arg(long, env = "KAD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    /// Maximum number of HTTP connections; more wait
    #[arg(long, env = "KAD_HTTP_CONNECTIONS", default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) http_connections: u32,
    /// Maximum number of clients of `/events`; more are refused
    #[arg(long, env = "KAD_HTTP_WATCHERS", default_value_t = 64, value_name = "N")]
    pub(crate) http_watchers: u32,
    /// Time limit for a client to send a request, and for an idle connection
    #[arg(long, env = "KAD_HTTP_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) http_timeout: Duration,
    /// Time limit of an operation
    #[arg(long, env = "KAD_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Time limit for leaving the network
    #[arg(long, env = "KAD_LEAVE_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) leave_timeout: Duration,
    /// Interval of joining through the bootstrap addresses again, even with contacts
    #[arg(long, env = "KAD_REJOIN_INTERVAL", default_value = "10m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) rejoin_interval: Duration,
    /// Contacts per bucket and holders per value
    #[arg(long, env = "KAD_K", default_value_t = 20, value_name = "N")]
    pub(crate) k: u8,
    /// Parallel requests per lookup
    #[arg(long, env = "KAD_ALPHA", default_value_t = 3, value_name = "N")]
    pub(crate) alpha: u8,
    /// Maximum size of a value
    #[arg(long, env = "KAD_VALUE_MAX", default_value = "32KiB", value_name = "SIZE")]
    pub(crate) value_max: ByteSize,
    /// Store of the values
    #[arg(long, env = "KAD_STORAGE", default_value = "memory", value_name = "KIND")]
    pub(crate) storage: Storage,
    /// Maximum size of all values held
    #[arg(long, env = "KAD_CAPACITY", default_value = "256MiB", value_name = "SIZE")]
    pub(crate) capacity: ByteSize,
    /// Maximum number of values held
    #[arg(long, env = "KAD_CAPACITY_ITEMS", default_value_t = 65_536, value_name = "N")]
    pub(crate) capacity_items: usize,
    /// Threads of the node, each with a socket on its port [default: one for each core (Linux)]
    #[arg(long, env = "KAD_WORKERS", value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Size of the socket buffers to request from the system
    #[arg(long, env = "KAD_SOCKET_BUFFER", default_value = "4MiB", value_name = "SIZE")]
    pub(crate) socket_buffer: ByteSize,
    /// Datagrams per loop turn
    #[arg(long, env = "KAD_SOCKET_BATCH", default_value_t = 64, value_name = "N")]
    pub(crate) socket_batch: usize,
    /// Record all inputs of the node to this new file, for `kad-sim replay`; it contains secrets and values
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Run in the background; returns when the node is up; the log goes to the file `log` of the data directory, or to
    /// --log-file
    #[arg(long)]
    pub(crate) detach: bool,
    /// Log filter, for example `info` or `kad_tokio=debug`; precedence: --log, -v and -q, KAD_LOG, RUST_LOG
    #[arg(long, env = "KAD_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Append the log to this file, reopened on SIGHUP [default: standard error]
    #[arg(long, env = "KAD_LOG_FILE", value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Log format
    #[arg(long, env = "KAD_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Send a trace of each HTTP request to this OpenTelemetry collector (OTLP over HTTP), for example
    /// `http://127.0.0.1:4318`; requires the cargo feature `otlp`
    #[arg(long, env = "KAD_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

impl Daemon {
    fn lists(&mut self) -> Vec<&mut Vec<String>> {
        vec![&mut self.bootstrap, &mut self.http_host, &mut self.http_origin]
    }
}

/// The store of the values.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storage {
    /// In memory: lost when the daemon stops.
    Memory,
    /// In the file `values` of the data directory: survives restarts and power loss.
    Disk,
}

/// The log format.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// Lines of text.
    Text,
    /// One JSON object per line.
    Json,
}

/// A key, or a name to hash.
#[derive(ClapArgs, Debug, Clone)]
#[group(required = true, multiple = false)]
pub(crate) struct Key {
    /// Key, as 64 hexadecimal digits
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Use the hash of this name as the key
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

impl Key {
    /// Returns the key.
    pub(crate) fn resolve(&self) -> Result<kad_tokio::Key, Failure> {
        match (&self.key, &self.name) {
            (Some(text), _) => input::key(text),
            (None, Some(name)) => Ok(kad_tokio::Key::hash(name)),
            (None, None) => Err(Failure::Setting("give a key, or a name with --name".into())),
        }
    }
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Put {
    /// Value; `-` or nothing: standard input
    #[arg(value_name = "VALUE")]
    pub(crate) value: Option<String>,
    /// More than one value is an error with an explanation
    #[arg(value_name = "VALUES", hide = true)]
    pub(crate) surplus: Vec<String>,
    /// Read the value from a file; several files are several values
    #[arg(long, short, value_name = "PATH", num_args = 1.., conflicts_with = "value")]
    pub(crate) file: Vec<PathBuf>,
    /// Read many values from a file of JSON lines (`-`: standard input): each line is in the format of `kad get --all`, or
    /// an object with `text` (or `value`, in base 64) and optionally `key` or `name`, and `ttl`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["value", "file", "key", "name"])]
    pub(crate) jsonl: Option<PathBuf>,
    /// Key, as 64 hexadecimal digits [default: the hash of the value]
    #[arg(long, value_name = "KEY", conflicts_with = "name")]
    pub(crate) key: Option<String>,
    /// Use the hash of this name as the key
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Lifetime of the value, up to seven days
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) ttl: Duration,
    /// Number of other nodes that must hold the value, else the command fails; 0 returns at once [default: wait for the
    /// answer of every holder]
    #[arg(long, value_name = "N")]
    pub(crate) quorum: Option<u8>,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Get every value under the key, newest first: as JSON lines, or as files with --output
    #[arg(long)]
    pub(crate) all: bool,
    /// Maximum age of the value
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) newer_than: Option<Duration>,
    /// Output file; with --all, a directory of files named by digest
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Forget {
    #[command(flatten)]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Ping {
    /// UDP address of the node, as ADDRESS:PORT or NAME:PORT
    #[arg(value_name = "ADDRESS", value_parser = input::address)]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    /// Number of pings
    #[arg(long, short, default_value_t = 1, value_name = "N")]
    pub(crate) count: u32,
    /// Name of the network
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// Time limit for each answer
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Lookup {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Show every node asked, in order, not only the nearest
    #[arg(long)]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
#[group(id = "places", multiple = true, args = ["data_dir", "netns"])]
pub(crate) struct Dev {
    /// Number of nodes
    #[arg(long, short, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) nodes: u32,
    /// Number of values to store and read
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) values: u32,
    /// Contacts per bucket and holders per value
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) k: u8,
    /// Exit after the check, with status 0 if every value was read, else 1
    #[arg(long)]
    pub(crate) once: bool,
    /// Parent of the nodes' data directories: DIR/0, DIR/1, ...
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Store of the values; `disk` requires --data-dir or --netns
    #[arg(long, default_value = "memory", value_name = "KIND", requires_if("disk", "places"))]
    pub(crate) storage: Storage,
    /// Run each node as a daemon in its own network namespace (Linux, as root), and read commands from standard input: kill,
    /// stop, start, restart, partition, heal, loss, delay, help
    #[arg(long)]
    pub(crate) netns: bool,
    /// Delay of all datagrams that a node sends
    #[arg(long, requires = "netns", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) delay: Option<Duration>,
    /// Share of datagrams to lose, for example 5%
    #[arg(long, requires = "netns", value_parser = input::loss, value_name = "PERCENT")]
    pub(crate) loss: Option<u16>,
    #[command(flatten)]
    pub(crate) output: Json,
}
