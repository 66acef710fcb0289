//! Paths that carry small datagrams only: what the system says of them, what the log does, and what other workers hear.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kad_core::PathLimits;
use kad_record::Input;
use kad_wire::Instant;

use super::Worker;
use super::crew::Note;
use crate::socket::payload;

/// A path is not spoken of again before this.
const QUIET: Duration = Duration::from_secs(600);
/// Paths that are remembered as spoken of. Who has more of them has read enough.
const REMEMBERED: usize = 256;

/// Small paths that the log has.
#[derive(Debug, Default)]
pub(super) struct SmallPaths(BTreeMap<SocketAddr, Instant>);

impl SmallPaths {
    /// Whether a path is news.
    fn is_new(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.0.retain(|_, said| now.saturating_since(*said) < QUIET);
        if self.0.contains_key(&address) || self.0.len() >= REMEMBERED {
            return false;
        }
        self.0.insert(address, now);
        true
    }
}

impl Worker {
    /// Takes in what the system, or the silence of peers, has told about paths. Returns whether there may be something to send.
    pub(super) fn learn_paths(&mut self) -> bool {
        let told = self.parts.socket.take_too_large();
        for (address, bytes) in &told {
            let limits = PathLimits { out: u16::try_from(*bytes).ok(), into: None };
            self.path_takes(*address, limits);
            self.parts.crew.tell_others(self.parts.index, || Note::Path(*address, limits));
        }
        while let Some((contact, limits)) = self.node().poll_small_path() {
            self.tell_small_path(contact.endpoint.into(), limits);
        }
        !told.is_empty()
    }

    /// Notes what passes on the way to an address.
    pub(super) fn path_takes(&mut self, address: SocketAddr, limits: PathLimits) {
        let now = self.now();
        self.node().path_takes(now, address, limits);
        self.note(now, || Input::PathTakes { address: address.into(), out: limits.out, into: limits.into });
    }

    fn tell_small_path(&mut self, address: SocketAddr, mut limits: PathLimits) {
        let now = self.now();
        if !self.small_paths.is_new(now, address) {
            return;
        }
        // A router may have told the system more exactly what passes than the silence of the peer does.
        let known = payload(address).and_then(|bytes| u16::try_from(bytes).ok());
        if let (Some(out), Some(bytes)) = (limits.out, known.filter(|bytes| *bytes < DATAGRAM_MAX))
            && bytes > out
        {
            limits.out = Some(bytes);
            self.path_takes(address, limits);
        }
        let bytes = limits.out.into_iter().chain(limits.into).min();
        tracing::info!(peer = %address, bytes, "the path takes small datagrams only: values travel in more and smaller ones");
        self.parts.crew.tell_others(self.parts.index, || Note::Path(address, limits));
    }
}

const DATAGRAM_MAX: u16 = kad_wire::limits::DATAGRAM_MAX as u16;
