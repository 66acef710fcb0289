//! Both stores under the same operations, against a model and against each other: they follow the same rules, so they must say
//! the same. A third one, in memory that is too small for its limits, is held against the model only.

use std::collections::BTreeMap;
use std::time::Duration;

use kad_store::conformance::Collect;
use kad_store::{Due, FixedBlock, FixedRecord, FixedStore, Limits, MemoryStore, Page, Store, Usage};
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Answer, Digest, Instant, ItemHeader, ItemStatus, Key, NodeId, Offer, Query, StoreMode, TypeMask};

use crate::script::{self, Step};
use crate::values::{self, Value};
use crate::world::stranger_address;

const STEPS: usize = 200;

/// The bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, arbitrary::Arbitrary)]
struct Bounds {
    items: u8,
    bytes: u8,
    values_per_key: u8,
    bytes_per_key: u8,
}

impl Bounds {
    fn limits(self) -> Limits {
        Limits {
            items: 1 + usize::from(self.items % 12),
            bytes: 1 + u64::from(self.bytes) * 64,
            values_per_key: 1 + usize::from(self.values_per_key % 6),
            bytes_per_key: 1 + u64::from(self.bytes_per_key) * 48,
            cache_ttl_ms: 10_000,
            ..Limits::new(NodeId::from_bytes([0; 32]))
        }
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((bounds, steps)) = script::read::<Bounds>(data) else { return };
    let limits = bounds.limits();
    let (mut records, mut blocks) = ([FixedRecord::EMPTY; 12], [FixedBlock::EMPTY; 300]);
    let (mut few_records, mut few_blocks) = ([FixedRecord::EMPTY; 5], [FixedBlock::EMPTY; 40]);
    let mut fixed = Held::new(FixedStore::new(limits.clone(), &mut records, &mut blocks), limits.clone());
    let mut growing = Held::new(MemoryStore::new(limits.clone()), limits.clone());
    let small = Limits { items: limits.items.min(5), bytes: limits.bytes.min(40 * 126), ..limits.clone() };
    let mut scarce = Held::new(FixedStore::new(limits, &mut few_records, &mut few_blocks), small);
    let mut now = Instant::from_micros(5_000_000);
    for step in steps.take(STEPS) {
        if step.code & 0x0f == code::WAIT {
            let units = [1, 1_000, 300_000, 5_000_000, 600_000_000, 20_000_000_000];
            now = now + Duration::from_micros(units[usize::from(step.a) % 6] * (1 + u64::from(step.b)));
        }
        let said = fixed.take(now, step);
        assert_eq!(said, growing.take(now, step), "both stores say the same");
        scarce.take(now, step);
    }
}

/// Codes of the steps: the low four bits of their first byte. Never renumber them.
pub(crate) mod code {
    pub(crate) const WAIT: u8 = 0;
    pub(crate) const OFFER: u8 = 1;
    pub(crate) const OFFER_HEADER: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const FIND: u8 = 4;
    pub(crate) const NEXT_PAGE: u8 = 5;
    pub(crate) const READ: u8 = 6;
    pub(crate) const FORGET: u8 = 7;
    pub(crate) const EXPIRE: u8 = 8;
    pub(crate) const POLL_DUE: u8 = 9;
    pub(crate) const DUE_NEAR: u8 = 10;
}

/// What a step brought to light. Everything that two stores must agree about.
#[derive(PartialEq, Debug)]
enum Said {
    Nothing,
    Answer(Option<Answer>),
    Found(Page, Vec<ItemHeader>),
    Count(usize),
    Due(Option<Due>, Vec<(Key, Digest)>),
}

/// What the model knows of an item.
#[derive(Clone, Copy, Debug)]
struct Known {
    value: &'static Value,
    /// No later than this it is gone.
    until: Instant,
    /// Which stranger brought it; `None` for this node itself.
    source: Option<u8>,
    /// Whether its bytes came along.
    whole: bool,
    /// Not before this it was born, in microseconds.
    born: Instant,
    own: bool,
    cached: bool,
}

/// A store and what is known about it.
struct Held<S> {
    store: S,
    limits: Limits,
    known: BTreeMap<(Key, Digest), Known>,
    /// Where the last find stopped, and whether the store has changed since.
    page: Option<(Query, Vec<Digest>)>,
}

impl<S: Store> Held<S> {
    fn new(store: S, limits: Limits) -> Self {
        Self { store, limits, known: BTreeMap::new(), page: None }
    }

