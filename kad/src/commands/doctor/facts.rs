//! What is known of a host. The checks see nothing else, so that they can be tested with hosts that are not there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kad_tokio::{SocketProbe, Unreachable, WORKERS_MAX};

use crate::args::{Daemon, Storage};
use crate::commands::daemon::files_wanted;

/// What a daemon would ask of the host.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) listen: Vec<SocketAddr>,
    /// Where others are told to list it.
    pub(super) advertise: Vec<SocketAddr>,
    /// The address of its HTTP server, if one was chosen.
    pub(super) http: Option<SocketAddr>,
    pub(super) workers: usize,
    /// Bytes of each buffer of a socket.
    pub(super) socket_buffer: usize,
    /// Files open at a time.
    pub(super) files: u64,
    /// Whether values are kept on disk.
    pub(super) on_disk: bool,
    /// Bytes of values.
    pub(super) capacity: u64,
}

impl Wanted {
    /// The port that it listens on, of the first address.
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
    /// What sockets like the daemon's are granted.
    pub(super) sockets: Option<SocketProbe>,
    /// The largest receive and send buffer in bytes that the system grants.
    pub(super) buffer_limits: Option<(u64, u64)>,
    /// Files that may be open: now, and once the daemon has asked for more.
    pub(super) files: Option<(u64, u64)>,
    pub(super) clock: Clock,
    /// Whether the system's randomness is good by now.
    pub(super) entropy_ready: Option<bool>,
    /// Neighbours whose hardware addresses the system remembers at the most.
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
    /// As others see it.
    pub(super) observed: Option<SocketAddr>,
    /// Whether this host has that address.
    pub(super) observed_is_own: bool,
}

/// Whether a port can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Port {
    Free,
    /// The daemon that runs has it.
    Own,
    /// Somebody else has it.
    Taken,
    /// The system does not give it out.
    Refused(String),
}

#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) now: SystemTime,
    pub(super) synchronised: Option<bool>,
}

/// A network interface that is up and no loopback.
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
    /// No way leads out.
    NoRoute,
    Routed,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// Where it was tried: the data directory, or what is there of the way to it.
    pub(super) path: PathBuf,
    /// How long it takes until some bytes are safe: the median of a few attempts, or why they cannot be written.
    pub(super) sync: Result<Duration, String>,
    /// Bytes that are free.
    pub(super) free: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Bootstrap {
    pub(super) name: String,
    /// Addresses that it has, or why it has none.
    pub(super) addresses: Result<usize, String>,
    /// Why none of them can be reached from what the daemon listens on.
    pub(super) unreachable: Option<Unreachable>,
    /// How long the first of them took to answer.
    pub(super) answered: Option<Duration>,
}
