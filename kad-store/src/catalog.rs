//! The items of a store with an allocator, indexed by key, rank, expiry, due time and arrival. Each store decides itself where
//! it keeps the values' bytes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use hashbrown::HashMap;
use kad_wire::{Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink, StoreMode};

use crate::eviction::Class;
use crate::eviction::growing::{HEADER_ONLY_VICTIMS_MAX, Order};
use crate::eviction::per_key::{PlaceUnderKey, place_under_key};
use crate::eviction::shares::Shares;
use crate::record::{Record, cursor_after};
use crate::{Due, Limits, Listed, Page};

/// The most items that `due_near` examines.
const DUE_NEAR_EXAMINED_MAX: usize = 512;

/// Keeps track of the changes that a store has to write to disk. `()` keeps none.
pub(crate) trait TrackChanges {
    fn inserted(&mut self, record: &Record);
    fn changed(&mut self, before: &Record, after: &Record);
    fn removed(&mut self, record: &Record);
}

impl TrackChanges for () {
    fn inserted(&mut self, _: &Record) {}
    fn changed(&mut self, _: &Record, _: &Record) {}
    fn removed(&mut self, _: &Record) {}
}

/// A find is one hash-map access; storing an item updates ordered indexes: by rank (the order of eviction), expiry, due time,
/// arrival and key. The catalog never iterates in hash order, so two stores with the same inputs behave the same.
#[derive(Debug)]
pub(crate) struct Catalog<V, C = ()> {
    pub(crate) limits: Limits,
    pub(crate) changes: C,
    keys: HashMap<Key, Vec<Entry<V>>>,
    pub(crate) ranks: BTreeMap<Order, (Key, Digest)>,
    pub(crate) shares: Shares,
    expiries: BTreeSet<(Instant, u32)>,
    dues: BTreeSet<(Instant, u32)>,
    arrivals: BTreeMap<u32, (Key, Digest)>,
    order: BTreeSet<(Key, Digest)>,
    pub(crate) bytes: u64,
    /// The sum of [`Limits::charge`] over all items.
    pub(crate) charged: u64,
    pub(crate) evicted: u64,
    pub(crate) last_cursor: u32,
}

/// An item, and what its store keeps of its bytes.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) record: Record,
    pub(crate) value: V,
}

/// Returns the first of the keys that share `bits` leading bits with `key`.
fn region_start(key: &Key, bits: usize) -> Key {
    let mut bytes = *key.as_bytes();
    for bit in bits..bytes.len() * 8 {
        bytes[bit / 8] &= !(0x80 >> (bit % 8));
    }
    Key::from_bytes(bytes)
}

impl<V, C: TrackChanges> Catalog<V, C> {
    /// Makes an empty catalog.
    pub(crate) fn new(limits: Limits, changes: C) -> Self {
        Self {
            limits,
            changes,
            keys: HashMap::new(),
            ranks: BTreeMap::new(),
            shares: Shares::default(),
            expiries: BTreeSet::new(),
            dues: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            order: BTreeSet::new(),
            bytes: 0,
            charged: 0,
            evicted: 0,
            last_cursor: 0,
        }
    }

    /// Returns the number of items.
    pub(crate) fn len(&self) -> usize {
        self.arrivals.len()
    }

    pub(crate) fn entry(&self, key: &Key, digest: &Digest) -> Option<&Entry<V>> {
        self.keys.get(key)?.iter().find(|entry| entry.record.digest == *digest)
    }

    /// Changes a record and updates the indexes. Returns what `change` returns; `None` if the item is not held.
    fn change<R>(&mut self, key: &Key, digest: &Digest, change: impl FnOnce(&mut Record, &Limits) -> R) -> Option<R> {
        let list = self.keys.get_mut(key)?;
        let at = list.iter().position(|entry| entry.record.digest == *digest)?;
        let entry = list.get_mut(at)?;
        let before = entry.record;
        let result = change(&mut entry.record, &self.limits);
        let after = entry.record;
        if after.born_us != before.born_us {
            // The list stays in order, newest first.
            let entry = list.remove(at);
            list.insert(list.partition_point(|other| other.record.newest_first(&after).is_lt()), entry);
        }
        self.changes.changed(&before, &after);
        self.unindex(&before);
        self.index(&after);
        Some(result)
    }