    fn take(&mut self, now: Instant, step: Step) -> Said {
        let Step { code, a, b, c } = step;
        let said = match code & 0x0f {
            code::OFFER => self.offer(now, step, true),
            code::OFFER_HEADER => self.offer(now, step, false),
            code::PUBLISH => self.publish(now, values::pick(a), values::ttl_ms(b)),
            code::FIND => {
                let max_age = (c & 1 == 1).then(|| Duration::from_millis(u64::from(c) * 100));
                let types = TypeMask(if b & 0x40 == 0 { 0xff } else { b & 3 });
                let query = Query { key: values::pick(a).key, types, max_age, cursor: 0 };
                self.find(now, query, room(b), Vec::new())
            }
            code::NEXT_PAGE => match self.page.take() {
                // Where the last item of a page has expired since, a store may start over.
                Some((query, seen)) if self.is_alive(now, &query.key, seen.last()) => {
                    self.find(now, query, room(b), seen)
                }
                _ => Said::Nothing,
            },
            code::READ => self.read(now, values::pick(a), u32::from(b) * 20, usize::from(c) * 24),
            code::FORGET => self.forget(now, values::pick(a), b & 1 == 0),
            code::EXPIRE => {
                self.page = None;
                Said::Count(self.store.expire(now))
            }
            code::POLL_DUE => Said::Due(self.due(now), Vec::new()),
            code::DUE_NEAR => self.due_near(now, a, b),
            _ => Said::Nothing,
        };
        self.check(now);
        said
    }

    fn offer(&mut self, now: Instant, Step { code, a, b, c }: Step, whole: bool) -> Said {
        let value = values::pick(a);
        let mode = StoreMode::try_from(b >> 3 & 3).unwrap_or_default();
        let ttl_ms = values::ttl_ms(b).min(TTL_MAX_MS);
        let age_ms = u32::from(c >> 3) * 1000;
        let offer = Offer {
            key: value.key,
            header: ItemHeader { ttl_ms, age_ms, ..value.header },
            bytes: whole.then_some(&value.bytes[..]),
            mode,
            source: stranger_address(usize::from(c & 3)).into(),
            // Its bytes may have taken a while.
            received: Instant::from_micros(now.as_micros() - u64::from(code >> 4) * 100_000),
        };
        let answer = self.store.offer(now, &offer);
        assert!(answer.is_some() || !whole, "with bytes there is always an answer");
        let cached = mode == StoreMode::Cache;
        let ttl_ms = if cached { ttl_ms.min(self.limits.cache_ttl_ms) } else { ttl_ms };
        let until = offer.received.plus_millis(ttl_ms.into());
        let born = Instant::from_micros(offer.received.as_micros() - u64::from(age_ms) * 1000 % 4_000_000);
        if let Some(answer) = answer {
            let fresh = Known { value, until, source: Some(c & 3), whole, born, own: false, cached };
            self.took(now, answer, fresh, mode);
        }
        Said::Answer(answer)
    }

    fn publish(&mut self, now: Instant, value: &'static Value, ttl_ms: u32) -> Said {
        let ttl_ms = ttl_ms.min(TTL_MAX_MS);
        let header = ItemHeader { ttl_ms, ..value.header };
        let answer = self.store.publish(now, &value.key, &header, &value.bytes);
        let until = now.plus_millis(ttl_ms.into());
        let fresh = Known { value, until, source: None, whole: true, born: now, own: true, cached: false };
        self.took(now, answer, fresh, StoreMode::Publish);
        if answer.status.is_held()
            && let Some(known) = self.known.get_mut(&(value.key, value.header.digest))
        {
            known.own = true;
        }
        Said::Answer(Some(answer))
    }

