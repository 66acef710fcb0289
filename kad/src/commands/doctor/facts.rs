//! Facts about a host. The checks use nothing else, so that tests can use made-up hosts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kad_tokio::{SocketProbe, Unreachable, WORKERS_MAX};

use crate::args::{Daemon, Storage};
use crate::commands::daemon::files_wanted;

/// The requirements of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) listen: Vec<SocketAddr>,
    /// The advertised addresses.
    pub(super) advertise: Vec<SocketAddr>,
    /// The address of its HTTP server, if given.
    pub(super) http: Option<SocketAddr>,
    pub(super) workers: usize,
    /// Bytes of each buffer of a socket.
    pub(super) socket_buffer: usize,
    /// Files open at a time.
    pub(super) files: u64,
    /// Whether the store is on disk.
    pub(super) on_disk: bool,
    /// Bytes of values.
    pub(super) capacity: u64,
}

impl Wanted {
    /// Returns the port of the first listen address.
    pub(super) fn port(&self) -> u16 {
        self.listen.first().map_or(0, SocketAddr::port)
    }

    pub(super) fn of(args: &Daemon) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let own = || if cfg!(target_os = "linux") { cores() } else { 1 };
        Self {
            listen: args.listen.clone(),
            advertise: args.advertise.clone(),
            http: args.http,
            workers: args.workers.unwrap_or_else(own),
            socket_buffer: usize::try_from(args.socket_buffer.as_u64()).unwrap_or(usize::MAX),
            files: files_wanted(args.http_connections),
            on_disk: args.storage == Storage::Disk,
            capacity: args.capacity.as_u64(),
        }
    }
}

/// See the [module](self). What could not be read is `None`.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) wanted: Wanted,
    pub(super) running: Option<Running>,
    pub(super) udp: Port,
    pub(super) tcp: Port,
    /// What the system grants to sockets like the daemon's.
    pub(super) sockets: Option<SocketProbe>,
    /// The largest receive and send buffer in bytes that the system grants.
    pub(super) buffer_limits: Option<(u64, u64)>,
    /// The soft and the hard limit of open files.
    pub(super) files: Option<(u64, u64)>,
    pub(super) clock: Clock,
    /// Whether the system's random number generator is seeded.
    pub(super) entropy_ready: Option<bool>,
    /// The maximum number of neighbours in the system's table.
    pub(super) neighbours_max: Option<u64>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) ipv6: Ipv6,
    pub(super) disk: Disk,
    pub(super) bootstrap: Vec<Bootstrap>,
}

/// The daemon that runs with the data directory.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) address: SocketAddr,
    pub(super) http: SocketAddr,
    /// The observed address.
    pub(super) observed: Option<SocketAddr>,
    /// Whether this host has that address.
    pub(super) observed_is_own: bool,
}

/// Whether a port is available.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Port {
    Free,
    /// The running daemon uses it.
    Own,
    /// Another process uses it.
    Taken,
    /// The system refuses it.
    Refused(String),
}

#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) now: SystemTime,
    pub(super) synchronised: Option<bool>,
}

/// A network interface that is up, except loopback.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// Largest packet in bytes.
    pub(super) mtu: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ipv6 {
    /// The system has none.
    Off,
    /// There is no route.
    NoRoute,
    Routed,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// The tested directory: the data directory, or its nearest existing parent.
    pub(super) path: PathBuf,
    /// The time to write and sync some bytes: the median of a few attempts, or the error.
    pub(super) sync: Result<Duration, String>,
    /// Free bytes.
    pub(super) free: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Bootstrap {
    pub(super) name: String,
    /// Its addresses, or the error of resolving them.
    pub(super) addresses: Result<usize, String>,
    /// The reason why none of them is reachable from the daemon's listen addresses.
    pub(super) unreachable: Option<Unreachable>,
    /// The time until the first of them answered.
    pub(super) answered: Option<Duration>,
}
