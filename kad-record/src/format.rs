//! The file: a mark, a header, and entries, each as its length (four bytes, little-endian) and postcard.

use core::net::{SocketAddrV4, SocketAddrV6};
use core::time::Duration;
use std::io::{self, Read, Write};

use kad_core::{Capacity, Config, Role};
use kad_store::Limits;
use kad_wire::{Digest, Endpoint, Instant, ItemHeader, Key, NetworkId, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::Command;

/// What a recording begins with. The last byte is the version of the format.
const MARK: [u8; 8] = *b"kadrec\0\x05";
/// No frame is longer: a value of 64 MiB and what belongs to it.
const FRAME_MAX: u32 = 65 << 20;

/// Why a recording cannot be read or repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no recording, or of another version.
    #[error("this is no recording of this version")]
    Mark,
    /// An entry makes no sense.
    #[error("entry {entry} is damaged")]
    Damaged {
        /// The how many-th, from 1; 0 for the header.
        entry: u64,
    },
    /// What the node did differs from what it did then.
    #[error("from entry {entry} on the node does something else: {input}")]
    Diverged {
        /// The how many-th, from 1.
        entry: u64,
        /// What it was given.
        input: String,
    },
}

/// What a node is made of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The core's version.
    pub version: String,
    pub(crate) id: NodeId,
    pub(crate) seed: [u8; 32],
    network: NetworkId,
    client: bool,
    k: u8,
    alpha: u8,
    proximity_routing: bool,
    lane: u8,
    families: (bool, bool),
    advertise: (Option<SocketAddrV4>, Option<SocketAddrV6>),
    receive: (usize, u16),
    value_max: u32,
    store_width: u8,
    timeouts: [Duration; 3],
    attempts: u8,
    refresh_interval: Duration,
    check_interval: Duration,
    token_secret: Option<[u8; 16]>,
    capacity: [usize; 8],
    items: usize,
    bytes: u64,
    values_per_key: usize,
    bytes_per_key: u64,
    cache_ttl_ms: u32,
    replicate: Duration,
    republish: Duration,
}

impl Header {
    /// Describes a node.
    pub fn new(id: NodeId, seed: [u8; 32], config: &Config, capacity: Capacity, limits: &Limits) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            id,
            seed,
            network: config.network,
            client: config.role == Role::Client,
            k: config.k,
            alpha: config.alpha,
            proximity_routing: config.proximity_routing,
            lane: config.lane,
            families: (config.ipv4, config.ipv6),
            advertise: (config.advertise_v4, config.advertise_v6),
            receive: (config.receive_max, config.receive_window),
            value_max: config.value_max,
            store_width: config.store_width,
            timeouts: [config.initial_timeout, config.min_timeout, config.max_timeout],
            attempts: config.attempts,
            refresh_interval: config.refresh_interval,
            check_interval: config.check_interval,
            token_secret: config.token_secret,
            capacity: [
                capacity.rows,
                capacity.spares,
                capacity.operations,
                capacity.operations_max,
                capacity.candidates,
                capacity.items,
                capacity.transfers,
                capacity.arena_rows,
            ],
            items: limits.items,
            bytes: limits.bytes,
            values_per_key: limits.values_per_key,
            bytes_per_key: limits.bytes_per_key,
            cache_ttl_ms: limits.cache_ttl_ms,
            replicate: limits.replicate,
            republish: limits.republish,
        }
    }

    /// Whether a node can be made of it without taking all memory: a damaged file must not.
    fn is_sensible(&self) -> bool {
        let most = [256, 64, 1 << 16, 1 << 16, 1 << 10, 32, 1 << 16, 64];
        self.capacity.iter().zip(most).all(|(have, most)| *have <= most) && self.value_max <= 64 << 20
    }

    pub(crate) fn config(&self) -> Config {
        let [initial_timeout, min_timeout, max_timeout] = self.timeouts;
        Config {
            network: self.network,
            role: if self.client { Role::Client } else { Role::Server },
            k: self.k,
            alpha: self.alpha,
            proximity_routing: self.proximity_routing,
            lane: self.lane,
            ipv4: self.families.0,
            ipv6: self.families.1,
            advertise_v4: self.advertise.0,
            advertise_v6: self.advertise.1,
            receive_max: self.receive.0,
            receive_window: self.receive.1,
            value_max: self.value_max,
            store_width: self.store_width,
            initial_timeout,
            min_timeout,
            max_timeout,
            attempts: self.attempts,
            refresh_interval: self.refresh_interval,
            check_interval: self.check_interval,
            token_secret: self.token_secret,
        }
    }

    pub(crate) fn capacity(&self) -> Capacity {
        let [rows, spares, operations, operations_max, candidates, items, transfers, arena_rows] = self.capacity;
        Capacity { rows, spares, operations, operations_max, candidates, items, transfers, arena_rows }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            id: self.id,
            items: self.items,
            bytes: self.bytes,
            values_per_key: self.values_per_key,
            bytes_per_key: self.bytes_per_key,
            cache_ttl_ms: self.cache_ttl_ms,
            replicate: self.replicate,
            republish: self.republish,
        }
    }
}

