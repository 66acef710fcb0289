//! What the stores with an allocator share: records in every order that they are asked for, and the rules. Where the bytes
//! are is the store's own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use hashbrown::HashMap;
use kad_wire::{Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink, StoreMode};

use crate::eviction::{Class, PlaceUnderKey, Rank, place_under_key};
use crate::record::{Record, cursor_after};
use crate::shares::Shares;
use crate::source::Source;
use crate::{Due, Limits, Listed, Page};

/// Items that are looked at to see whether a value that was only named would find room.
const LOOKS_FOR_A_NAME: usize = 64;
/// Items that are looked at for company of one that is due.
const LOOK_AROUND: usize = 512;

/// Who is told what becomes of items, because they are written down somewhere. `()` is told, and does nothing.
pub(crate) trait Watch {
    fn came(&mut self, record: &Record);
    fn changed(&mut self, before: &Record, after: &Record);
    fn went(&mut self, record: &Record);
}

impl Watch for () {
    fn came(&mut self, _: &Record) {}
    fn changed(&mut self, _: &Record, _: &Record) {}
    fn went(&mut self, _: &Record) {}
}

/// Finding is a hash-map hit; storing keeps four ordered indexes: by rank (what makes way first), expiry, due time and
/// arrival. Nothing is ever iterated in hash order, so two stores with the same inputs behave the same.
#[derive(Debug)]
pub(crate) struct Catalog<V, W = ()> {
    pub(crate) limits: Limits,
    pub(crate) watch: W,
    keys: HashMap<Key, Vec<Held<V>>>,
    ranks: BTreeMap<Order, (Key, Digest)>,
    shares: Shares,
    expiries: BTreeSet<(Instant, u32)>,
    dues: BTreeSet<(Instant, u32)>,
    arrivals: BTreeMap<u32, (Key, Digest)>,
    order: BTreeSet<(Key, Digest)>,
    pub(crate) bytes: u64,
    /// Bytes that the items take of the room: see [`Limits::charge`].
    charged: u64,
    pub(crate) evicted: u64,
    pub(crate) last_cursor: u32,
}

/// In which order items make way: by class, and those that others want kept by source.
type Order = (Class, Source, Rank);

/// An item, and what its store knows of its bytes.
#[derive(Debug)]
pub(crate) struct Held<V> {
    pub(crate) record: Record,
    pub(crate) value: V,
}

/// A search for room: what is taken, and what leaves for it.
struct Room<'a> {
    bytes: u64,
    items: usize,
    victims: Vec<(Key, Digest)>,
    /// How far each source has been looked through.
    last: Vec<(Source, Rank)>,
    /// What leaves in any case.
    gone: &'a [Record],
}

impl Room<'_> {
    fn fits(&self, limits: &Limits) -> bool {
        self.bytes <= limits.bytes && self.items <= limits.items
    }

    fn leaves(&mut self, limits: &Limits, record: &Record) {
        self.bytes -= limits.charge(record.len);
        self.items -= 1;
    }

    fn passed(&mut self, source: Source, rank: Rank) {
        match self.last.iter_mut().find(|(of, _)| *of == source) {
            Some((_, last)) => *last = rank,
            None => self.last.push((source, rank)),
        }
    }
}

/// The first key of the region that shares `bits` leading bits with `key`.
fn region_start(key: &Key, bits: usize) -> Key {
    let mut bytes = *key.as_bytes();
    for bit in bits..bytes.len() * 8 {
        bytes[bit / 8] &= !(0x80 >> (bit % 8));
    }
    Key::from_bytes(bytes)
}

