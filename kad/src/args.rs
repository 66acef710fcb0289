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

/// How much a command says besides its results.
#[derive(ClapArgs, Debug, Clone, Copy, Default)]
pub(crate) struct Verbosity {
    /// Log more to standard error: what commands ask, or `debug` of a daemon; -vv: everything
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say nothing but results and errors; a daemon logs warnings only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a node until it is told to stop.
    Daemon(Box<Daemon>),
    /// Store a value: an argument, a file, or standard input.
    Put(Put),
    /// Read a value, byte for byte, to standard output.
    Get(Get),
    /// Stop to publish what this daemon published under a key.
    Forget(Forget),
    /// Delete what this daemon published under a key, at all who hold it.
    ///
    /// What was published through a daemon is locked with a secret of its data directory, and its holders obey who shows what opens
    /// the lock. What the daemon published without a lock is only forgotten, as by `kad forget`: other nodes keep their copies until
    /// their lifetime ends. The output says which it was.
    Delete(Forget),
    /// Ping a node: from this host, or with --api from the daemon's.
    Ping(Ping),
    /// Look for the nodes nearest to a key.
    Lookup(Lookup),
    /// List the routing table of the daemon.
    Peers(Peers),
    /// Say how the daemon is.
    Status(Status),
    /// Watch the daemon: rates, contacts, operations as they go, its store, its health.
    ///
    /// Keys: `q` ends, `?` lists the others. Where the output is no terminal, one frame is printed.
    Top(Top),
    /// Check whether this host is fit for a daemon with these settings, and say what to change.
    ///
    /// Takes the settings of `kad daemon`, from flags, environment and file. Ends with status 1 if a check failed.
    Doctor(Doctor),
    /// Make the daemon hand over, leave, and end.
    Stop(Stop),
    /// Run a whole network on this machine, and check it.
    Dev(Dev),
    /// Check a configuration file, or show the settings that a daemon would have.
    Config(Config),
    /// Print the completions of a shell, to be loaded by it.
    Completions(Completions),
    /// Write the manual pages, one for each command, into a directory.
    Man(Man),
}

impl Command {
    /// The daemon elsewhere that a command may work with.
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