    fn index(&mut self, record: &Record) {
        let place = (record.key, record.digest);
        self.ranks.insert(self.order_of(record), place);
        if record.class() == Class::Kept {
            self.shares.add(record.source, self.limits.weight(record.len));
        }
        self.expiries.insert((record.expires, record.cursor));
        self.arrivals.insert(record.cursor, place);
        self.order.insert(place);
        if let Some((at, _)) = record.due() {
            self.dues.insert((at, record.cursor));
        }
    }

    fn unindex(&mut self, record: &Record) {
        self.ranks.remove(&self.order_of(record));
        if record.class() == Class::Kept {
            self.shares.subtract(record.source, self.limits.weight(record.len));
        }
        self.expiries.remove(&(record.expires, record.cursor));
        self.arrivals.remove(&record.cursor);
        self.order.remove(&(record.key, record.digest));
        if let Some((at, _)) = record.due() {
            self.dues.remove(&(at, record.cursor));
        }
    }

    pub(crate) fn remove(&mut self, key: &Key, digest: &Digest) {
        let Some(list) = self.keys.get_mut(key) else { return };
        let Some(at) = list.iter().position(|entry| entry.record.digest == *digest) else { return };
        let entry = list.remove(at);
        if list.is_empty() {
            self.keys.remove(key);
        }
        self.bytes -= u64::from(entry.record.len);
        self.charged -= self.limits.charge(entry.record.len);
        self.unindex(&entry.record);
        self.changes.removed(&entry.record);
    }

    fn next_cursor(&mut self) -> u32 {
        loop {
            self.last_cursor = cursor_after(self.last_cursor);
            if !self.arrivals.contains_key(&self.last_cursor) {
                return self.last_cursor;
            }
        }
    }

    /// Decides about an item that is not held, and inserts it if its bytes are here. `None`: the bytes are wanted.
    fn offer_new(
        &mut self,
        now: Instant,
        offer: &Offer<'_>,
        own: bool,
        keep: impl FnOnce(&[u8]) -> V,
    ) -> Option<Answer> {
        self.expire(now);
        let cursor = self.next_cursor();
        let record = Record::new(now, &self.limits, offer, own, cursor);
        if !record.is_alive(now) {
            return Some(Answer::refused(ItemStatus::Expired));
        }
        let (record, removed) = match self.place_under_key(now, record) {
            Ok(placed) => placed,
            Err(status) => return Some(Answer::refused(status)),
        };
        // The sender of a whole item pays for each victim with bytes. A header costs its sender nothing, so the store examines
        // few victims for it; if they do not suffice, the bytes arrive in vain.
        let victims_max = if offer.bytes.is_some() { usize::MAX } else { HEADER_ONLY_VICTIMS_MAX };
        let Some(victims) = self.victims(&record, &removed, victims_max) else {
            return Some(Answer::refused(ItemStatus::Full));
        };
        let bytes = offer.bytes?;
        for (key, digest) in victims.into_iter().chain(removed.iter().map(|removed| (record.key, removed.digest))) {
            self.evicted += 1;
            self.remove(&key, &digest);
        }
        self.insert(record, keep(bytes));
        self.changes.inserted(&record);
        Some(record.answer(now, ItemStatus::Stored))
    }

