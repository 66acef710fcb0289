//! What was read from a socket at a time.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{LazyLock, Mutex, PoisonError};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::net::UdpSocket;

use super::{DATAGRAM, Local};

/// Room for datagrams that the system has joined: as much as an IP packet holds.
const JOINED: usize = 64 << 10;

/// Where a datagram came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// Which of the worker's sockets it came to.
    pub(crate) socket: u8,
    /// The address of this host that it was sent to, where the socket listens on many: its answer must come from there.
    pub(crate) to: Option<IpAddr>,
}

impl Source {
    /// Where it came to, and where its answer must come from.
    pub(crate) fn local(&self) -> Local {
        Local { socket: self.socket, ip: self.to }
    }
}

/// Memory that nobody reads to now. Nodes of a process share it: a node that waits has none.
static IDLE: Mutex<Vec<Memory>> = Mutex::new(Vec::new());
/// How much of it is kept: a little more than can be in use at a time.
static KEPT: LazyLock<usize> = LazyLock::new(|| 2 + std::thread::available_parallelism().map_or(1, usize::from));

/// One buffer for each read of a batch. Pages that nothing is read to cost nothing.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    room: usize,
    /// What is known of each read.
    metas: Vec<RecvMeta>,
}

impl Memory {
    fn take(room: usize) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter().rposition(|memory| memory.room == room) {
            Some(place) => idle.swap_remove(place),
            None => Self { bytes: vec![0; room * BATCH_SIZE], room, metas: vec![RecvMeta::default(); BATCH_SIZE] },
        }
    }

    fn give_back(self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < *KEPT {
            idle.push(self);
        }
    }
}

/// Datagrams as they were read.
pub(crate) struct Incoming {
    memory: Memory,
    filled: usize,
    socket: u8,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        std::mem::take(&mut self.memory).give_back();
    }
}

impl Incoming {
    /// For a socket that joins up to so many datagrams.
    pub(super) fn new(segments: usize) -> Self {
        let room = if segments > 1 { JOINED } else { DATAGRAM };
        Self { memory: Memory::take(room), filled: 0, socket: 0 }
    }

    /// Notes which socket they were read from.
    pub(super) fn came_to(&mut self, socket: u8) {
        self.socket = socket;
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Reads a batch, and says how many bytes that was.
    pub(super) fn read(&mut self, state: &UdpSocketState, udp: &UdpSocket) -> io::Result<usize> {
        let mut chunks = self.memory.bytes.chunks_exact_mut(self.memory.room);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = state.recv(udp.into(), &mut buffers, &mut self.memory.metas)?;
        Ok(self.memory.metas[..self.filled].iter().map(|meta| meta.len).sum())
    }

    /// Whether there may be more to read.
    pub(super) fn is_full(&self) -> bool {
        self.filled == BATCH_SIZE
    }

    /// The datagrams, in the order in which they came.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (Source, &[u8])> {
        let read = self.memory.bytes.chunks_exact(self.memory.room).zip(&self.memory.metas[..self.filled]);
        read.flat_map(|(buffer, meta)| {
            let source = Source { from: meta.addr, socket: self.socket, to: meta.dst_ip };
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            // An empty datagram is one too: it is counted where it is refused.
            let empty = bytes.is_empty().then_some(bytes);
            empty.into_iter().chain(bytes.chunks(meta.stride.max(1))).map(move |datagram| (source, datagram))
        })
    }
}
