//! Writing a recording.

use core::net::SocketAddr;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use kad_core::Via;
use kad_wire::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::format::{Entry, Header, Input, Writer};

/// The digest of a node's outputs.
#[derive(Default)]
pub(crate) struct Outputs(Xxh3);

impl Outputs {
    pub(crate) fn sent(&mut self, to: SocketAddr, via: Via, datagram: &[u8]) {
        let endpoint = kad_wire::Endpoint::from(to);
        self.0.update(&[via.0]);
        self.0.update(&endpoint.ip);
        self.0.update(&endpoint.port.to_le_bytes());
        self.0.update(datagram);
    }

    pub(crate) fn said(&mut self, number: u32) {
        self.0.update(&number.to_le_bytes());
    }

    pub(crate) fn so_far(&self) -> u64 {
        self.0.digest()
    }
}

/// Writes the inputs of a node to a file. Callers report outputs first, then the input that led to them.
pub struct Recorder {
    file: Writer<BufWriter<File>>,
    outputs: Outputs,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Begins a recording in a new file, which only its user can read.
    ///
    /// # Errors
    /// The system's error; the file must not exist.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Writer::new(BufWriter::new(options.open(path)?), header)?;
        Ok(Self { file, outputs: Outputs::default(), failed: None })
    }

    /// Records a sent datagram and the node's address that sent it.
    pub fn sent(&mut self, to: SocketAddr, via: Via, datagram: &[u8]) {
        self.outputs.sent(to, via, datagram);
    }

    /// Records a returned number: that of an operation, or a count.
    pub fn said(&mut self, number: u32) {
        self.outputs.said(number);
    }

    /// Records an input. After a failure writes nothing more.
    pub fn note(&mut self, at: Instant, input: Input) {
        if self.failed.is_none() {
            let entry = Entry { at, input, outputs: self.outputs.so_far() };
            self.failed = self.file.entry(&entry).err();
        }
    }

    /// Flushes the buffer, and returns the failure if there was one.
    ///
    /// # Errors
    /// The system's error if the file could not be written.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.file.flush(),
        }
    }
}