impl<V, W: Watch> Catalog<V, W> {
    /// An empty catalogue with these bounds.
    pub(crate) fn new(limits: Limits, watch: W) -> Self {
        Self {
            limits,
            watch,
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

    /// Items in it.
    pub(crate) fn len(&self) -> usize {
        self.arrivals.len()
    }

    pub(crate) fn held(&self, key: &Key, digest: &Digest) -> Option<&Held<V>> {
        self.keys.get(key)?.iter().find(|held| held.record.digest == *digest)
    }

    /// Changes a record, and its places in the indexes.
    fn change<R>(&mut self, key: &Key, digest: &Digest, change: impl FnOnce(&mut Record, &Limits) -> R) -> Option<R> {
        let list = self.keys.get_mut(key)?;
        let at = list.iter().position(|held| held.record.digest == *digest)?;
        let held = list.get_mut(at)?;
        let before = held.record;
        let result = change(&mut held.record, &self.limits);
        let after = held.record;
        if after.born_us != before.born_us {
            // The list stays in order, newest first.
            let held = list.remove(at);
            list.insert(list.partition_point(|other| other.record.newest_first(&after).is_lt()), held);
        }
        self.watch.changed(&before, &after);
        self.unindex(&before);
        self.index(&after);
        Some(result)
    }

    fn order_of(&self, record: &Record) -> Order {
        let class = record.class();
        let source = if class == Class::Kept { record.source } else { Source::NONE };
        (class, source, record.rank(&self.limits))
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
            self.shares.take(record.source, self.limits.weight(record.len));
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
        let Some(at) = list.iter().position(|held| held.record.digest == *digest) else { return };
        let held = list.remove(at);
        if list.is_empty() {
            self.keys.remove(key);
        }
        self.bytes -= u64::from(held.record.len);
        self.charged -= self.limits.charge(held.record.len);
        self.unindex(&held.record);
        self.watch.went(&held.record);
    }

    /// What must leave the store so that a newcomer fits the totals, as far as the first `looks` show; `None` when it would
    /// have to leave itself. `freed` leave in any case.
    fn victims(&mut self, newcomer: &Record, freed: &[Record], looks: usize) -> Option<Vec<(Key, Digest)>> {
        let mut room = Room {
            bytes: self.charged + self.limits.charge(newcomer.len),
            items: self.arrivals.len() + 1,
            victims: Vec::new(),
            last: Vec::new(),
            gone: freed,
        };
        for record in freed {
            room.leaves(&self.limits, record);
        }
        if room.fits(&self.limits) {
            return Some(room.victims);
        }
        if self.first_victims(newcomer, &mut room, looks) || newcomer.class() == Class::First {
            return (room.fits(&self.limits) || room.victims.len() >= looks).then_some(room.victims);
        }
        // As if the newcomer were there, and what leaves were gone: then as it was.
        let weights = |shares: &mut Shares, limits: &Limits, records: &[Record], back: bool| {
            for record in records.iter().filter(|record| record.class() == Class::Kept) {
                let weight = limits.weight(record.len);
                if back { shares.add(record.source, weight) } else { shares.take(record.source, weight) }
            }
        };
        let mut left = Vec::new();
        weights(&mut self.shares, &self.limits, core::slice::from_ref(newcomer), true);
        weights(&mut self.shares, &self.limits, freed, false);
        let found = self.kept_victims(newcomer, &mut room, looks, &mut left);
        weights(&mut self.shares, &self.limits, &left, true);
        weights(&mut self.shares, &self.limits, freed, true);
        weights(&mut self.shares, &self.limits, core::slice::from_ref(newcomer), false);
        found.then_some(room.victims)
    }

    /// Readers' copies, and what was forgotten, make way first. Returns whether that is all that need be looked at.
    fn first_victims(&self, newcomer: &Record, room: &mut Room<'_>, looks: usize) -> bool {
        let end = (newcomer.class() == Class::First).then(|| self.order_of(newcomer));
        for (order, place) in &self.ranks {
            if room.fits(&self.limits) || room.victims.len() >= looks {
                return true;
            }
            if order.0 != Class::First || end.is_some_and(|end| *order >= end) {
                return false;
            }
            self.leaves(place, room);
        }
        room.fits(&self.limits)
    }

    /// Of what others want kept, the source with the largest share gives up its least. Returns whether the newcomer fits then,
    /// as far as the first `looks` show.
    fn kept_victims(&mut self, newcomer: &Record, room: &mut Room<'_>, looks: usize, left: &mut Vec<Record>) -> bool {
        while !room.fits(&self.limits) && room.victims.len() < looks {
            let Some(source) = self.shares.largest() else { return false };
            let Some((order, place)) = self.next_of(source, room) else { return false };
            if !newcomer.own && source == newcomer.source && order.2 >= newcomer.rank(&self.limits) {
                return false;
            }
            room.passed(source, order.2);
            if let Some(record) = self.leaves(&place, room) {
                self.shares.take(source, self.limits.weight(record.len));
                left.push(record);
            }
        }
        true
    }

    /// What a source gives up next.
    fn next_of(&self, source: Source, room: &Room<'_>) -> Option<(Order, (Key, Digest))> {
        let after = match room.last.iter().find(|(of, _)| *of == source) {
            Some(&(_, rank)) => Bound::Excluded((Class::Kept, source, rank)),
            None => Bound::Included((Class::Kept, source, Rank::LEAST)),
        };
        let (order, place) = self.ranks.range((after, Bound::Unbounded)).next()?;
        (order.0 == Class::Kept && order.1 == source).then_some((*order, *place))
    }

    /// Notes that an item leaves, unless it does so already.
    fn leaves(&self, place: &(Key, Digest), room: &mut Room<'_>) -> Option<Record> {
        let record = self.held(&place.0, &place.1)?.record;
        if room.gone.iter().any(|gone| gone.cursor == record.cursor) {
            return None;
        }
        room.leaves(&self.limits, &record);
        room.victims.push(*place);
        Some(record)
    }

    fn next_cursor(&mut self) -> u32 {
        loop {
            self.last_cursor = cursor_after(self.last_cursor);
            if !self.arrivals.contains_key(&self.last_cursor) {
                return self.last_cursor;
            }
        }
    }

    /// Decides about an item that is not held. Without bytes, and a place for them: `None`.
    fn newcomer(
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
        let list = self.keys.get(&record.key).map(Vec::as_slice).unwrap_or_default();
        let alive = list.iter().map(|held| &held.record).filter(|held| held.is_alive(now));
        let (deleted, displaced) = match place_under_key(&self.limits, &record, alive.clone()) {
            PlaceUnderKey::Without { deleted, displaced } => (deleted, displaced),
            PlaceUnderKey::Deleted => return Some(Answer::refused(ItemStatus::Deleted)),
            PlaceUnderKey::None => return Some(Answer::refused(ItemStatus::Full)),
        };
        let leave = |held: &&Record| [deleted, displaced].contains(&Some(held.digest));
        let freed: Vec<Record> = alive.filter(leave).copied().collect();
        let record = Record { has_deleted: deleted.is_some(), ..record };
        // With its bytes a newcomer pays for what it displaces, each of which was paid for when it came. A name alone is
        // free, so it causes little work: at worst its bytes come for nothing.
        let looks = if offer.bytes.is_some() { usize::MAX } else { LOOKS_FOR_A_NAME };
        let Some(victims) = self.victims(&record, &freed, looks) else {
            return Some(Answer::refused(ItemStatus::Full));
        };
        let bytes = offer.bytes?;
        for (key, digest) in victims.into_iter().chain(freed.iter().map(|freed| (record.key, freed.digest))) {
            self.evicted += 1;
            self.remove(&key, &digest);
        }
        self.insert(record, keep(bytes));
        self.watch.came(&record);
        Some(record.answer(now, ItemStatus::Stored))
    }

    /// Takes in an item that is not held. Nobody is told.
    pub(crate) fn insert(&mut self, record: Record, value: V) {
        self.bytes += u64::from(record.len);
        self.charged += self.limits.charge(record.len);
        self.index(&record);
        let list = self.keys.entry(record.key).or_default();
        let at = list.partition_point(|held| held.record.newest_first(&record).is_lt());
        list.insert(at, Held { record, value });
    }

    fn drop_if_expired(&mut self, now: Instant, key: &Key, digest: &Digest) {
        if self.held(key, digest).is_some_and(|held| !held.record.is_alive(now)) {
            self.remove(key, digest);
        }
    }

    /// See [`Store::offer`](crate::Store::offer); `keep` takes the bytes of what is stored.
    pub(crate) fn offer(&mut self, now: Instant, offer: &Offer<'_>, keep: impl FnOnce(&[u8]) -> V) -> Option<Answer> {
        self.drop_if_expired(now, &offer.key, &offer.header.digest);
        let again = self.change(&offer.key, &offer.header.digest, |record, limits| {
            record.offered_again(now, limits, offer);
            record.answer(now, ItemStatus::Already)
        });
        again.or_else(|| self.newcomer(now, offer, false, keep))
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
            record.offered_again(now, limits, &offer);
            record.own = true;
            record.answer(now, ItemStatus::Already)
        });
        again.or_else(|| self.newcomer(now, &offer, true, keep)).unwrap_or(Answer::refused(ItemStatus::Full))
    }