    /// Returns the record of a new item and the items under its key that are removed for it; an error if it does not fit.
    fn place_under_key(&self, now: Instant, record: Record) -> Result<(Record, Vec<Record>), ItemStatus> {
        let list = self.keys.get(&record.key).map(Vec::as_slice).unwrap_or_default();
        let alive = list.iter().map(|entry| &entry.record).filter(|held| held.is_alive(now));
        let (deleted, displaced) = match place_under_key(&self.limits, &record, alive.clone()) {
            PlaceUnderKey::Without { deleted, displaced } => (deleted, displaced),
            PlaceUnderKey::Deleted => return Err(ItemStatus::Deleted),
            PlaceUnderKey::None => return Err(ItemStatus::Full),
        };
        let is_removed = |held: &&Record| [deleted, displaced].contains(&Some(held.digest));
        let removed = alive.filter(is_removed).copied().collect();
        Ok((Record { has_deleted: deleted.is_some(), ..record }, removed))
    }

    /// Inserts an item that is not held. Does not track the change.
    pub(crate) fn insert(&mut self, record: Record, value: V) {
        self.bytes += u64::from(record.len);
        self.charged += self.limits.charge(record.len);
        self.index(&record);
        let list = self.keys.entry(record.key).or_default();
        let at = list.partition_point(|entry| entry.record.newest_first(&record).is_lt());
        list.insert(at, Entry { record, value });
    }

    fn drop_if_expired(&mut self, now: Instant, key: &Key, digest: &Digest) {
        if self.entry(key, digest).is_some_and(|entry| !entry.record.is_alive(now)) {
            self.remove(key, digest);
        }
    }

    /// See [`Store::offer`](crate::Store::offer); `keep` takes the bytes of what is stored.
    pub(crate) fn offer(&mut self, now: Instant, offer: &Offer<'_>, keep: impl FnOnce(&[u8]) -> V) -> Option<Answer> {
        self.drop_if_expired(now, &offer.key, &offer.header.digest);
        let again = self.change(&offer.key, &offer.header.digest, |record, limits| {
            record.merge_offer(now, limits, offer);
            record.answer(now, ItemStatus::Already)
        });
        again.or_else(|| self.offer_new(now, offer, false, keep))
    }

