//! Random operations on all stores and on a model of plain lists, compared, with low limits.

use crate::mock;

use std::net::Ipv4Addr;
use std::time::Duration;

use kad_store::conformance::Collect;
use kad_store::{
    DiskHealth, DiskStore, Due, FixedBlock, FixedRecord, FixedStore, FlashBlock, FlashHealth, FlashStore, Limits,
    MemoryStore, Moment, Store,
};
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{
    DeleteLock, Digest, Endpoint, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId, Offer, Query, StoreMode,
    TypeMask,
};
use mock::MockFlash;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const START_US: u64 = 1_000_000_000;
/// Items are not passed on in their last five seconds.
const TOO_LATE_US: u64 = 5_000_000;

fn limits() -> Limits {
    Limits {
        items: 9,
        bytes: 600,
        values_per_key: 4,
        bytes_per_key: 300,
        cache_ttl_ms: 20_000,
        replicate: Duration::from_secs(60),
        republish: Duration::from_secs(150),
        ..Limits::new(NodeId::from_bytes([0; 32]))
    }
}

fn key(number: u8) -> Key {
    let mut bytes = [0; 32];
    // The first two share four bits, and so do the last two.
    bytes[0] = [0x10, 0x18, 0x80, 0x84][usize::from(number % 4)];
    Key::from_bytes(bytes)
}

#[derive(Clone, Debug)]
struct Item {
    key: u8,
    value: Vec<u8>,
    locked: bool,
}