    /// The lists of the command line: as people write them, they may have empty parts.
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

/// A daemon elsewhere.
#[derive(ClapArgs, Debug, Clone, Default)]
pub(crate) struct Elsewhere {
    /// Work with a daemon elsewhere, by the URL of its HTTP server, as in http://192.0.2.1:9000
    #[arg(long, env = "KAD_API", value_parser = input::api, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// A file with the token of that daemon: what its own --token names, or its `control.json`
    #[arg(long, env = "KAD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
}

/// Whom a command works with: the daemon of a data directory, one elsewhere, or a node of its own that lives as long as the command.
#[derive(ClapArgs, Debug, Clone)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    /// The data directory of the running daemon [default: the platform's own]
    #[arg(long, env = "KAD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Work without a daemon, as a short-lived node that joins through this address (repeatable)
    #[arg(long, value_delimiter = ',', value_parser = input::part(input::address), value_name = "ADDRESS")]
    pub(crate) bootstrap: Vec<String>,
    /// The network's name, for a short-lived node
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// How long to wait at the most
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Print JSON for programs instead of text for people.
#[derive(ClapArgs, Debug, Clone, Copy)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Daemon {
    /// A UDP address to listen on, up to 8 (repeatable)
    #[arg(long, env = "KAD_LISTEN", value_delimiter = ',', value_parser = input::listen, default_value = "0.0.0.0:9000", value_name = "ADDRESS")]
    pub(crate) listen: Vec<SocketAddr>,
    /// An address at which others are to list the node, where that is not the one from which it sends: behind a forwarded port, or
    /// in a container with a published one; without a port, the one that it listens on (one for each address family)
    #[arg(long, env = "KAD_ADVERTISE", value_delimiter = ',', value_parser = input::advertised, value_name = "ADDRESS[:PORT]")]
    pub(crate) advertise: Vec<SocketAddr>,
    /// A node to join through, as ADDRESS:PORT or NAME:PORT (repeatable)
    #[arg(long, env = "KAD_BOOTSTRAP", value_delimiter = ',', value_parser = input::part(input::address), value_name = "ADDRESS")]
    pub(crate) bootstrap: Vec<String>,
    /// Where the node keeps its identity, whom it knows, and how commands reach it [default: the platform's own]
    #[arg(long, env = "KAD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Who the node is, as 64 hexadecimal digits [default: random, kept in the data directory]
    #[arg(long, env = "KAD_ID", value_name = "HEX")]
    pub(crate) id: Option<String>,
    /// The network's name; nodes of other networks are ignored
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// Settings as a TOML file; flags and environment variables go before it [default: `config.toml` in the data directory, or in
    /// the platform's own directory for configuration]
    #[arg(long, env = "KAD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The TCP address of the HTTP server: values, operations, control [default: loopback, with the number of the UDP port if
    /// that is free]
    #[arg(long, env = "KAD_HTTP", value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Serve values over HTTP to those with the token only, not to everybody who reaches the server
    #[arg(long, env = "KAD_NO_GATEWAY", value_parser = BoolishValueParser::new())]
    pub(crate) no_gateway: bool,
    /// A name by which the HTTP server may be called, besides loopback's (repeatable)
    #[arg(long, env = "KAD_HTTP_HOST", value_delimiter = ',', value_parser = input::part(input::host), value_name = "NAME")]
    pub(crate) http_host: Vec<String>,
    /// An origin whose web pages may read and write values, as in `https://app.example` (repeatable)
    #[arg(long, env = "KAD_HTTP_ORIGIN", value_delimiter = ',', value_parser = input::part(input::origin), value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    /// A file with a token for commands elsewhere: it opens the HTTP server, and stays the same over restarts
    #[arg(long, env = "KAD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    /// HTTP connections at a time; more wait
    #[arg(long, env = "KAD_HTTP_CONNECTIONS", default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) http_connections: u32,
    /// Clients that follow `/events` at a time; more are refused
    #[arg(long, env = "KAD_HTTP_WATCHERS", default_value_t = 64, value_name = "N")]
    pub(crate) http_watchers: u32,
    /// How long a client may take for a request, and a connection may be idle
    #[arg(long, env = "KAD_HTTP_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) http_timeout: Duration,
    /// How long a call may take
    #[arg(long, env = "KAD_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How long leaving may take
    #[arg(long, env = "KAD_LEAVE_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) leave_timeout: Duration,
    /// How often to join through the bootstrap addresses again although others are known
    #[arg(long, env = "KAD_REJOIN_INTERVAL", default_value = "10m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) rejoin_interval: Duration,
    /// Contacts per bucket and holders per value
    #[arg(long, env = "KAD_K", default_value_t = 20, value_name = "N")]
    pub(crate) k: u8,
    /// Requests of one lookup that wait at a time
    #[arg(long, env = "KAD_ALPHA", default_value_t = 3, value_name = "N")]
    pub(crate) alpha: u8,
    /// Largest value
    #[arg(long, env = "KAD_VALUE_MAX", default_value = "32KiB", value_name = "SIZE")]
    pub(crate) value_max: ByteSize,
    /// Where values are kept
    #[arg(long, env = "KAD_STORAGE", default_value = "memory", value_name = "KIND")]
    pub(crate) storage: Storage,
    /// Bytes of values to hold at the most
    #[arg(long, env = "KAD_CAPACITY", default_value = "256MiB", value_name = "SIZE")]
    pub(crate) capacity: ByteSize,
    /// Values to hold at the most
    #[arg(long, env = "KAD_CAPACITY_ITEMS", default_value_t = 65_536, value_name = "N")]
    pub(crate) capacity_items: usize,
    /// Threads that serve the node, each with a socket on its port; as many as there are cores if not given (Linux)
    #[arg(long, env = "KAD_WORKERS", value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Socket buffers to ask the system for
    #[arg(long, env = "KAD_SOCKET_BUFFER", default_value = "4MiB", value_name = "SIZE")]
    pub(crate) socket_buffer: ByteSize,
    /// Datagrams to read before anything else is done
    #[arg(long, env = "KAD_SOCKET_BATCH", default_value_t = 64, value_name = "N")]
    pub(crate) socket_batch: usize,
    /// Write everything that the node is given to this new file, for `kad-sim replay`: it holds secrets and values
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Run in the background: returns when the node is up; the log goes to the file `log` of the data directory, or to --log-file
    #[arg(long)]
    pub(crate) detach: bool,
    /// What to log, as in `info` or `kad_tokio=debug`; goes before -v and -q, these before KAD_LOG, and that before RUST_LOG
    #[arg(long, env = "KAD_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Append the log to this file, and open it anew on SIGHUP [default: standard error]
    #[arg(long, env = "KAD_LOG_FILE", value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// How to log
    #[arg(long, env = "KAD_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Send a trace of each HTTP request to this OpenTelemetry collector (OTLP over HTTP), as in `http://127.0.0.1:4318`; for a
    /// program that was built with the feature `otlp`
    #[arg(long, env = "KAD_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

impl Daemon {
    fn lists(&mut self) -> Vec<&mut Vec<String>> {
        vec![&mut self.bootstrap, &mut self.http_host, &mut self.http_origin]
    }
}

/// Where values are kept.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storage {
    /// In memory: gone when the daemon ends.
    Memory,
    /// In the file `values` of the data directory: there again after a restart or a power loss.
    Disk,
}

