//! Settings of a node, and how it is started.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kad_core::{Capacity, Config, Role, Slabs};
use kad_record::{Header, Recorder};
use kad_store::{DiskStore, Limits, MemoryStore, Moment, Store};
use kad_wire::{NetworkId, NodeId};
use tokio::sync::mpsc;

use crate::Dht;
use crate::clock::{Clock, FIRST, NodeClock};
use crate::dht::Shared;
use crate::error::StartError;
use crate::feed::Feed;
use crate::places::Places;
use crate::reach::check_one;
use crate::socket::{DOUBLED, Locals, Options};
use crate::supervisor::{CloseReason, Supervisor};
use crate::vault::Vault;
use crate::worker::{Crew, Note, Reach, Worker};

/// Receive buffer that is asked for: room for some thousand datagrams.
const BUFFER: usize = 4 << 20;
/// Memory that the system takes for one datagram in a buffer, headers and all.
const BUFFER_PER_DATAGRAM: usize = 2304;

/// Calls that have a place, if nothing else is set.
const CALLS_MAX: usize = 4096;

/// No node takes longer to leave, or to look for its bootstrap nodes again: values would lapse meanwhile.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// Nobody stays for so long.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most addresses that a node listens on: each has a socket in every worker.
const LISTEN_MAX: usize = 8;

/// Most workers of a node.
pub const WORKERS_MAX: usize = 64;

/// Settings of a node, made by [`Dht::builder`]. The defaults make a lone node on a free port of every address.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use kad_tokio::{Dht, Key};
///
/// let first = Dht::builder().listen(([127, 0, 0, 1], 0).into()).start()?;
/// let second = Dht::builder()
///     .listen(([127, 0, 0, 1], 0).into())
///     .bootstrap([first.local_addr().to_string()])
///     .start()?;
/// second.store(Key::hash("name"), "value").await?;
/// let value = first.find(Key::hash("name")).await?;
/// assert_eq!(value.unwrap().bytes, "value");
/// second.close().await?;
/// first.close().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
pub struct Builder {
    id: Option<NodeId>,
    listen: Vec<SocketAddr>,
    advertise: Vec<SocketAddr>,
    bound: Vec<UdpSocket>,
    bootstrap: Vec<String>,
    remembered: Vec<String>,
    config: Config,
    capacity: Capacity,
    limits: Option<Limits>,
    store: Option<Box<dyn Store + Send>>,
    disk: Option<PathBuf>,
    timeout: Duration,
    calls_max: usize,
    leave_timeout: Duration,
    rejoin_interval: Duration,
    workers: Option<usize>,
    socket_buffer: usize,
    socket_batch: usize,
    socket_offload: bool,
    socket_steering: bool,
    cache_found: bool,
    record: Option<PathBuf>,
    clock: Option<Arc<dyn Clock>>,
    watch_host: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            id: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            bound: Vec::new(),
            bootstrap: Vec::new(),
            remembered: Vec::new(),
            config: Self::CONFIG,
            capacity: Capacity::SERVER,
            limits: None,
            store: None,
            disk: None,
            timeout: Duration::from_secs(30),
            calls_max: CALLS_MAX,
            leave_timeout: Duration::from_secs(5),
            rejoin_interval: Duration::from_secs(600),
            workers: None,
            socket_buffer: BUFFER,
            socket_batch: 64,
            socket_offload: true,
            socket_steering: true,
            cache_found: true,
            record: None,
            clock: None,
            watch_host: true,
        }
    }
}

impl Builder {
    /// The core's settings if no others are given: more patience than the core has by itself, because a busy server answers late,
    /// and whoever is given up too early holds no copy; and contacts are checked now and then, so that a node that nobody uses
    /// does not tell others of nodes that are gone.
    pub const CONFIG: Config = Config {
        attempts: 3,
        min_timeout: Duration::from_millis(100),
        check_interval: Duration::from_secs(15),
        ..Config::DEFAULT
    };

    /// Who the node is. A random id if not set; keep it over restarts, so that others find the node again.
    pub fn id(mut self, id: NodeId) -> Self {
        self.id = Some(id);
        self
    }