impl Item {
    fn header(&self, ttl_ms: u32, age_ms: u32) -> ItemHeader {
        let lock = if self.locked { DeleteLock([1; 16]) } else { DeleteLock::NONE };
        let header = ItemHeader::publish(&key(self.key), ItemType::RAW, lock, ttl_ms, &self.value);
        ItemHeader { age_ms, ..header }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait { us: u64 },
    Offer { item: Item, mode: StoreMode, ttl_ms: u32, age_ms: u32, subnet: u8, whole: bool, late_us: u64 },
    Publish { item: Item, ttl_ms: u32 },
    Find { key: u8, max_age_ms: Option<u64>, page: usize },
    Read { item: Item, offset: u32, len: usize },
    Forget { item: Item, all: bool },
    Expire,
    PassOn { bits: usize, ahead_us: u64, most: usize },
    List,
}

fn item() -> impl Strategy<Value = Item> {
    let len = prop::sample::select(vec![0usize, 1, 90, 126, 127, 200]);
    (0u8..4, 0u8..3, len, prop::bool::weighted(0.2)).prop_map(|(key, fill, len, locked)| {
        let value = (0..len).map(|at| fill.wrapping_add(at as u8)).collect();
        Item { key, value, locked }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop::sample::select(vec![
        StoreMode::Publish,
        StoreMode::Publish,
        StoreMode::Replicate,
        StoreMode::Handover,
        StoreMode::Cache,
    ]);
    let ttl = prop_oneof![0u32..30_000, 30_000u32..200_000, Just(u32::MAX)];
    let offer = (item(), mode, ttl.clone(), (0u32..100_000, 0u8..4), prop::bool::weighted(0.8), 0u64..3_000_000)
        .prop_map(|(item, mode, ttl_ms, (age_ms, subnet), whole, late_us)| {
            let late_us = if whole { late_us } else { 0 };
            Step::Offer { item, mode, ttl_ms, age_ms, subnet, whole, late_us }
        });
    let age = prop::option::of(0u64..100_000);
    prop_oneof![
        4 => (0u64..9_000_000).prop_map(|us| Step::Wait { us }),
        1 => (0u64..90_000_000).prop_map(|us| Step::Wait { us }),
        9 => offer,
        2 => (item(), ttl).prop_map(|(item, ttl_ms)| Step::Publish { item, ttl_ms }),
        3 => (0u8..4, age, 1usize..4).prop_map(|(key, max_age_ms, page)| Step::Find { key, max_age_ms, page }),
        2 => (item(), 0u32..300, 0usize..300).prop_map(|(item, offset, len)| Step::Read { item, offset, len }),
        1 => (item(), any::<bool>()).prop_map(|(item, all)| Step::Forget { item, all }),
        1 => Just(Step::Expire),
        3 => (0usize..9, 0u64..90_000_000, 0usize..5)
            .prop_map(|(bits, ahead_us, most)| Step::PassOn { bits, ahead_us, most }),
        1 => Just(Step::List),
    ]
}

/// When something is due, as far as that is known: give or take a quarter.
#[derive(Clone, Copy, Debug)]
struct Span {
    least: u64,
    most: u64,
}

impl Span {
    fn from(now: u64, interval: Duration) -> Self {
        let us = interval.as_micros() as u64;
        Self { least: now + us / 4 * 3, most: now + us / 4 * 5 + 1 }
    }
}

#[derive(Clone, Debug)]
struct Held {
    key: Key,
    digest: Digest,
    bytes: Vec<u8>,
    born: i128,
    expires: u64,
    own: bool,
    cached: bool,
    /// `None` for this node itself.
    subnet: Option<u8>,
    arrival: u64,
    replicate: Span,
    republish: Span,
}

impl Held {
    fn ttl_ms(&self, now: u64) -> u32 {
        (self.expires.saturating_sub(now) / 1000) as u32
    }

    fn age_ms(&self, now: u64) -> u32 {
        u32::try_from((i128::from(now) - self.born).max(0).unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Cached copies and forgotten items are evicted before all others.
    fn goes_first(&self) -> bool {
        !self.own && (self.cached || self.subnet.is_none())
    }

    /// The order of eviction within a source: by distance from zero, expiry, arrival.
    fn rank(&self) -> (std::cmp::Reverse<Key>, u64, u64) {
        (std::cmp::Reverse(self.key), self.expires, self.arrival)
    }

    fn passable(&self, now: u64) -> bool {
        !self.cached && self.expires.saturating_sub(now) / 1000 > TOO_LATE_US / 1000
    }
}

struct Model {
    limits: Limits,
    held: Vec<Held>,
    now: u64,
    arrivals: u64,
    evicted: u64,
}

impl Model {
    fn sweep(&mut self) -> usize {
        let before = self.held.len();
        let now = self.now;
        self.held.retain(|held| held.expires > now);
        before - self.held.len()
    }

    fn find(&self, key: &Key, digest: &Digest) -> Option<usize> {
        self.held.iter().position(|held| held.key == *key && held.digest == *digest && held.expires > self.now)
    }

    /// Returns the items to remove so that a new item fits under its key; an error if it does not fit.
    fn room_under_key(&self, newcomer: &Held) -> Result<Option<Digest>, ()> {
        let under_key: Vec<&Held> = self.held.iter().filter(|held| held.key == newcomer.key).collect();
        let bytes: u64 = under_key.iter().map(|held| held.bytes.len() as u64).sum();
        let fits = |less: usize| bytes - less as u64 + newcomer.bytes.len() as u64 <= self.limits.bytes_per_key;
        if under_key.len() < self.limits.values_per_key && fits(0) {
            return Ok(None);
        }
        let oldest_first = |held: &&&Held| (held.born, std::cmp::Reverse(held.digest));
        let able: Vec<&Held> = under_key.iter().copied().filter(|held| !held.own && fits(held.bytes.len())).collect();
        let crowd = |held: &Held, more: usize| {
            let others = under_key.iter().filter(|held| !held.own);
            let (narrow, wide) = others.fold((more, more), |(narrow, wide), other| {
                let same = (other.subnet == held.subnet, wide_of(other.subnet) == wide_of(held.subnet));
                (narrow + usize::from(same.0), wide + usize::from(same.1))
            });
            (narrow * 4).max(wide)
        };
        let theirs = crowd(newcomer, 1);
        let most = able.iter().map(|held| crowd(held, 0)).filter(|crowd| newcomer.own || *crowd > theirs).max();
        if let Some(most) = most {
            let of_most = able.iter().filter(|held| crowd(held, 0) == most);
            return Ok(of_most.min_by_key(oldest_first).map(|held| held.digest));
        }
        let own_older = able.iter().filter(|held| {
            held.subnet == newcomer.subnet
                && (held.born, std::cmp::Reverse(held.digest)) < (newcomer.born, std::cmp::Reverse(newcomer.digest))
        });
        own_older.min_by_key(oldest_first).map(|held| Some(held.digest)).ok_or(())
    }

    /// Returns the items to evict so that a new item fits, by arrival; an error if it would be evicted first.
    fn room(&self, newcomer: &Held) -> Result<Vec<u64>, ()> {
        let freed = self.room_under_key(newcomer)?;
        let is_freed = |held: &&Held| held.key == newcomer.key && Some(held.digest) == freed;
        let mut going: Vec<u64> = self.held.iter().filter(is_freed).map(|held| held.arrival).collect();
        let mut rest: Vec<&Held> = self.held.iter().filter(|held| !is_freed(held)).collect();
        let charge = |held: &Held| (held.bytes.len() as u64).max(self.limits.bytes / self.limits.items as u64);
        loop {
            let bytes: u64 = rest.iter().map(|held| charge(held)).sum::<u64>() + charge(newcomer);
            if rest.len() < self.limits.items && bytes <= self.limits.bytes {
                return Ok(going);
            }
            let next = self.next_victim(&rest, newcomer).ok_or(())?;
            going.push(next);
            rest.retain(|held| held.arrival != next);
        }
    }

    fn next_victim(&self, rest: &[&Held], newcomer: &Held) -> Option<u64> {
        if let Some(first) = rest.iter().filter(|held| held.goes_first()).min_by_key(|held| held.rank()) {
            return (!newcomer.goes_first() || first.rank() < newcomer.rank()).then_some(first.arrival);
        }
        let kept: Vec<&Held> = rest.iter().copied().chain([newcomer]).filter(|held| !held.own).collect();
        let weight = |matches: &dyn Fn(&Held) -> bool| -> u64 {
            let counted = kept.iter().filter(|held| matches(held));
            counted.map(|held| held.bytes.len() as u64 + self.limits.bytes / self.limits.items as u64).sum()
        };
        let largest = kept.iter().max_by_key(|held| {
            let narrow = weight(&|other| other.subnet == held.subnet);
            let wide = weight(&|other| wide_of(other.subnet) == wide_of(held.subnet));
            ((narrow * 4).max(wide), narrow, source(held.subnet))
        })?;
        let theirs = kept.iter().filter(|held| held.subnet == largest.subnet && held.arrival != newcomer.arrival);
        let least = theirs.min_by_key(|held| held.rank())?;
        let rivals = !newcomer.own && newcomer.subnet == largest.subnet;
        let goes = !newcomer.goes_first() && (!rivals || least.rank() < newcomer.rank());
        goes.then_some(least.arrival)
    }

    /// Returns a store's answer to an offer; `None`: send the bytes.
    fn offered(&mut self, offer: &Offer<'_>, bytes: &[u8], subnet: Option<u8>) -> Option<(ItemStatus, u32)> {
        let (now, own) = (self.now, subnet.is_none());
        let received = offer.received.as_micros();
        let until = |most_ms: u32| received + u64::from(offer.header.ttl_ms.min(most_ms)) * 1000;
        let replicate = Span::from(now, self.limits.replicate);
        if let Some(at) = self.find(&offer.key, &offer.header.digest) {
            let held = &mut self.held[at];
            if offer.mode != StoreMode::Cache {
                let proven = offer.bytes.is_some() || held.subnet == subnet;
                let published = !held.cached && offer.mode == StoreMode::Publish && proven;
                if held.cached || published {
                    held.expires = held.expires.max(until(TTL_MAX_MS));
                }
                if published {
                    held.born = held.born.max(i128::from(received) - i128::from(offer.header.age_ms) * 1000);
                }
                held.cached = false;
                held.replicate = replicate;
            }
            held.own |= own;
            return Some((ItemStatus::Already, held.ttl_ms(now)));
        }
        self.sweep();
        self.arrivals += 1;
        let cached = offer.mode == StoreMode::Cache;
        let newcomer = Held {
            key: offer.key,
            digest: offer.header.digest,
            bytes: bytes.to_vec(),
            born: i128::from(received) - i128::from(offer.header.age_ms) * 1000,
            expires: until(if cached { self.limits.cache_ttl_ms } else { TTL_MAX_MS }),
            own,
            cached,
            subnet,
            arrival: self.arrivals,
            replicate,
            republish: Span::from(now, self.limits.republish),
        };
        if newcomer.expires <= now {
            return Some((ItemStatus::Expired, 0));
        }
        let Ok(going) = self.room(&newcomer) else { return Some((ItemStatus::Full, 0)) };
        offer.bytes?;
        self.evicted += going.len() as u64;
        self.held.retain(|held| !going.contains(&held.arrival));
        let ttl_ms = newcomer.ttl_ms(now);
        self.held.push(newcomer);
        Some((ItemStatus::Stored, ttl_ms))
    }

    fn passed_on(&mut self, due: &Due) {
        let at = self.find(&due.key, &due.header.digest).expect("only what is held is due");
        let (now, limits) = (self.now, self.limits.clone());
        let held = &mut self.held[at];
        held.replicate = Span::from(now, limits.replicate);
        if due.mode == StoreMode::Publish {
            held.republish = Span::from(now, limits.republish);
        }
    }

    /// Forgets the schedule of an item that expires soon: the store may have skipped it, and the model does not know when.
    fn passed_over(&mut self, until: u64) {
        let (now, limits) = (self.now, self.limits.clone());
        for held in self.held.iter_mut().filter(|held| !held.passable(now)) {
            for (span, interval) in [(&mut held.replicate, limits.replicate), (&mut held.republish, limits.republish)] {
                if span.least <= until {
                    span.most = span.most.max(Span::from(now, interval).most);
                }
            }
        }
    }
}

/// Two private hosts, and two public ones in one /16.
fn address(subnet: u8) -> Ipv4Addr {
    let [private, public] = [[10, 1], [66, 1]];
    let [a, b] = if subnet < 2 { private } else { public };
    Ipv4Addr::new(a, b, subnet, 7)
}

/// The order of sources with equal shares.
fn source(subnet: Option<u8>) -> (bool, Option<u8>) {
    (subnet.is_some_and(|subnet| subnet >= 2), subnet)
}

/// Returns the wide prefix of a source.
fn wide_of(subnet: Option<u8>) -> Option<u8> {
    subnet.map(|subnet| subnet.min(2))
}

fn at(us: u64) -> Instant {
    Instant::from_micros(us)
}

fn follows_the_model(store: &mut dyn Store, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = Model { limits: limits(), held: Vec::new(), now: START_US, arrivals: 0, evicted: 0 };
    for step in steps {
        take(store, &mut model, step)?;
        prop_assert_eq!(store.commit(), Ok(()));
        let usage = store.usage();
        prop_assert_eq!(usage.items, model.held.len(), "after {:?}", step);
        prop_assert_eq!(usage.bytes, model.held.iter().map(|held| held.bytes.len() as u64).sum::<u64>());
        prop_assert_eq!(usage.evicted, model.evicted);
        let ends = model.held.iter().map(|held| held.expires).min();
        let wake = store.next_wake().map(Instant::as_micros);
        prop_assert!(wake.is_some() == ends.is_some() && wake <= ends, "it wakes for the first end");
        let dues = model.held.iter().filter(|held| !held.cached).flat_map(|held| {
            let republish = held.own.then_some(held.republish.least);
            [Some(held.replicate.least), republish].into_iter().flatten()
        });
        prop_assert!(wake >= ends.into_iter().chain(dues).min(), "and for nothing before what is due");
    }
    Ok(())
}

fn take(store: &mut dyn Store, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Wait { us } => model.now += us,
        Step::Offer { item, mode, ttl_ms, age_ms, subnet, whole, late_us } => {
            let source = Endpoint::from((address(*subnet), 9000));
            let received = at(model.now - late_us);
            let bytes = whole.then_some(&item.value[..]);
            let (key, header) = (key(item.key), item.header(*ttl_ms, *age_ms));
            let offer = Offer { key, header, bytes, mode: *mode, source, received };
            let expected = model.offered(&offer, &item.value, Some(*subnet));
            let answer = store.offer(at(model.now), &offer).map(|answer| (answer.status, answer.ttl_ms));
            prop_assert_eq!(answer, expected, "{:?}", step);
        }
        Step::Publish { item, ttl_ms } => {
            let (key, header) = (key(item.key), item.header(*ttl_ms, 0));
            let (mode, source, received) = (StoreMode::Publish, Endpoint::UNSPECIFIED, at(model.now));
            let offer = Offer { key, header, bytes: Some(&item.value), mode, source, received };
            let expected = model.offered(&offer, &item.value, None);
            let answer = store.publish(at(model.now), &key, &header, &item.value);
            prop_assert_eq!(Some((answer.status, answer.ttl_ms)), expected, "{:?}", step);
        }
        Step::Find { key: number, max_age_ms, page } => find(store, model, key(*number), *max_age_ms, *page)?,
        Step::Read { item, offset, len } => {
            let digest = item.header(0, 0).digest;
            let held = model.find(&key(item.key), &digest).map(|at| &model.held[at].bytes[..]);
            let rest = held.and_then(|bytes| bytes.get(*offset as usize..)).unwrap_or_default();
            let mut out = vec![0xee; *len];
            let read = store.read(at(model.now), &key(item.key), &digest, *offset, &mut out);
            prop_assert_eq!(&out[..read], &rest[..rest.len().min(*len)]);
            prop_assert!(out[read..].iter().all(|&byte| byte == 0xee), "nothing is written past the end");
        }
        Step::Forget { item, all } => {
            let digest = item.header(0, 0).digest;
            let chosen = |held: &&mut Held| held.own && held.key == key(item.key) && (*all || held.digest == digest);
            let forgotten = model.held.iter_mut().filter(chosen).map(|held| held.own = false).count();
            prop_assert_eq!(store.forget(&key(item.key), (!all).then_some(&digest)), forgotten);
        }
        Step::Expire => prop_assert_eq!(store.expire(at(model.now)), model.sweep()),
        Step::PassOn { bits, ahead_us, most } => pass_on(store, model, *bits, *ahead_us, *most)?,
        Step::List => {
            let mut place = None;
            let mut listed = Vec::new();
            while let Some(item) = store.next_item(at(model.now), place.as_ref()) {
                place = Some(item.place());
                listed.push((item.key, item.header.digest, item.header.ttl_ms, item.own));
            }
            let alive = model.held.iter().filter(|held| held.expires > model.now);
            let mut expected: Vec<_> =
                alive.map(|held| (held.key, held.digest, held.ttl_ms(model.now), held.own)).collect();
            expected.sort_unstable();
            prop_assert_eq!(listed, expected);
        }
    }
    Ok(())
}

fn find(
    store: &mut dyn Store,
    model: &Model,
    key: Key,
    max_age_ms: Option<u64>,
    page: usize,
) -> Result<(), TestCaseError> {
    let now = model.now;
    let matches = |held: &&Held| {
        held.key == key && held.expires > now && max_age_ms.is_none_or(|max| u64::from(held.age_ms(now)) <= max)
    };
    let mut expected: Vec<&Held> = model.held.iter().filter(matches).collect();
    expected.sort_by_key(|held| (std::cmp::Reverse(held.born), held.digest));
    let mut query = Query { key, types: TypeMask::ALL, max_age: max_age_ms.map(Duration::from_millis), cursor: 0 };
    let mut found = Vec::new();
    loop {
        let mut sink = Collect::new(page);
        let part = store.find(at(now), &query, &mut sink);
        prop_assert_eq!(part.total, expected.len());
        found.extend(sink.found);
        prop_assert!(found.len() <= expected.len(), "pages do not repeat themselves");
        query.cursor = part.next_cursor;
        if query.cursor == 0 {
            break;
        }
    }
    prop_assert_eq!(found.len(), expected.len(), "pages join to the whole list");
    for ((header, bytes), held) in found.iter().zip(expected) {
        prop_assert_eq!((header.digest, bytes), (held.digest, &held.bytes));
        prop_assert_eq!((header.ttl_ms, header.age_ms), (held.ttl_ms(now), held.age_ms(now)));
        prop_assert_eq!(header.flags & 1 == 1, held.cached);
    }
    Ok(())
}

/// Takes all due items, each with those due together with it.
fn pass_on(
    store: &mut dyn Store,
    model: &mut Model,
    bits: usize,
    ahead_us: u64,
    most: usize,
) -> Result<(), TestCaseError> {
    let (now, until) = (model.now, model.now + ahead_us);
    for round in 0.. {
        prop_assert!(round < 40, "what was passed on is not due at once again");
        let Some(first) = store.poll_due(at(now)) else { break };
        let held = model.find(&first.key, &first.header.digest).map(|at| model.held[at].clone());
        prop_assert!(held.is_some(), "only what is held and lives is due");
        let held = held.unwrap();
        prop_assert!(held.passable(now));
        let span = if first.mode == StoreMode::Publish { held.republish } else { held.replicate };
        prop_assert!(span.least <= now && (held.own || first.mode == StoreMode::Replicate), "not before its time");
        model.passed_on(&first);
        let certain = model.held.iter().filter(|held| {
            let near = held.key.distance(&first.key).shared_bits() >= bits;
            let at = if first.mode == StoreMode::Publish { held.republish.most } else { held.replicate.most };
            near && !held.own && first.mode == StoreMode::Replicate && held.passable(now) && at <= until
        });
        let is_first = |held: &&Held| held.key == first.key && held.digest == first.header.digest;
        let certain: Vec<_> = certain.filter(|held| !is_first(held)).map(|held| (held.key, held.digest)).collect();
        let mut along = Vec::new();
        let mut refused = false;
        store.due_near(at(now), at(until), &first, bits, &mut |due| {
            assert!(!refused, "nothing more once it was enough");
            refused = along.len() >= most;
            if !refused {
                along.push(*due);
            }
            !refused
        });
        for due in &along {
            let place = (due.key, due.header.digest);
            prop_assert_ne!(place, (first.key, first.header.digest), "what is due does not go along with itself");
            let held = model.find(&place.0, &place.1).map(|at| model.held[at].clone());
            prop_assert!(held.as_ref().is_some_and(|held| held.passable(now)), "what goes along lives");
            let held = held.unwrap();
            let span = if due.mode == StoreMode::Publish { held.republish } else { held.replicate };
            prop_assert!(due.mode == first.mode && span.least <= until, "it is due for the same reason");
            prop_assert!(due.key.distance(&first.key).shared_bits() >= bits, "and near");
            model.passed_on(due);
        }
        let taken = |place: &(Key, Digest)| along.iter().any(|due| (due.key, due.header.digest) == *place);
        prop_assert!(refused || certain.iter().all(taken), "everything near that is due goes along");
        model.passed_over(until);
    }
    model.passed_over(now);
    for held in model.held.iter().filter(|held| held.passable(now)) {
        let republished = !held.own || held.republish.most > now;
        prop_assert!(held.replicate.most > now && republished, "nothing that is due is left: {:?}", held);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_growing_store_follows_the_model(steps in prop::collection::vec(step(), 0..120)) {
        follows_the_model(&mut MemoryStore::new(limits()), &steps)?;
    }

    #[test]
    fn the_fixed_store_follows_the_model(steps in prop::collection::vec(step(), 0..120)) {
        let (mut records, mut blocks) = ([FixedRecord::EMPTY; 9], [FixedBlock::EMPTY; 20]);
        follows_the_model(&mut FixedStore::new(limits(), &mut records, &mut blocks), &steps)?;
    }

    #[test]
    fn the_flash_store_follows_the_model(steps in prop::collection::vec(step(), 0..120)) {
        type Flashed<'m> = FlashStore<'m, &'m mut MockFlash<4, 4, 2048>, 8, 20>;
        let mut flash = MockFlash::new(9);
        Flashed::format(&mut flash, 0).expect("formats");
        let (mut records, mut blocks) = ([FixedRecord::EMPTY; 9], [FlashBlock::EMPTY; 9]);
        let start = Instant::from_micros(START_US);
        let mut store = Flashed::open(&mut flash, 0, limits(), &mut records, &mut blocks, start).expect("opens");
        follows_the_model(&mut store, &steps)?;
        prop_assert_eq!(store.health(), FlashHealth::default());
    }
}

proptest! {
    // Each is a file, with a wait for the disk after each step.
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_disk_store_follows_the_model(steps in prop::collection::vec(step(), 0..120)) {
        // In memory if the system has such a directory: this test is not about durability.
        let memory = std::path::Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::tempdir_in(parent).expect("a directory");
        let moment = Moment::system(Instant::from_micros(START_US));
        let mut store = DiskStore::open(directory.path().join("values"), limits(), moment).expect("opens");
        follows_the_model(&mut store, &steps)?;
        let DiskHealth { failed_commits, failed_reads, lost, refused, .. } = store.health();
        prop_assert_eq!((failed_commits, failed_reads, lost, refused), (0, 0, 0, 0));
    }
}
