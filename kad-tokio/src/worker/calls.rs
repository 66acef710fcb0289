//! Calls of handles: each starts operations, or is answered at once.

use std::net::SocketAddr;
use std::time::Instant as Clock;

use kad_wire::{Contact, Instant, ItemHeader, Key, Query, StoreMode};

use super::Worker;
use crate::command::{Answer, Call, CallId, Command, Publication};
use crate::error::Error;
use crate::report::{Copies, Peer, Receipt, Stats};
use crate::tasks::{Collected, FindCall, StoreCall, Task};

/// Commands that are looked at before the socket gets its turn again.
const COMMANDS: usize = 64;

impl Worker {
    pub(super) fn take_calls(&mut self, first: Call) {
        self.take_call(first);
        for _ in 1..COMMANDS {
            match self.parts.calls.try_recv() {
                Ok(call) => self.take_call(call),
                Err(_) => return,
            }
        }
    }

    /// Does what a call asks for; what needs the network waits for the first join.
    fn take_call(&mut self, call: Call) {
        let needs_network =
            matches!(call.command, Command::Store { .. } | Command::Find { .. } | Command::Lookup { .. });
        if needs_network && (!self.joining.is_settled() || !self.waiting.is_empty()) {
            self.waiting.push_back(call);
            return;
        }
        let Call { id, deadline, command } = call;
        match command {
            Command::Store { .. } | Command::Find { .. } | Command::Lookup { .. } | Command::Ping { .. } => {
                if let Some(call) = self.begin(Call { id, deadline, command }) {
                    self.waiting.push_back(call);
                }
            }
            Command::Forget { key, digest, answer } => {
                let _ = answer.send(Ok(self.parts.store.forget(&key, digest.as_ref())));
            }
            Command::Peers { answer } => drop(answer.send(Ok(self.peers()))),
            Command::Stats { answer } => drop(answer.send(Ok(self.stats()))),
            Command::Joined { answer } => match self.joining.is_settled() {
                true => drop(answer.send(Ok(self.node().status().contacts))),
                false => self.joining.wait(answer),
            },
            Command::Cancel => self.cancel(id),
            Command::Bootstrap { addresses } => self.join(&addresses),
            Command::Close { answer } => self.leave(answer),
        }
    }

    /// Tries calls again that waited for the first join or for a place.
    pub(super) fn take_waiting_calls(&mut self) {
        if !self.joining.is_settled() {
            return;
        }
        while let Some(call) = self.waiting.pop_front() {
            if let Some(call) = self.begin(call) {
                self.waiting.push_front(call);
                return;
            }
        }
    }

    /// When the first of the waiting calls runs out of time.
    pub(super) fn next_expiry(&self) -> Option<Clock> {
        self.waiting.iter().map(|call| call.deadline).min()
    }

    /// A call whose deadline comes while it waits is over.
    pub(super) fn expire_waiting_calls(&mut self) {
        let now = Clock::now();
        for call in std::mem::take(&mut self.waiting) {
            if call.deadline <= now {
                refuse(call.command, &Error::Timeout);
            } else {
                self.waiting.push_back(call);
            }
        }
    }

    /// Starts the operations of a call. Gives the call back when no place is free.
    fn begin(&mut self, call: Call) -> Option<Call> {
        let Call { id, deadline, command } = call;
        if self.upkeep.is_leaving() {
            refuse(command, &Error::Closed);
            return None;
        }
        let until = self.at(deadline);
        match command {
            Command::Store { items, copies, answer } => self.store(id, until, items, copies, answer),
            Command::Find { key, options, values } => {
                let mut find = FindCall::new(key, options, values);
                self.find_here(&mut find);
                if find.found() > 0 && !options.all {
                    return None;
                }
                match self.start(|node, now| node.find_value(now, until, key, options)) {
                    Ok(operation) => {
                        self.tasks.by_operation.insert(operation, Task::Find { call: id });
                        self.tasks.finds.insert(id, find);
                    }
                    Err(_) => {
                        let FindCall { values, .. } = find;
                        return Some(Call { id, deadline, command: Command::Find { key, options, values } });
                    }
                }
            }
            Command::Lookup { target, answer } => match self.start(|node, now| node.find_node(now, until, target)) {
                Ok(operation) => {
                    self.tasks.by_operation.insert(operation, Task::Lookup { call: id, answer });
                }
                Err(_) => return Some(Call { id, deadline, command: Command::Lookup { target, answer } }),
            },
            Command::Ping { address, answer } => match self.start(|node, now| node.ping(now, until, address)) {
                Ok(operation) => {
                    self.tasks.by_operation.insert(operation, Task::Ping { call: id, answer });
                }
                Err(_) => return Some(Call { id, deadline, command: Command::Ping { address, answer } }),
            },
            other => refuse(other, &Error::Closed),
        }
        None
    }