    /// See [`Store::find`](crate::Store::find); `copy` fills a hole with an item's first bytes.
    pub(crate) fn find(
        &self,
        now: Instant,
        query: &Query,
        sink: &mut dyn Sink,
        mut copy: impl FnMut(&Held<V>, &mut [u8]),
    ) -> Page {
        let list = self.keys.get(&query.key).map(Vec::as_slice).unwrap_or_default();
        let matching = list.iter().filter(|held| held.record.matches(now, query));
        let total = matching.clone().count();
        // The last item of the page before may have expired or become too old since: it is where the list goes on.
        let after = list.iter().map(|held| &held.record).find(|record| record.cursor == query.cursor);
        let rest = matching.filter(|held| after.is_none_or(|after| after.newest_first(&held.record).is_lt()));
        let mut last = if query.cursor == 0 { Page::FROM_START } else { query.cursor };
        for held in rest {
            let Some(hole) = sink.push(&held.record.header(now)) else {
                return Page { total, next_cursor: last };
            };
            copy(held, hole);
            last = held.record.cursor;
        }
        Page { total, next_cursor: 0 }
    }

    /// An item that is alive.
    pub(crate) fn alive(&self, now: Instant, key: &Key, digest: &Digest) -> Option<&Held<V>> {
        self.held(key, digest).filter(|held| held.record.is_alive(now))
    }

