//! What the worker shows of its node.

use kad_store::Store as _;
use std::net::SocketAddr;

use super::Worker;
use crate::error::Error;
use crate::report::{Peer, Stats};

impl Worker {
    /// How many contacts there are, once the first join has ended.
    pub(super) fn joined(&mut self) -> Result<usize, Error> {
        match self.node().status().contacts {
            0 if self.parts.has_network => Err(Error::Unreachable),
            contacts => Ok(contacts),
        }
    }

    pub(super) fn peers(&mut self) -> Vec<Peer> {
        let now = self.now();
        let node = self.node();
        let mut peers: Vec<_> = node
            .contacts()
            .map(|known| Peer {
                contact: known.contact,
                bucket: known.row,
                rtt: known.rtt,
                idle: now.saturating_since(known.seen),
                failures: known.failures,
            })
            .collect();
        peers.sort_by_key(|peer| (peer.bucket, peer.contact));
        peers
    }

    pub(super) fn stats(&mut self) -> Stats {
        let status = self.node().status();
        let usage = self.parts.store.usage();
        Stats {
            id: status.id,
            address: self.parts.socket.local_addr(),
            observed: status.observed.map(SocketAddr::from),
            uptime: self.parts.started.elapsed(),
            joined: self.is_settled() && (!self.parts.has_network || status.contacts > 0),
            contacts: status.contacts,
            buckets: status.buckets,
            operations: status.operations,
            transfers: status.transfers,
            items: usage.items,
            bytes: usage.bytes,
            evicted: usage.evicted,
            store_failed: usage.failed,
            upkeep: *self.upkeep.stats(),
            memory: self.parts.slabs.size(),
            core: *self.node().stats(),
            socket: *self.parts.socket.stats(),
            received: vec![self.node().stats().datagrams_in],
            notes_dropped: self.parts.crew.dropped(),
        }
    }
}
