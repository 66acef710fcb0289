//! What an owner decides about its node.

use core::fmt;
use core::net::{SocketAddrV4, SocketAddrV6};
use core::time::Duration;

use kad_wire::limits::{DATAGRAM_MAX, VALUE_MAX};
use kad_wire::{Endpoint, MaxDatagram, NetworkId, RequestFlags, Scope};

/// Whether a node serves others.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Role {
    /// A full member: answers requests, keeps values, stands in other nodes' tables.
    #[default]
    Server,
    /// Only asks. It answers nobody but the holders that pull what it offers them, and nobody keeps it as a contact. For
    /// nodes that sleep, live for one command, or sit behind a NAT.
    Client,
}

/// Settings of a [`Node`](crate::Node). All nodes of a network must agree on `network`, and should on `k`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which network this node belongs to; datagrams of others are ignored.
    pub network: NetworkId,
    /// Whether it serves others.
    pub role: Role,
    /// Contacts per bucket, and holders per value (paper: k). 1 to 64, and at most a table row and a shortlist.
    pub k: u8,
    /// Requests of one lookup that wait for an answer at a time (paper: alpha).
    pub alpha: u8,
    /// Whether a lookup first asks those who answer fast, among contacts that bring it about as far: a contact that is nearer
    /// to the target by one bit may take the usual round trip longer. Proximity routing (Dabek et al., NSDI
    /// 2004). It changes the order, and not who must have answered in the end.
    pub proximity_routing: bool,
    /// Which of its owner's workers this node is; echoed by everyone who answers it.
    pub lane: u8,
    /// Whether this node's socket reaches IPv4.
    pub ipv4: bool,
    /// Whether this node's socket reaches IPv6.
    pub ipv6: bool,
    /// The IPv4 address at which others are to list this node, where that is not the one from which it sends: behind a port
    /// that is forwarded, say. They list it when it answers there.
    pub advertise_v4: Option<SocketAddrV4>,
    /// The same for IPv6.
    pub advertise_v6: Option<SocketAddrV6>,
    /// Largest UDP payload that this node takes, in bytes: 512 to 4080. More than 1232 makes pulled values cheaper on
    /// paths that carry it.
    pub receive_max: usize,
    /// Datagrams that the socket can hold while nobody reads it. Everything that this node asks for stays within it.
    pub receive_window: u16,
    /// Largest value that this node takes or finds, in bytes; at most a row of the arena.
    pub value_max: u32,
    /// Holders that a store of values larger than a datagram serves at a time.
    pub store_width: u8,
    /// When an answer is late if nothing is known of the path.
    pub initial_timeout: Duration,
    /// An answer is never late before this.
    pub min_timeout: Duration,
    /// An answer is always late after this.
    pub max_timeout: Duration,
    /// How often one request is sent before its addressee counts as failed. 1 to 4.
    pub attempts: u8,
    /// How long a bucket may go without a lookup before it is refreshed (paper, section 2.3).
    pub refresh_interval: Duration,
    /// Pauses, give or take a quarter, between checks of the contact that was seen longest ago, unless that was less than four
    /// of them ago. So a node that nobody uses does not tell others of nodes that are gone. Zero: never, which is the default;
    /// a client never does.
    pub check_interval: Duration,
    /// The secret behind address tokens. Workers of one node must share it (and the origin of their clocks); `None` takes
    /// it from the seed.
    pub token_secret: Option<[u8; 16]>,
}

impl Config {
    /// The defaults: a server with the paper's k and alpha, for both families.
    pub const DEFAULT: Self = Self {
        network: NetworkId(0),
        role: Role::Server,
        k: 20,
        alpha: 3,
        proximity_routing: true,
        lane: 0,
        ipv4: true,
        ipv6: true,
        advertise_v4: None,
        advertise_v6: None,
        receive_max: DATAGRAM_MAX,
        receive_window: 256,
        value_max: VALUE_MAX as u32,
        store_width: 8,
        initial_timeout: Duration::from_millis(250),
        min_timeout: Duration::from_millis(50),
        max_timeout: Duration::from_secs(2),
        attempts: 2,
        refresh_interval: Duration::from_secs(3600),
        check_interval: Duration::ZERO,
        token_secret: None,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a node cannot be made from a configuration and a memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The seed is all zeros, as it is when nobody filled it.
    ZeroSeed,
    /// `k` is 0 or above 64, or more than a table row or a shortlist of this memory holds.
    K,
    /// `alpha` is 0 or more than a shortlist of this memory holds.
    Alpha,
    /// `attempts` is not 1 to 4.
    Attempts,
    /// `value_max` is more than a row of this memory's arena, or the arena has no row.
    ValueMax,
    /// `receive_window` is 0.
    ReceiveWindow,
    /// A timeout is 0, or they are not in ascending order.
    Timeouts,
    /// Neither `ipv4` nor `ipv6`.
    Families,
    /// An address to be advertised is none that others could use, or the node is a client.
    Advertise,
    /// A slice of the memory is empty, or not a whole number of rows.
    Shape,
    /// The memory has more cells than a tag can name: fewer operations, or shorter shortlists.
    TooManyCells,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroSeed => "the seed is all zeros: fill it from a source of entropy",
            Self::K => "k must be 1 to 64 and fit a table row and a shortlist of this memory",
            Self::Alpha => "alpha must be at least 1 and fit a shortlist of this memory",
            Self::Attempts => "attempts must be 1 to 4",
            Self::ValueMax => "value_max must fit a row of the memory's arena",
            Self::ReceiveWindow => "receive_window must be at least 1",
            Self::Timeouts => "timeouts must be positive, with min <= initial <= max",
            Self::Families => "at least one of ipv4 and ipv6 must be set",
            Self::Advertise => {
                "a server can advertise an address with a port, neither unspecified, multicast nor link-local; a client none"
            }
            Self::Shape => "every slice of the memory must hold a whole, positive number of rows",
            Self::TooManyCells => "the memory has more than 65,536 cells: fewer operations or shorter shortlists",
        })
    }
}

