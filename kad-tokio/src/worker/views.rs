//! What the worker shows of its node.

use kad_store::Store as _;
use std::net::SocketAddr;
use std::time::Duration;

use kad_wire::{Digest, Key};

use super::Worker;
use crate::error::Error;
use crate::report::{Duplicate, Held, HeldPage, Peer, Stats};

/// Items that are looked at for one page: the node's thread has other things to do.
const LOOKED_AT: usize = 4096;

impl Worker {
    /// How many contacts there are, once the first join has ended.
    pub(super) fn joined(&mut self) -> Result<usize, Error> {
        match self.node().status().contacts {
            0 if self.parts.reach.has_network() => Err(Error::Unreachable),
            contacts => Ok(contacts),
        }
    }

    pub(super) fn peers(&mut self) -> Vec<Peer> {
        let now = self.now();
        let node = self.node();
        let mut peers: Vec<_> = node.contacts().map(|known| Peer::new(&known, now)).collect();
        peers.sort_by_key(|peer| (peer.bucket, peer.contact));
        peers
    }

    /// Values that the store holds, in the order of their keys, from after a place on. `own`: those that this node publishes.
    pub(super) fn held(&self, after: Option<(Key, Digest)>, limit: usize, own: bool) -> HeldPage {
        let now = self.now();
        let mut page = HeldPage { values: Vec::new(), next: after };
        for _ in 0..LOOKED_AT {
            let Some(item) = self.parts.store.next_item(now, page.next.as_ref()) else {
                page.next = None;
                break;
            };
            if page.values.len() == limit {
                break;
            }
            page.next = Some(item.place());
            if item.own || !own {
                page.values.push(held(&item));
            }
        }
        page
    }

    pub(super) fn stats(&mut self) -> Stats {
        let (now, status) = (self.now(), self.node().status());
        let (usage, reach) = (self.parts.store.usage(), self.parts.reach);
        Stats {
            id: status.id,
            address: self.parts.listen[0],
            addresses: self.parts.listen.to_vec(),
            observed: status.observed.map(SocketAddr::from),
            duplicate: status.duplicate.map(|duplicate| Duplicate {
                address: duplicate.endpoint.into(),
                idle: now.saturating_since(duplicate.seen),
            }),
            uptime: self.parts.clock.uptime(),
            joined: reach.bootstrap == 0 || (self.is_settled() && status.contacts > 0),
            bootstrap: reach.bootstrap,
            remembered: reach.remembered,
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
            socket: self.parts.socket.stats(),
            received: vec![self.node().stats().datagrams_in],
            calls: 0,
            calls_refused: 0,
            notes_dropped: self.parts.crew.dropped(),
        }
    }
}

fn held(item: &kad_store::Listed) -> Held {
    Held {
        key: item.key,
        digest: item.header.digest,
        item_type: item.header.item_type,
        len: item.header.total_len as usize,
        age: Duration::from_millis(item.header.age_ms.into()),
        ttl: Duration::from_millis(item.header.ttl_ms.into()),
        own: item.own,
    }
}