    /// See [`Store::publish`](crate::Store::publish).
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        key: &Key,
        header: &ItemHeader,
        bytes: &[u8],
        keep: impl FnOnce(&[u8]) -> V,
    ) -> Answer {
        self.drop_if_expired(now, key, &header.digest);
        let (mode, source) = (StoreMode::Publish, Endpoint::UNSPECIFIED);
        let offer = Offer { key: *key, header: *header, bytes: Some(bytes), mode, source, received: now };
        let again = self.change(key, &header.digest, |record, limits| {
            record.merge_offer(now, limits, &offer);
            record.own = true;
            record.answer(now, ItemStatus::Already)
        });
        again.or_else(|| self.offer_new(now, &offer, true, keep)).unwrap_or(Answer::refused(ItemStatus::Full))
    }

    /// See [`Store::find`](crate::Store::find); `copy` writes an item's first bytes.
    pub(crate) fn find(
        &self,
        now: Instant,
        query: &Query,
        sink: &mut dyn Sink,
        mut copy: impl FnMut(&Entry<V>, &mut [u8]),
    ) -> Page {
        let list = self.keys.get(&query.key).map(Vec::as_slice).unwrap_or_default();
        let matching = list.iter().filter(|entry| entry.record.matches(now, query));
        let total = matching.clone().count();
        // The list goes on after the last item of the previous page, which may have expired or become too old since.
        let after = list.iter().map(|entry| &entry.record).find(|record| record.cursor == query.cursor);
        let rest = matching.filter(|entry| after.is_none_or(|after| after.newest_first(&entry.record).is_lt()));
        let mut last = if query.cursor == 0 { Page::FROM_START } else { query.cursor };
        for entry in rest {
            let Some(hole) = sink.push(&entry.record.header(now)) else {
                return Page { total, next_cursor: last };
            };
            copy(entry, hole);
            last = entry.record.cursor;
        }
        Page { total, next_cursor: 0 }
    }

    /// Returns an item that is alive.
    pub(crate) fn alive(&self, now: Instant, key: &Key, digest: &Digest) -> Option<&Entry<V>> {
        self.entry(key, digest).filter(|entry| entry.record.is_alive(now))
    }

    /// Returns the item with this cursor.
    #[cfg(feature = "disk")]
    pub(crate) fn arrived(&self, cursor: u32) -> Option<&Entry<V>> {
        let (key, digest) = self.arrivals.get(&cursor)?;
        self.entry(key, digest)
    }

    /// Returns what the store keeps of the bytes of the item with this cursor.
    #[cfg(feature = "disk")]
    pub(crate) fn value_mut(&mut self, cursor: u32) -> Option<&mut V> {
        let (key, digest) = self.arrivals.get(&cursor)?;
        let entry = self.keys.get_mut(key)?.iter_mut().find(|entry| entry.record.digest == *digest)?;
        Some(&mut entry.value)
    }

    /// See [`Store::forget`](crate::Store::forget).
    pub(crate) fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        let list = self.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let own: Vec<Digest> =
            list.iter().filter(|entry| entry.record.is_forgotten_by(digest)).map(|entry| entry.record.digest).collect();
        for digest in &own {
            self.change(key, digest, |record, _| record.own = false);
        }
        own.len()
    }

    /// See [`Store::expire`](crate::Store::expire).
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        while let Some(&(at, cursor)) = self.expiries.first()
            && at <= now
        {
            let Some(&(key, digest)) = self.arrivals.get(&cursor) else { break };
            self.remove(&key, &digest);
            dropped += 1;
        }
        dropped
    }

    /// See [`Store::poll_due`](crate::Store::poll_due).
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<Due> {
        while let Some(&(at, cursor)) = self.dues.first()
            && at <= now
        {
            let (key, digest) = *self.arrivals.get(&cursor)?;
            let due = self.change(&key, &digest, |record, limits| {
                let (_, mode) = record.due()?;
                record.take_due(now, limits, mode)
            });
            if let Some(due) = due.flatten() {
                return Some(due);
            }
        }
        None
    }

    /// See [`Store::next_wake`](crate::Store::next_wake).
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let expiry = self.expiries.first().map(|&(at, _)| at);
        let due = self.dues.first().map(|&(at, _)| at);
        expiry.into_iter().chain(due).min()
    }

    /// See [`Store::due_near`](crate::Store::due_near).
    pub(crate) fn due_near(
        &mut self,
        now: Instant,
        until: Instant,
        first: &Due,
        bits: usize,
        take: &mut dyn FnMut(&Due) -> bool,
    ) {
        // From `first` on, then from the start of the region: an earlier call most likely took what lies at the start.
        let (start, here) = ((region_start(&first.key, bits), Digest([0; 16])), (first.key, Digest([0; 16])));
        let behind = self.order.range(here..).take_while(|(key, _)| key.distance(&first.key).shared_bits() >= bits);
        let around = behind.chain(self.order.range(start..here)).take(DUE_NEAR_EXAMINED_MAX);
        let due = around.filter(|(key, digest)| {
            self.entry(key, digest).is_some_and(|entry| entry.record.is_due_with(until, first, bits))
        });
        for (key, digest) in due.copied().collect::<Vec<_>>() {
            let Some(before) = self.entry(&key, &digest).map(|entry| entry.record) else { continue };
            let due = self.change(&key, &digest, |record, limits| record.take_due(now, limits, first.mode)).flatten();
            if due.is_some_and(|due| !take(&due)) {
                self.change(&key, &digest, |record, _| *record = before);
                return;
            }
        }
    }

    /// See [`Store::next_item`](crate::Store::next_item).
    pub(crate) fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        let from = after.map_or(Bound::Unbounded, |place| Bound::Excluded(*place));
        let entries = self.order.range((from, Bound::Unbounded)).filter_map(|(key, digest)| self.entry(key, digest));
        entries.map(|entry| &entry.record).find(|record| record.is_alive(now)).map(|record| record.listed(now))
    }
}
