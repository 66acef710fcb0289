//! The file format: a magic number, a header, and entries, each with its length (four bytes, little-endian) in postcard.

use core::net::{SocketAddrV4, SocketAddrV6};
use core::time::Duration;
use std::io::{self, Read, Write};

use kad_core::{Capacity, Config, Role};
use kad_store::Limits;
use kad_wire::{Digest, Endpoint, Instant, ItemHeader, Key, NetworkId, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::Command;

/// The magic number. The last byte is the version of the format.
const MARK: [u8; 8] = *b"kadrec\0\x05";
/// The maximum length of a frame: a value of 64 MiB with its metadata.
const FRAME_MAX: u32 = 65 << 20;

/// The error of reading or replaying a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not a recording, or has another version.
    #[error("this is not a recording of this version")]
    Mark,
    /// An entry is invalid.
    #[error("entry {entry} is damaged")]
    Damaged {
        /// Its number, from 1; 0 for the header.
        entry: u64,
    },
    /// The node's outputs differ from the recorded ones.
    #[error("the node's outputs differ from entry {entry} on: {input}")]
    Diverged {
        /// Its number, from 1.
        entry: u64,
        /// The input.
        input: String,
    },
}

/// The parameters of a node.
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
    /// Returns the parameters of a node.
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

    /// Returns whether the sizes are plausible: a damaged file must not exhaust memory.
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

/// An input of a node, its store or its upkeep.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A datagram arrived.
    Datagram {
        /// Its sender.
        from: Endpoint,
        /// The number of the node's address that received it.
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
    /// Expired items were dropped.
    Expire,
    /// Datagrams were polled until there were no more or the queue was full.
    Transmit {
        /// The number of datagrams sent.
        datagrams: u32,
        /// Whether the queue was full.
        full: bool,
    },
    /// An operation was started.
    Start(Command),
    /// The operation with this number was cancelled.
    Cancel(u32),
    /// The node published a value.
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
        /// The digest of one of them; `None`: all.
        digest: Option<Digest>,
    },
    /// The node began to leave.
    Leave {
        /// The deadline.
        until: Instant,
    },
    /// The maximum datagram sizes to an address and from it became known.
    PathTakes {
        /// The address.
        address: Endpoint,
        /// The size to it.
        out: Option<u16>,
        /// The size from it.
        into: Option<u16>,
    },
    /// A value was pinned outside the store.
    Pin {
        /// Its digest.
        digest: Digest,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A pinned value was released.
    Unpin {
        /// Its digest.
        digest: Digest,
    },
    /// All contacts were pinged because the host's addresses changed.
    AskContacts,
}

/// An input with its time, and the digest of the outputs before it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The time of the node's clock.
    pub at: Instant,
    /// The input.
    pub input: Input,
    /// The digest of all outputs so far.
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

    /// Returns the next entry; `None` at the end. An incomplete last entry of a killed node is not an error.
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
        // In pieces, so that a wrong length cannot allocate more memory than the file fills.
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