    /// The address to listen on; a free port of every IPv4 address if not set. An unspecified IPv6 address listens on IPv4 too.
    /// Port 0: a free one.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listen_on([address])
    }

    /// The addresses to listen on, up to 8: one of each family, say, or one for each interface. See [`listen`](Self::listen).
    pub fn listen_on(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = addresses.into_iter().collect();
        self
    }

    /// An address at which others are to list the node, where that is not the one from which it sends: behind a forwarded
    /// port, or in a container with a published one. One for each address family. Port 0: the one that it listens on.
    ///
    /// Others list the node when it answers there, and nowhere else.
    pub fn advertise(mut self, address: SocketAddr) -> Self {
        self.advertise.push(address);
        self
    }

    /// Sockets that are bound already, to use instead of [`listen`](Self::listen): those that a service manager keeps open while a
    /// node is restarted. On each address one, or on Linux several, which were bound with `SO_REUSEPORT`: each is a worker's. A
    /// single one is shared by several workers if the system does not let this process bind others to its port.
    pub fn sockets(mut self, sockets: impl IntoIterator<Item = UdpSocket>) -> Self {
        self.bound = sockets.into_iter().collect();
        self
    }

    /// Nodes to join through, as `address:port` or `name:port`. They are tried almost at the same time, in another order each
    /// time, again and again with growing pauses for as long as the node knows nobody.
    pub fn bootstrap(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.bootstrap.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// Nodes that were known before a restart, as `address:port`: they are tried like bootstrap addresses. A node that has no
    /// others is one that others join through: it is not expected to reach anybody, but as long as it reaches none of these
    /// it does not say that a value does not exist.
    pub fn remembered(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.remembered.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// Which network the node belongs to.
    pub fn network(mut self, network: NetworkId) -> Self {
        self.config.network = network;
        self
    }

    /// Whether the node serves others, or only asks.
    pub fn role(mut self, role: Role) -> Self {
        self.config.role = role;
        self
    }

    /// Every setting of the core instead of [`CONFIG`](Self::CONFIG); see [`Config`]. Comes before the others, which change single ones.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How much the node can do at a time.
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// Contacts per bucket and holders per value (paper: k); 20 if not set. All nodes of a network should agree.
    pub fn k(mut self, k: u8) -> Self {
        self.config.k = k;
        self
    }

    /// Requests of one lookup that wait at a time (paper: alpha); 3 if not set.
    pub fn alpha(mut self, alpha: u8) -> Self {
        self.config.alpha = alpha;
        self
    }

    /// Largest value that the node takes and finds, in bytes; 32 KiB if not set.
    pub fn value_max(mut self, bytes: u32) -> Self {
        self.config.value_max = bytes;
        self
    }

    /// Bounds of the store in memory or on disk; see [`Limits`]. Its id is replaced by the node's.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Keeps values in this file, over restarts and power loss: see [`DiskStore`]. It is made if there is none; its directory
    /// must exist. Keep the [`id`](Self::id) over restarts too. Another node answers that a value is stored when it is on
    /// disk, and so does [`Dht::store`]: one thread waits for the disk, once for all that has come meanwhile, and nothing else does.
    pub fn disk(mut self, file: impl Into<PathBuf>) -> Self {
        self.disk = Some(file.into());
        self
    }

    /// A store of one's own instead of the one in memory. It is called on the node's thread, so it must not block for
    /// long: see [`Store`], and test it with the conformance suite.
    pub fn store(mut self, store: impl Store + Send + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// How long a call may take if it is not told otherwise; 30 seconds if not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many stores, finds, lookups and pings the node takes in at a time; 4,096 if not set. More wait in their callers, in
    /// the order in which they came; one that has no place by its deadline ends with [`Error::Busy`](crate::Error::Busy). A
    /// quarter of the places is not for stores, which may have to wait for a disk. How many of these calls are on the network
    /// at a time is not a setting: a node measures how much it and its peers can serve.
    pub fn calls_max(mut self, calls: usize) -> Self {
        self.calls_max = calls;
        self
    }

    /// How long [`Dht::close`] may hand values over; 5 seconds if not set, a day at the most.
    pub fn leave_timeout(mut self, timeout: Duration) -> Self {
        self.leave_timeout = timeout.min(A_DAY);
        self
    }

    /// How often a node that knows others joins through its bootstrap addresses again, give or take a quarter; ten minutes
    /// if not set, a second at the least. It costs a lookup, and is how parts of a network that lost each other find
    /// together.
    pub fn rejoin_interval(mut self, interval: Duration) -> Self {
        self.rejoin_interval = interval.clamp(Duration::from_secs(1), A_DAY);
        self
    }

    /// How many threads serve the node, each with a socket of its own on the same port: 1 to [`WORKERS_MAX`]. If not set, as
    /// many as the machine has cores on Linux, which brings each what it asked for; one elsewhere, where workers share a
    /// socket and pass on what is not theirs, and one for a [client](Role::Client).
    ///
    /// Limits that hold for all peers together (operations, values that are pulled) are each worker's own.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Bytes of each socket's send and receive buffers to ask the system for; 4 MiB if not set. What it granted is in
    /// [`Stats`](crate::Stats), and a warning is logged when that is less.
    pub fn socket_buffer(mut self, bytes: usize) -> Self {
        self.socket_buffer = bytes;
        self
    }

    /// Datagrams to read before anything else is done; 64 if not set.
    pub fn socket_batch(mut self, datagrams: usize) -> Self {
        self.socket_batch = datagrams;
        self
    }

    /// Whether the system may send and receive several datagrams as one where it can (UDP segmentation and receive offload),
    /// which makes large values many times cheaper. On if not set; where it is refused, the node goes on without.
    pub fn socket_offload(mut self, offload: bool) -> Self {
        self.socket_offload = offload;
        self
    }

    /// Whether the system may spread datagrams over workers by their contents (a port shared by several sockets, with a packet
    /// filter; Linux). On if not set; otherwise, and where it is refused, workers share a socket and pass on what is not
    /// theirs.
    pub fn socket_steering(mut self, steering: bool) -> Self {
        self.socket_steering = steering;
        self
    }

    /// Whether a value that was found is left at the closest node that did not have it (paper, section 2.3), for ten
    /// minutes at the most. On if not set.
    pub fn cache_found(mut self, cache: bool) -> Self {
        self.cache_found = cache;
        self
    }

    /// Writes everything that the node is given to a new file, so that it can be repeated: see the crate `kad-record`. The
    /// file holds the node's secrets and every value that passes. Only for the store in memory, and for a while: it grows
    /// with the traffic.
    pub fn record(mut self, file: impl Into<PathBuf>) -> Self {
        self.record = Some(file.into());
        self
    }

    /// Whether the node notices by itself that its host has slept or has other addresses, and looks for its network again then. On
    /// if not set; otherwise [`Dht::network_changed`] tells it.
    pub fn watch_host(mut self, watch: bool) -> Self {
        self.watch_host = watch;
        self
    }

    /// A clock to go by, for tests; the system's own if not set. The node waits for its timers by the system's monotonic clock, and
    /// compares the two every two seconds.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Starts the node on threads of its own. The socket is open when this returns; joining goes on in the background.
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be had or a setting makes no sense.
    pub fn start(mut self) -> Result<Dht, StartError> {
        self.check()?;
        let listen = self.addresses()?;
        let workers = self.worker_count();
        let options = Options {
            listen: &listen,
            bound: &self.bound,
            workers,
            buffer: self.socket_buffer,
            offload: self.socket_offload,
            steering: self.socket_steering,
        };
        let sockets = crate::socket::bind(&options)?;
        let Some(first) = sockets.first() else { return Err(StartError::Setting("a node has at least one worker")) };
        let listen: Arc<[SocketAddr]> = first.addresses().into();
        (self.config.ipv4, self.config.ipv6) = first.families();
        let window = first.smallest_buffer() * DOUBLED / BUFFER_PER_DATAGRAM;
        self.set_advertised(&listen)?;
        self.config.receive_window = u16::try_from(window).unwrap_or(u16::MAX).clamp(1, 4096);
        let (mut seed, mut token_secret) = ([0; 32], [0; 16]);
        getrandom::fill(&mut seed).map_err(|error| StartError::System(error.into()))?;
        getrandom::fill(&mut token_secret).map_err(|error| StartError::System(error.into()))?;
        let id = match self.id {
            Some(id) => id,
            None => random_id()?,
        };
        // A shortlist needs more places than holders are wanted.
        let candidates = self.capacity.candidates.max(usize::from(self.config.k) * 3 / 2);
        let capacity = Capacity { candidates, ..self.capacity };
        let limits = Limits { id, ..self.limits.clone().unwrap_or(default_limits(id, self.config.value_max)) };
        let (crew, notes) = Crew::new(workers);
        let mut nodes = Vec::new();
        for index in 0..workers {
            let config = self.worker_config(&crew, index, token_secret);
            if index > 0 {
                getrandom::fill(&mut seed).map_err(|error| StartError::System(error.into()))?;
            }
            nodes.push((Slabs::new(id, &config, &seed, capacity)?, Header::new(id, seed, &config, capacity, &limits)));
        }
        let store = self.open_store(&limits)?;
        let teller = crew.clone();
        let supervisor = Supervisor::new(workers);
        let vault = Vault::new(
            store,
            &supervisor,
            Box::new(move |commit, result| teller.tell_all(|| Note::Commit(commit, result))),
        );
        let (calls, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let (clock, feed) = (NodeClock::start(self.clock.take()), Arc::new(Feed::new()));
        let locals = Locals::new(&listen);
        supervisor.keep(vault.clone(), feed.clone());
        let reach = Reach { bootstrap: self.bootstrap.len(), remembered: self.remembered.len() };
        let parts = sockets.into_iter().zip(nodes).zip(notes).zip(receivers).enumerate();
        for (index, (((socket, (slabs, header)), notes), receiver)) in parts {
            let recorder = if index == 0 { self.recorder(&header)? } else { None };
            let worker = Worker::new(crate::worker::Parts {
                clock: clock.clone(),
                watches_host: self.watch_host,
                slabs,
                store: vault.clone(),
                socket,
                listen: listen.clone(),
                locals: locals.clone(),
                own_calls: calls[index].downgrade(),
                calls: receiver,
                index,
                crew: crew.clone(),
                notes,
                stopping: supervisor.stopping(),
                operations_max: capacity.operations_max,
                reach,
                bootstrap: if index == 0 { std::mem::take(&mut self.bootstrap) } else { Vec::new() },
                remembered: if index == 0 { std::mem::take(&mut self.remembered) } else { Vec::new() },
                serves: self.config.role == Role::Server,
                leave_timeout: self.leave_timeout,
                rejoin_interval: self.rejoin_interval,
                batch: self.socket_batch,
                cache_found: self.cache_found,
                recorder,
                feed: feed.clone(),
            });
            // Those that have begun end too.
            supervisor
                .spawn(index, worker)
                .inspect_err(|_| supervisor.stop(CloseReason::Closed))
                .map_err(StartError::System)?;
        }
        let shared = Arc::new(Shared {
            id,
            listen,
            value_max: self.config.value_max as usize,
            timeout: self.timeout,
            leave_timeout: self.leave_timeout,
            calls,
            clock,
            feed,
            supervisor,
            places: Places::new(self.calls_max),
            next_call: AtomicU64::new(1),
        });
        Ok(Dht { shared })
    }

    /// What to listen on: the addresses of the sockets that are bound already, or those that were asked for.
    fn addresses(&self) -> Result<Vec<SocketAddr>, StartError> {
        let mut addresses = Vec::new();
        for socket in &self.bound {
            let address = socket.local_addr().map_err(StartError::System)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            addresses.clone_from(&self.listen);
        }
        if addresses.is_empty() {
            addresses.push((Ipv4Addr::UNSPECIFIED, 0).into());
        }
        if addresses.len() > LISTEN_MAX {
            return Err(StartError::Setting("a node listens on 8 addresses at the most"));
        }
        Ok(addresses)
    }

    /// The addresses to be advertised, by family, with the port of an address that the node listens on where none is given.
    fn set_advertised(&mut self, addresses: &[SocketAddr]) -> Result<(), StartError> {
        for mut address in std::mem::take(&mut self.advertise) {
            if address.port() == 0 {
                let takes = |listen: &&SocketAddr| check_one(**listen, (address.ip(), 1).into()).is_none();
                let listen = addresses.iter().find(takes).or(addresses.first());
                address.set_port(listen.map_or(0, SocketAddr::port));
            }
            let twice = match address {
                SocketAddr::V4(v4) => self.config.advertise_v4.replace(v4).is_some(),
                SocketAddr::V6(v6) => self.config.advertise_v6.replace(v6).is_some(),
            };
            if twice {
                return Err(StartError::Setting("a node advertises one address of each family"));
            }
        }
        Ok(())
    }

    /// Whether the settings go together.
    fn check(&self) -> Result<(), StartError> {
        let recorded_with = |what: bool| self.record.is_some() && what;
        Err(StartError::Setting(match () {
            () if self.store.is_some() && self.disk.is_some() => "a node has one store: its own or the one on disk",
            () if recorded_with(self.store.is_some() || self.disk.is_some()) => {
                "only a node with the store in memory can be recorded"
            }
            () if recorded_with(self.workers.is_some_and(|workers| workers != 1)) => {
                "only a node with one worker can be recorded"
            }
            () if self.workers.is_some_and(|workers| !(1..=WORKERS_MAX).contains(&workers)) => {
                "a node has 1 to 64 workers"
            }
            () if self.bound.len() > WORKERS_MAX * LISTEN_MAX => "a node has 64 workers and 8 addresses at the most",
            () if self.socket_batch == 0 => "a batch of datagrams must hold at least one",
            () => return Ok(()),
        }))
    }

    fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let alone = self.config.role == Role::Client || self.record.is_some() || !cfg!(target_os = "linux");
        let on = |address: Option<SocketAddr>| {
            self.bound.iter().filter(|socket| socket.local_addr().ok() == address).count()
        };
        let bound = self.bound.iter().map(|socket| on(socket.local_addr().ok())).max();
        self.workers.or(bound).unwrap_or_else(|| if alone { 1 } else { cores() })
    }

    /// The configuration of one worker. Their tokens are good with each other, and one of them refreshes and checks the table
    /// for all.
    fn worker_config(&self, crew: &Crew, index: usize, token_secret: [u8; 16]) -> Config {
        let refresh_interval = if index == 0 { self.config.refresh_interval } else { A_YEAR };
        let check_interval = if index == 0 { self.config.check_interval } else { Duration::ZERO };
        // One alone takes it from its seed.
        let shared_secret = (crew.lane(index) != 0).then_some(token_secret);
        let token_secret = self.config.token_secret.or(shared_secret);
        Config { lane: crew.lane(index), token_secret, refresh_interval, check_interval, ..self.config.clone() }
    }

    fn open_store(&mut self, limits: &Limits) -> Result<Box<dyn Store + Send>, StartError> {
        Ok(match (self.store.take(), self.disk.take()) {
            (Some(store), _) => store,
            (None, Some(file)) => Box::new(DiskStore::open(file, limits.clone(), Moment::system(FIRST))?),
            (None, None) => Box::new(MemoryStore::new(limits.clone())),
        })
    }

    fn recorder(&mut self, header: &Header) -> Result<Option<Recorder>, StartError> {
        let record =
            |file: PathBuf| Recorder::create(&file, header).map_err(|source| StartError::Record { file, source });
        self.record.take().map(record).transpose()
    }
}

/// The defaults of a store, with room for several of the largest values under a key.
fn default_limits(id: NodeId, value_max: u32) -> Limits {
    let limits = Limits::new(id);
    let bytes_per_key = limits.bytes_per_key.max(4 * u64::from(value_max));
    Limits { bytes_per_key, bytes: limits.bytes.max(bytes_per_key), ..limits }
}

/// A random id.
fn random_id() -> Result<NodeId, StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System(error.into()))?;
    Ok(NodeId::from_bytes(bytes))
}