    /// Publishes values: in the own store first, which must serve them, then on the network.
    fn store(
        &mut self,
        call: CallId,
        until: Instant,
        items: Vec<Publication>,
        copies: Copies,
        answer: Answer<Vec<Receipt>>,
    ) {
        let now = self.now();
        for (published, item) in items.iter().enumerate() {
            let answered = self.parts.store.publish(now, &item.key, &item.header, &item.bytes);
            if !answered.status.is_held() {
                for item in &items[..published] {
                    self.parts.store.forget(&item.key, Some(&item.header.digest));
                }
                let _ = answer.send(Err(Error::Refused(answered.status)));
                return;
            }
        }
        let names: Vec<_> = items.iter().map(|item| (item.key, item.header.digest)).collect();
        let mut pending = StoreCall::new(&names, self.parts.serves, answer);
        let quorum = match copies {
            Copies::All => 0,
            Copies::AtLeast(count) => count,
        };
        let headers: Vec<_> = items.iter().map(|item| (item.key, item.header)).collect();
        for places in self.batches(&headers) {
            let batch: Vec<_> = places.iter().map(|&place| headers[place]).collect();
            match self.start(|node, now| node.store(now, until, StoreMode::Publish, quorum, &batch)) {
                Ok(operation) => {
                    self.tasks.by_operation.insert(operation, Task::Store { call, places });
                }
                // It is published: the upkeep brings it to others when there is a place.
                Err(_) => pending.enough(&places),
            }
        }
        if !pending.is_answered() {
            self.tasks.stores.insert(call, pending);
        }
    }

    /// Groups items that the same nodes will hold: same region of the key space, as deep as this node's table is, and no
    /// more than an operation handles.
    fn batches(&mut self, items: &[(Key, ItemHeader)]) -> Vec<Vec<usize>> {
        let width = self.node().items_per_operation();
        let bits = self.node().region_bits();
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&place| items[place].0);
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for place in order {
            let key = items[place].0;
            let fits =
                |batch: &Vec<usize>| batch.len() < width && items[batch[0]].0.distance(&key).shared_bits() >= bits;
            match batches.last_mut() {
                Some(batch) if fits(batch) => batch.push(place),
                _ => batches.push(vec![place]),
            }
        }
        batches
    }

    /// What the own store has for a find.
    fn find_here(&mut self, find: &mut FindCall) {
        let now = self.now();
        let query = Query { types: find.options.types, max_age: find.options.max_age, ..Query::all(find.key) };
        let mut collected = Collected::default();
        self.parts.store.find(now, &query, &mut collected);
        let own = Contact { id: self.node().id(), endpoint: self.parts.socket.local_addr().into() };
        for (header, bytes) in collected.items {
            find.hand_out(&header, bytes.into(), &own);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.waiting.retain(|waiting| waiting.id != call);
        self.tasks.finds.remove(&call);
        // What a store has begun goes on: it is published.
        if self.tasks.stores.remove(&call).is_some() {
            return;
        }
        let now = self.now();
        for operation in self.tasks.operations_of(call) {
            self.tasks.by_operation.remove(&operation);
            self.node().cancel(now, operation);
        }
    }

    fn peers(&mut self) -> Vec<Peer> {
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

    fn stats(&mut self) -> Stats {
        let status = self.node().status();
        let usage = self.parts.store.usage();
        Stats {
            id: status.id,
            address: self.parts.socket.local_addr(),
            observed: status.observed.map(SocketAddr::from),
            uptime: self.started.elapsed(),
            joined: self.joining.is_settled() && (self.parts.bootstrap.is_empty() || status.contacts > 0),
            contacts: status.contacts,
            buckets: status.buckets,
            operations: status.operations,
            transfers: status.transfers,
            items: usage.items,
            bytes: usage.bytes,
            evicted: usage.evicted,
            upkeep: *self.upkeep.stats(),
            memory: self.parts.slabs.size(),
            core: *self.node().stats(),
            socket: *self.parts.socket.stats(),
        }
    }
}

/// Answers a call with an error.
pub(super) fn refuse(command: Command, error: &Error) {
    // A caller that has gone away does not want it.
    match command {
        Command::Store { answer, .. } => drop(answer.send(Err(error.clone()))),
        Command::Find { values, .. } => drop(values.send(Err(error.clone()))),
        Command::Ping { answer, .. } => drop(answer.send(Err(error.clone()))),
        Command::Lookup { answer, .. } => drop(answer.send(Err(error.clone()))),
        Command::Forget { answer, .. } => drop(answer.send(Err(error.clone()))),
        Command::Peers { answer } => drop(answer.send(Err(error.clone()))),
        Command::Stats { answer } => drop(answer.send(Err(error.clone()))),
        Command::Joined { answer } => drop(answer.send(Err(error.clone()))),
        Command::Close { answer } => drop(answer.send(Err(error.clone()))),
        Command::Cancel | Command::Bootstrap { .. } => {}
    }
}