/// How to log.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A key, given or made from a name.
#[derive(ClapArgs, Debug, Clone)]
#[group(required = true, multiple = false)]
pub(crate) struct Key {
    /// The key, as 64 hexadecimal digits
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// The key that is the hash of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

impl Key {
    /// The key that was meant.
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
    /// The value; standard input if nothing else is given, or if it is `-`
    #[arg(value_name = "VALUE")]
    pub(crate) value: Option<String>,
    /// More than one value is a mistake, which is explained
    #[arg(value_name = "VALUES", hide = true)]
    pub(crate) surplus: Vec<String>,
    /// Read the value from a file; of several files each is a value
    #[arg(long, short, value_name = "PATH", num_args = 1.., conflicts_with = "value")]
    pub(crate) file: Vec<PathBuf>,
    /// Read many values from a file of JSON lines, or from standard input if it is `-`: each line is what `kad get --all` prints,
    /// or an object with `text` (or `value`, in base 64) and, if wanted, `key` or `name`, and `ttl`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["value", "file", "key", "name"])]
    pub(crate) jsonl: Option<PathBuf>,
    /// The key, as 64 hexadecimal digits [default: the hash of the value]
    #[arg(long, value_name = "KEY", conflicts_with = "name")]
    pub(crate) key: Option<String>,
    /// The key that is the hash of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How long the value lives, up to seven days
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) ttl: Duration,
    /// Return when so many other nodes hold it, and fail if they do not; 0 returns at once [default: when every node that
    /// was asked has answered]
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
    /// Every value under the key, newest first: as JSON lines, or as files with --output
    #[arg(long)]
    pub(crate) all: bool,
    /// Only values published at most this long ago
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) newer_than: Option<Duration>,
    /// Write to this file; with --all, to files in this directory, named by digest
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
    /// The node's UDP address, as ADDRESS:PORT or NAME:PORT
    #[arg(value_name = "ADDRESS", value_parser = input::address)]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
    /// How often
    #[arg(long, short, default_value_t = 1, value_name = "N")]
    pub(crate) count: u32,
    /// The network's name
    #[arg(long, env = "KAD_NETWORK", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) network: String,
    /// How long to wait for an answer at the most
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Lookup {
    #[command(flatten)]
    pub(crate) key: Key,
    /// Show every node that was asked, in order, not only the nearest
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
    /// Nodes to start
    #[arg(long, short, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) nodes: u32,
    /// Values to store and read
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) values: u32,
    /// Contacts per bucket and holders per value
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) k: u8,
    /// End after the check: with status 0 if every value was read, 1 if not
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the identity of each node, and how commands reach it, in a directory of its own in this one: DIR/0, DIR/1, ...
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where values are kept; `disk` needs --data-dir or --netns
    #[arg(long, default_value = "memory", value_name = "KIND", requires_if("disk", "places"))]
    pub(crate) storage: Storage,
    /// Make each node a daemon with an address of its own on a virtual network (Linux, as root), which takes orders on standard
    /// input: kill, stop, start, restart, partition, heal, loss, delay; `help` explains them
    #[arg(long)]
    pub(crate) netns: bool,
    /// Delay everything that a node sends by so much
    #[arg(long, requires = "netns", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) delay: Option<Duration>,
    /// Lose this share of all datagrams, as in 5%
    #[arg(long, requires = "netns", value_parser = input::loss, value_name = "PERCENT")]
    pub(crate) loss: Option<u16>,
    #[command(flatten)]
    pub(crate) output: Json,
}
