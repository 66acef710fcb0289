//! What people do: store, read, look up.

use kad_core::{FindOptions, OperationId};
use kad_wire::{DeleteLock, Instant, ItemHeader, ItemType, Key, StoreMode};

use super::{Pending, Run};
use crate::member::Outcome;
use crate::oracle::{Published, value};

/// Copies that one node leaves at a time, and how long each may take: as a server does.
const COPIES: usize = 4;
const COPY_LIMIT_MS: u64 = 5_000;

/// What people do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Workload {
    /// Stores in an hour, over all nodes.
    pub puts_per_hour: u64,
    /// Reads in an hour.
    pub gets_per_hour: u64,
    /// Lookups in an hour.
    pub lookups_per_hour: u64,
    /// Whether a few values are read most.
    pub hot: bool,
    /// Lifetime of values in seconds.
    pub ttl_secs: u64,
    /// Longest value in bytes.
    pub len_max: usize,
}

impl Run {
    /// A random node that is there and has joined.
    pub fn somebody(&mut self) -> Option<usize> {
        for _ in 0..1000 {
            let number = self.world.dice.below(self.world.len() as u64) as usize;
            let useful = self.world.is_alive(number) && self.world.member(number).has_joined;
            if useful && !self.world.member(number).upkeep.as_ref().is_some_and(|upkeep| upkeep.is_leaving()) {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn put(&mut self) {
        let Some(number) = self.somebody() else { return };
        let len = self.world.dice.below(self.workload.len_max as u64 + 1) as usize;
        self.put_on(number, len);
    }

    /// A node stores a new value of this length.
    pub fn put_on(&mut self, number: usize, len: usize) {
        let (published, header, bytes) = self.publication(len);
        match self.world.try_publish(number, published.key, header, &bytes) {
            Ok(operation) => drop(self.pending.insert((number, operation), Pending::Put(published))),
            Err(_) => self.tally.turned_away += 1,
        }
    }

    /// A node takes a new value into its own store, as acknowledged; sending it is up to the caller.
    pub fn publish_later(&mut self, number: usize, len: usize) -> (Key, ItemHeader) {
        let (published, header, bytes) = self.publication(len);
        let (key, now) = (published.key, self.world.shown(number));
        self.world.member(number).publish(now, &key, &header, &bytes);
        self.oracle.acknowledged.push(published);
        (key, header)
    }

    /// A new value, with its header and its bytes.
    fn publication(&mut self, len: usize) -> (Published, ItemHeader, Vec<u8>) {
        self.published += 1;
        let number = self.published;
        let (key, bytes) = (Key::hash(format!("value {number}")), value(number, len));
        let ttl_ms = (self.workload.ttl_secs * 1000) as u32;
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, ttl_ms, &bytes);
        let expires = self.world.now().plus_millis(ttl_ms.into());
        let published = Published {
            key,
            digest: header.digest,
            number,
            len,
            expires,
            copies: 0,
            fewest_holders: usize::MAX,
            lost: false,
        };
        (published, header, bytes)
    }

    pub(super) fn get(&mut self) {
        let count = self.oracle.acknowledged.len() as u64;
        if count == 0 {
            return;
        }
        let dice = &mut self.world.dice;
        let which = if self.workload.hot { dice.zipf(count) } else { dice.below(count) };
        if let Some(number) = self.somebody() {
            self.get_on(number, which as usize);
        }
    }

    /// A node reads an acknowledged value that has not expired.
    pub fn get_on(&mut self, number: usize, which: usize) {
        let published = &self.oracle.acknowledged[which];
        // One that expires while it is looked for proves nothing.
        if published.expires <= self.world.now().plus_millis(30_000) {
            return;
        }
        let key = published.key;
        let find = |node: &mut kad_core::Node<'_>, now: Instant| {
            node.find_value(now, now.plus_millis(30_000), key, FindOptions::FIRST)
        };
        match self.world.try_start(number, find) {
            Ok(operation) => drop(self.pending.insert((number, operation), Pending::Get(which))),
            Err(_) => self.tally.turned_away += 1,
        }
    }

    pub(super) fn look_up(&mut self) {
        let target = Key::from_bytes(self.world.dice.bytes());
        if let Some(number) = self.somebody() {
            self.look_up_on(number, target);
        }
    }

    /// A node looks up a point.
    pub fn look_up_on(&mut self, number: usize, target: Key) {
        match self.world.try_start(number, |node, now| node.find_node(now, now.plus_millis(30_000), target)) {
            Ok(operation) => drop(self.pending.insert((number, operation), Pending::Lookup(target))),
            Err(_) => self.tally.turned_away += 1,
        }
    }

    pub(super) fn ended(&mut self, number: usize, operation: OperationId, pending: Pending, outcome: &Outcome) {
        match pending {
            Pending::Join => self.join_ended(number, outcome.copies),
            Pending::Put(mut published) => {
                self.tally.copies.note(outcome.copies as u64);
                self.tally.store_requests.note(outcome.requests as u64);
                self.tally.store_took_us.note(outcome.took_us);
                if outcome.copies == 0 {
                    self.tally.puts.1 += 1;
                    return;
                }
                self.tally.puts.0 += 1;
                published.copies = outcome.copies;
                self.oracle.acknowledged.push(published);
            }
            Pending::Get(which) => self.got(number, operation, which, outcome),
            Pending::Lookup(target) => {
                self.note_walk(outcome);
                self.note_exactness(number, &target, outcome);
            }
        }
    }

    fn got(&mut self, number: usize, operation: OperationId, which: usize, outcome: &Outcome) {
        self.note_walk(outcome);
        let found = self.world.member(number).found.remove(&operation).unwrap_or_default();
        let published = &self.oracle.acknowledged[which];
        let (key, expected) = (published.key, value(published.number, published.len));
        match found.first() {
            Some((header, bytes)) if *bytes == expected => {
                self.tally.gets.0 += 1;
                if self.caches
                    && let Some(lacked) = outcome.lacked
                {
                    self.leave_copy(number, key, *header, bytes, lacked);
                }
            }
            Some(_) => self.tally.wrong += 1,
            None => self.tally.gets.1 += 1,
        }
    }

    /// What a server does after a find (paper, section 2.3): it keeps the bytes aside until the copy is made.
    fn leave_copy(&mut self, number: usize, key: Key, header: ItemHeader, bytes: &[u8], lacked: kad_wire::Contact) {
        let header = ItemHeader { flags: header.flags | kad_wire::item_flags::CACHED, inline_len: 0, ..header };
        let now = self.world.shown(number);
        let member = self.world.member(number);
        if member.aside.0.len() >= COPIES || header.ttl_ms == 0 {
            return;
        }
        let store = |node: &mut kad_core::Node<'_>| {
            node.store_at(now, now.plus_millis(COPY_LIMIT_MS), StoreMode::Cache, &[(key, header)], &[lacked])
        };
        if let Ok(operation) = member.start(store) {
            member.aside.0.insert(operation, (header.digest, bytes.to_vec()));
            self.world.drive(number);
        }
    }
}