    /// The item that came with this cursor.
    #[cfg(feature = "disk")]
    pub(crate) fn arrived(&self, cursor: u32) -> Option<&Held<V>> {
        let (key, digest) = self.arrivals.get(&cursor)?;
        self.held(key, digest)
    }

    /// Evicts what the limits have no room for, however it came in.
    #[cfg(feature = "disk")]
    pub(crate) fn evict_surplus(&mut self) {
        while self.len() > self.limits.items || self.charged > self.limits.bytes {
            let first = self.ranks.first_key_value().filter(|(order, _)| order.0 == Class::First);
            let first = first.map(|(_, place)| *place).or_else(|| {
                let source = self.shares.largest()?;
                self.ranks.range((Class::Kept, source, Rank::LEAST)..).next().map(|(_, place)| *place)
            });
            let Some((key, digest)) = first else { return };
            self.evicted += 1;
            self.remove(&key, &digest);
        }
    }

    /// What a store knows of the bytes of the item that came with this cursor.
    #[cfg(feature = "disk")]
    pub(crate) fn value_mut(&mut self, cursor: u32) -> Option<&mut V> {
        let (key, digest) = self.arrivals.get(&cursor)?;
        let held = self.keys.get_mut(key)?.iter_mut().find(|held| held.record.digest == *digest)?;
        Some(&mut held.value)
    }

    /// See [`Store::forget`](crate::Store::forget).
    pub(crate) fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        let list = self.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let own: Vec<Digest> =
            list.iter().filter(|held| held.record.is_forgotten_by(digest)).map(|held| held.record.digest).collect();
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
        // From the first one on and then from the region's start: what lies at the start was taken before, and is not due.
        let (start, here) = ((region_start(&first.key, bits), Digest([0; 16])), (first.key, Digest([0; 16])));
        let behind = self.order.range(here..).take_while(|(key, _)| key.distance(&first.key).shared_bits() >= bits);
        let around = behind.chain(self.order.range(start..here)).take(LOOK_AROUND);
        let due = around.filter(|(key, digest)| {
            self.held(key, digest).is_some_and(|held| held.record.is_due_with(until, first, bits))
        });
        for (key, digest) in due.copied().collect::<Vec<_>>() {
            let Some(before) = self.held(&key, &digest).map(|held| held.record) else { continue };
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
        let held = self.order.range((from, Bound::Unbounded)).filter_map(|(key, digest)| self.held(key, digest));
        held.map(|held| &held.record).find(|record| record.is_alive(now)).map(|record| record.listed(now))
    }
}