impl core::error::Error for ConfigError {}

/// The configuration as the node keeps it: checked, and all zero when empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) network: NetworkId,
    pub(crate) client: bool,
    pub(crate) k: u8,
    pub(crate) alpha: u8,
    pub(crate) proximity_routing: bool,
    pub(crate) lane: u8,
    pub(crate) families: Families,
    /// Where this node is to be listed, by family; nowhere else if there is one.
    pub(crate) advertised: [Endpoint; 2],
    pub(crate) receive_max: u16,
    pub(crate) receive_window: u16,
    pub(crate) value_max: u32,
    pub(crate) store_width: u8,
    pub(crate) attempts: u8,
    pub(crate) initial_timeout_us: u64,
    pub(crate) min_timeout_us: u64,
    pub(crate) max_timeout_us: u64,
    pub(crate) refresh_us: u64,
    /// Zero: contacts are not checked for the sake of it.
    pub(crate) check_us: u64,
}

impl Settings {
    pub(crate) const EMPTY: Self = Self {
        network: NetworkId(0),
        client: false,
        k: 0,
        alpha: 0,
        proximity_routing: false,
        lane: 0,
        families: Families { v4: false, v6: false },
        advertised: [Endpoint::UNSPECIFIED; 2],
        receive_max: 0,
        receive_window: 0,
        value_max: 0,
        store_width: 0,
        attempts: 0,
        initial_timeout_us: 0,
        min_timeout_us: 0,
        max_timeout_us: 0,
        refresh_us: 0,
        check_us: 0,
    };

    /// Checks everything that does not depend on the memory.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let settings = Self {
            network: config.network,
            client: config.role == Role::Client,
            k: config.k,
            alpha: config.alpha,
            proximity_routing: config.proximity_routing,
            lane: config.lane,
            families: Families { v4: config.ipv4, v6: config.ipv6 },
            advertised: [config.advertise_v4.map(Into::into), config.advertise_v6.map(Into::into)]
                .map(|address: Option<core::net::SocketAddr>| address.map_or(Endpoint::UNSPECIFIED, Endpoint::from)),
            receive_max: MaxDatagram::of(config.receive_max).bytes() as u16,
            receive_window: config.receive_window,
            value_max: config.value_max,
            store_width: config.store_width.max(1),
            attempts: config.attempts,
            initial_timeout_us: micros(config.initial_timeout),
            min_timeout_us: micros(config.min_timeout),
            max_timeout_us: micros(config.max_timeout),
            refresh_us: micros(config.refresh_interval).max(1_000_000),
            check_us: match config.role {
                Role::Server => micros(config.check_interval),
                Role::Client => 0,
            },
        };
        let timeouts = [settings.min_timeout_us, settings.initial_timeout_us, settings.max_timeout_us];
        if !(1..=64).contains(&config.k) {
            Err(ConfigError::K)
        } else if config.alpha == 0 {
            Err(ConfigError::Alpha)
        } else if !(1..=4).contains(&config.attempts) {
            Err(ConfigError::Attempts)
        } else if config.receive_window == 0 {
            Err(ConfigError::ReceiveWindow)
        } else if settings.min_timeout_us == 0 || !timeouts.is_sorted() {
            Err(ConfigError::Timeouts)
        } else if !(config.ipv4 || config.ipv6) {
            Err(ConfigError::Families)
        } else if !settings.advertises_well() {
            Err(ConfigError::Advertise)
        } else {
            Ok(settings)
        }
    }

    /// The flags of this node's requests. Who advertises an address is not to be listed at the one from which it sends.
    pub(crate) fn request_flags(&self) -> u8 {
        let client = if self.client || self.advertises() { RequestFlags::CLIENT } else { 0 };
        client | self.families.flags()
    }

    fn advertises(&self) -> bool {
        self.advertised.iter().any(|address| *address != Endpoint::UNSPECIFIED)
    }

    fn advertises_well(&self) -> bool {
        let well = |address: &Endpoint| address.is_usable() && address.scope() != Scope::Link;
        let mut given = self.advertised.iter().filter(|address| **address != Endpoint::UNSPECIFIED);
        given.all(|address| well(address) && !self.client)
    }

    /// The address at which a peer is to list this node: of the peer's family, or else the other one.
    pub(crate) fn advertised_to(&self, peer: &Endpoint) -> Option<Endpoint> {
        let able = || self.advertised.iter().filter(|address| address.is_for(peer));
        able().find(|address| address.is_v4() == peer.is_v4()).or_else(|| able().next()).copied()
    }

    pub(crate) fn room(&self) -> MaxDatagram {
        MaxDatagram::of(self.receive_max.into())
    }
}

/// Address families that somebody reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl Families {
    /// What a requester's flags ask for; neither bit means both.
    pub(crate) fn wanted(flags: RequestFlags) -> Self {
        let (v4, v6) = (flags.has(RequestFlags::WANT_V4), flags.has(RequestFlags::WANT_V6));
        Self { v4: v4 || !v6, v6: v6 || !v4 }
    }

    pub(crate) fn flags(self) -> u8 {
        let v4 = if self.v4 { RequestFlags::WANT_V4 } else { 0 };
        v4 | if self.v6 { RequestFlags::WANT_V6 } else { 0 }
    }

    pub(crate) fn reach(self, endpoint: &Endpoint) -> bool {
        if endpoint.is_v4() { self.v4 } else { self.v6 }
    }
}