/// Something that was done with a node, its store or its upkeep.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A datagram came.
    Datagram {
        /// From whom.
        from: Endpoint,
        /// The address of the node that it came to, as its owner numbers them.
        via: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Time had passed.
    Timeout,
    /// An event was polled, and there was one.
    Event,
    /// The upkeep was driven.
    Upkeep,
    /// What had expired was dropped.
    Expire,
    /// Datagrams were polled: so many, and then there were no more, or the queue was full.
    Transmit {
        /// How many were sent.
        datagrams: u32,
        /// Whether the queue was full.
        full: bool,
    },
    /// An operation was started.
    Start(Command),
    /// An operation was cancelled; which, as its number.
    Cancel(u32),
    /// A value of the node's own was published.
    Publish {
        /// Its key.
        key: Key,
        /// Its header.
        header: ItemHeader,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Values were forgotten.
    Forget {
        /// Their key.
        key: Key,
        /// Which of them; all, if none is named.
        digest: Option<Digest>,
    },
    /// The node began to leave.
    Leave {
        /// Until when it may take.
        until: Instant,
    },
    /// The largest datagrams that pass became known, to an address and from it.
    PathTakes {
        /// Whose.
        address: Endpoint,
        /// To it.
        out: Option<u16>,
        /// From it.
        into: Option<u16>,
    },
    /// A value was kept beside the store.
    Pin {
        /// Its digest.
        digest: Digest,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A value was no longer needed beside the store.
    Unpin {
        /// Its digest.
        digest: Digest,
    },
    /// All contacts were asked whether they are there: the host had moved.
    AskContacts,
}

/// An input with its time, and what had been sent and said when it was dealt with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the node's clock.
    pub at: Instant,
    /// What.
    pub input: Input,
    /// Fingerprint of all outputs up to then.
    pub outputs: u64,
}

/// Writes a recording, entry by entry.
pub struct Writer<W>(W);

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(&MARK)?;
        write(&mut out, header)?;
        Ok(Self(out))
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// Those of the output.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        write(&mut self.0, entry)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn write(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(&bytes)
}

/// Reads a recording, entry by entry.
pub struct Reader<R> {
    input: R,
    entries: u64,
}

impl<R: Read> Reader<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(mut input: R) -> Result<(Self, Header), Error> {
        let mut mark = [0; MARK.len()];
        input.read_exact(&mut mark).map_err(|_| Error::Mark)?;
        if mark != MARK {
            return Err(Error::Mark);
        }
        let mut reader = Self { input, entries: 0 };
        let header: Option<Header> = reader.frame()?;
        let header = header.filter(Header::is_sensible).ok_or(Error::Damaged { entry: 0 })?;
        Ok((reader, header))
    }

    /// The next entry; `None` at the end. A last entry that was not written whole, because the node died, is no error.
    ///
    /// # Errors
    /// [`Error`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.entries += 1;
        self.frame()
    }

    fn frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let mut len = [0; 4];
        if !self.fill(&mut len)? {
            return Ok(None);
        }
        let damaged = Error::Damaged { entry: self.entries };
        let len = u32::from_le_bytes(len);
        if len > FRAME_MAX {
            return Err(damaged);
        }
        // Not all at once: a wrong length must not take memory that the file does not fill.
        let mut bytes = Vec::new();
        self.input.by_ref().take(len.into()).read_to_end(&mut bytes)?;
        if bytes.len() < len as usize {
            return Ok(None);
        }
        match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) => Ok(Some(value)),
            _ => Err(damaged),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, Error> {
        match self.input.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