    /// Takes an answer into the model, and holds it against what the model knew.
    fn took(&mut self, now: Instant, answer: Answer, fresh: Known, mode: StoreMode) {
        self.page = None;
        let place = (fresh.value.key, fresh.value.header.digest);
        let before = self.known.get(&place).copied().filter(|known| now < known.until);
        match answer.status {
            ItemStatus::Stored => {
                assert!(now < fresh.until, "what has no life left is not stored");
                assert!(before.is_none_or(|known| !known.own), "this node's own items are not stored anew");
                self.known.insert(place, fresh);
            }
            ItemStatus::Already => {
                let mut known = before.expect("only what was stored is there already");
                let offered = fresh.until;
                match mode {
                    StoreMode::Cache => {}
                    _ if known.cached => known = Known { until: known.until.max(offered), cached: false, ..known },
                    // Only who brings the bytes, or brought them at first, speaks for the publisher.
                    StoreMode::Publish if fresh.whole || fresh.source == known.source => {
                        known.until = known.until.max(offered);
                        known.born = known.born.max(fresh.born);
                    }
                    StoreMode::Publish | StoreMode::Replicate | StoreMode::Handover => {}
                }
                self.known.insert(place, known);
            }
            _ => assert!(before.is_none_or(|known| !known.own), "this node's own item is there already"),
        }
        if answer.status.is_held() {
            let left = self.known[&place].until.micros_since(now) / 1000;
            assert_eq!(u64::from(answer.ttl_ms), left, "an answer says how long it is kept");
        }
    }

    /// Finds a page, and holds it against the pages before it.
    fn find(&mut self, now: Instant, query: Query, room: usize, mut seen: Vec<Digest>) -> Said {
        let mut sink = Collect::new(room);
        let page = self.store.find(now, &query, &mut sink);
        let found = sink.found;
        assert!(found.len() <= page.total && (page.next_cursor != 0 || found.len() <= room));
        let ages: Vec<_> = found.iter().map(|(header, _)| header.age_ms).collect();
        assert!(ages.is_sorted(), "newest first");
        for (header, bytes) in &found {
            assert!(!seen.contains(&header.digest), "no item is on two pages");
            seen.push(header.digest);
            let known = self.alive(now, &query.key, &header.digest);
            assert_eq!(*bytes, known.value.bytes, "what is found is what was stored");
            assert!(u64::from(header.ttl_ms) <= known.until.micros_since(now) / 1000, "a life only shrinks");
            assert!(u64::from(header.age_ms) >= now.micros_since(known.born) / 1000, "an age only grows");
            assert!(query.types.contains(header.item_type));
            assert!(query.max_age.is_none_or(|max| u128::from(header.age_ms) <= max.as_millis()));
        }
        if page.next_cursor == 0 {
            // Later pages may lack what has become too old in between.
            assert!(query.max_age.is_some() || seen.len() >= page.total, "no item is lost between pages");
        } else {
            self.page = Some((Query { cursor: page.next_cursor, ..query }, seen));
        }
        Said::Found(page, found.into_iter().map(|(header, _)| header).collect())
    }

    fn is_alive(&self, now: Instant, key: &Key, digest: Option<&Digest>) -> bool {
        let known = digest.and_then(|digest| self.known.get(&(*key, *digest)));
        known.is_some_and(|known| now < known.until)
    }

    /// What the model knows of an item that the store just spoke of: it must be alive.
    fn alive(&self, now: Instant, key: &Key, digest: &Digest) -> Known {
        let known = self.known.get(&(*key, *digest)).expect("only what was stored is spoken of");
        assert!(now < known.until, "nothing is spoken of after its life");
        *known
    }

    fn read(&mut self, now: Instant, value: &'static Value, offset: u32, len: usize) -> Said {
        let mut out = vec![0; len];
        let read = self.store.read(now, &value.key, &value.header.digest, offset, &mut out);
        if read > 0 {
            let known = self.alive(now, &value.key, &value.header.digest);
            let rest = &known.value.bytes[offset as usize..];
            assert_eq!(out[..read], rest[..len.min(rest.len())], "what is read is what was stored");
        }
        Said::Count(read)
    }

    fn forget(&mut self, now: Instant, value: &'static Value, one: bool) -> Said {
        let digest = one.then_some(&value.header.digest);
        let forgotten = self.store.forget(&value.key, digest);
        let chosen = |(key, of): &(Key, Digest)| *key == value.key && digest.is_none_or(|digest| digest == of);
        let mine = self.known.iter_mut().filter(|(place, known)| chosen(place) && known.own);
        let mut alive = 0;
        for (_, known) in mine {
            known.own = false;
            alive += usize::from(now < known.until);
        }
        assert!(forgotten >= alive, "every own item is forgotten");
        Said::Count(forgotten)
    }

    fn due(&mut self, now: Instant) -> Option<Due> {
        let due = self.store.poll_due(now)?;
        self.check_due(now, &due);
        Some(due)
    }

    fn check_due(&self, now: Instant, due: &Due) {
        let known = self.alive(now, &due.key, &due.header.digest);
        assert!(!known.cached, "a reader's copy is not passed on");
        assert!(due.mode == StoreMode::Replicate || known.own, "only own items are published");
        assert!(u64::from(due.header.ttl_ms) <= known.until.micros_since(now) / 1000, "a life only shrinks");
    }

    /// What is due, with its neighbours: all of them or none, because stores may look in any order.
    fn due_near(&mut self, now: Instant, bits: u8, all: u8) -> Said {
        let Some(first) = self.due(now) else { return Said::Due(None, Vec::new()) };
        let mut along = Vec::new();
        let until = now.plus_millis(900_000);
        let bits = usize::from(bits % 9);
        self.store.due_near(now, until, &first, bits, &mut |due| {
            along.push(*due);
            all & 1 == 0
        });
        if all & 1 == 1 {
            assert!(along.len() <= 1, "nothing is offered after a refusal");
            return Said::Due(Some(first), Vec::new());
        }
        for due in &along {
            assert!(due.mode == first.mode && due.key.distance(&first.key).shared_bits() >= bits);
            self.check_due(now, due);
        }
        let mut along: Vec<_> = along.iter().map(|due| (due.key, due.header.digest)).collect();
        along.sort();
        let count = along.len();
        along.dedup();
        assert!(along.len() == count && !along.contains(&(first.key, first.header.digest)), "each is due once");
        Said::Due(Some(first), along)
    }

    /// Bounds, own items, and the listing.
    fn check(&mut self, now: Instant) {
        let Usage { items, bytes, .. } = self.store.usage();
        assert!(items <= self.limits.items && bytes <= self.limits.bytes, "bounds in total: {items}, {bytes}");
        let mut listed = BTreeMap::new();
        let mut last = None;
        while let Some(item) = self.store.next_item(now, last.as_ref()) {
            assert!(last.is_none_or(|last| last < item.place()), "the listing goes on");
            last = Some(item.place());
            let known = self.alive(now, &item.key, &item.header.digest);
            assert_eq!(item.own, known.own, "whose an item is");
            listed.insert(item.place(), item.header);
        }
        for (place, _) in self.known.iter().filter(|(_, known)| known.own && now < known.until) {
            assert!(listed.contains_key(place), "this node's own items stay");
        }
        self.check_keys(&listed);
        assert!(
            listed.len() <= items && listed.values().map(|header| u64::from(header.total_len)).sum::<u64>() <= bytes
        );
        let overdue = self.store.next_wake().is_some_and(|at| at <= now);
        assert!(overdue || listed.len() == items, "what has expired wakes the owner");
    }

    /// Bounds per key and type.
    fn check_keys(&self, listed: &BTreeMap<(Key, Digest), ItemHeader>) {
        let mut keys: BTreeMap<_, (usize, u64)> = BTreeMap::new();
        for ((key, _), header) in listed {
            let (count, bytes) = keys.entry((*key, header.item_type)).or_default();
            (*count, *bytes) = (*count + 1, *bytes + u64::from(header.total_len));
        }
        for (count, bytes) in keys.into_values() {
            assert!(count <= self.limits.values_per_key && bytes <= self.limits.bytes_per_key, "bounds per key");
        }
    }
}

/// Items that a page has room for: maybe none.
fn room(number: u8) -> usize {
    usize::from(number & 7)
}
