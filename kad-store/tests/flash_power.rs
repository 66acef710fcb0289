//! Power fails at any write or erase. Afterwards the flash store holds the items that it had acknowledged, byte for byte, except those
//! that have expired or were evicted; and no others.
//!
//! These tests found each of these planted mistakes within seconds: a header that is written
//! before its blocks, an extended life that is not written, an eviction without its mark on flash, and any one of the repairs of
//! torn erases left out (`erase_torn_pages`'s three, `finish_interrupted_erase`).

use crate::mock;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use embedded_storage::nor_flash::NorFlash;
use kad_store::{FixedRecord, FlashBlock, FlashStore, Limits, Listed, Store};
use kad_wire::{
    DeleteLock, Digest, Endpoint, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId, Offer, StoreMode, TypeMask,
};
use mock::{Dice, MockFlash};

/// The store clock may lag by this much, and a few minutes until the store is used again.
const CLOCK_LAG_MS: u64 = 3_600_000 + 1_500_000;
const RECORDS: usize = 8;

type Place = (Key, Digest);

fn limits() -> Limits {
    Limits {
        items: RECORDS,
        bytes: 3500,
        values_per_key: 3,
        bytes_per_key: 3000,
        cache_ttl_ms: 600_000,
        ..Limits::new(NodeId::from_bytes([0; 32]))
    }
}

/// Returns a value whose bytes identify it.
fn value(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(number | 1) >> 3) as u8 ^ number as u8).collect()
}

/// An operation on the store.
#[derive(Clone, Debug)]
enum Step {
    Offer { key: Key, value: Vec<u8>, mode: StoreMode, ttl_ms: u32, age_ms: u32, source: u8 },
    Publish { key: Key, value: Vec<u8>, ttl_ms: u32 },
    Forget(Key),
    Expire,
    Due,
}

impl Step {
    fn random(dice: &mut Dice) -> Self {
        let mut key = [0; 32];
        key[0] = 0x10 << dice.roll(3);
        let key = Key::from_bytes(key);
        let number = dice.roll(9);
        let len = [0, 5, 100, 487, 488, 489, 976, 1400][dice.roll(8) as usize];
        let ttl_ms = [60_000, 900_000, 7_200_000, 86_400_000][dice.roll(4) as usize] + dice.roll(50_000) as u32;
        let value = value(number, len);
        match dice.roll(12) {
            0 => Self::Forget(key),
            1 => Self::Expire,
            2 => Self::Due,
            3 | 4 => Self::Publish { key, value, ttl_ms },
            other => {
                let modes = [StoreMode::Publish, StoreMode::Replicate, StoreMode::Cache, StoreMode::Publish];
                let (mode, age_ms) = (modes[other as usize % 4], dice.roll(100_000) as u32);
                Self::Offer { key, value, mode, ttl_ms, age_ms, source: dice.roll(3) as u8 }
            }
        }
    }

    fn item(&self) -> Option<(Key, &[u8])> {
        match self {
            Self::Offer { key, value, .. } | Self::Publish { key, value, .. } => Some((*key, value)),
            Self::Forget(_) | Self::Expire | Self::Due => None,
        }
    }

    /// The item that it brings, if it brings one.
    fn brings(&self) -> Option<Place> {
        let (key, value) = self.item()?;
        Some((key, header(&key, 1, value).digest))
    }

    /// Takes the step. With an answer: whether the item is held, and for how long.
    fn take(&self, store: &mut dyn Store, now: Instant) -> Option<(ItemStatus, u32)> {
        let answer = match self {
            Self::Offer { key, value, mode, ttl_ms, age_ms, source } => {
                let header = ItemHeader { age_ms: *age_ms, ..header(key, *ttl_ms, value) };
                let source = Endpoint::from((std::net::Ipv4Addr::new(10, 1, *source, 7), 9000));
                let offer = Offer { key: *key, header, bytes: Some(value), mode: *mode, source, received: now };
                store.offer(now, &offer).expect("with bytes there is always an answer")
            }
            Self::Publish { key, value, ttl_ms } => store.publish(now, key, &header(key, *ttl_ms, value), value),
            Self::Forget(key) => {
                store.forget(key, None);
                return None;
            }
            Self::Expire => {
                store.expire(now);
                return None;
            }
            Self::Due => {
                while let Some(due) = store.poll_due(now) {
                    store.due_near(now, now, &due, 0, &mut |_| true);
                }
                return None;
            }
        };
        Some((answer.status, answer.ttl_ms))
    }
}

fn header(key: &Key, ttl_ms: u32, value: &[u8]) -> ItemHeader {
    ItemHeader::publish(key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value)
}

fn list(store: &dyn Store, now: Instant) -> BTreeMap<Place, Listed> {
    let next = |item: &Listed| store.next_item(now, Some(&item.place()));
    std::iter::successors(store.next_item(now, None), next).map(|item| (item.place(), item)).collect()
}

/// What the test knows of the store.
#[derive(Clone)]
struct Known {
    values: BTreeMap<Place, Vec<u8>>,
    /// What the store listed after the last step that it finished.
    held: BTreeMap<Place, Listed>,
    /// What had ended, and was perhaps not yet dropped.
    ended: BTreeSet<Place>,
    now: Instant,
}

impl Known {
    fn new() -> Self {
        Self { values: BTreeMap::new(), held: BTreeMap::new(), ended: BTreeSet::new(), now: Instant::ZERO }
    }

    fn learn(&mut self, step: &Step) {
        if let (Some(place), Some((_, value))) = (step.brings(), step.item()) {
            self.values.insert(place, value.to_vec());
        }
    }

    /// A step was finished: what does the store say now?
    fn finished(&mut self, store: &dyn Store, now: Instant, step: &Step, said: Option<(ItemStatus, u32)>) {
        let held = list(store, now);
        if let (Some((status, ttl_ms)), Some(place)) = (said, step.brings())
            && status.is_held()
        {
            assert_eq!(held.get(&place).map(|item| item.header.ttl_ms), Some(ttl_ms), "an answer is true");
        }
        let swept = store.usage().items == held.len();
        let gone = self.held.keys().filter(|place| !held.contains_key(place)).copied().collect::<Vec<_>>();
        self.ended.extend(gone);
        if swept {
            self.ended.clear();
        }
        (self.held, self.now) = (held, now);
    }

    /// Power went during `step` at `now`, was off for as long as `off` (which the store may have been told in vain), and the
    /// store is back at `then`.
    fn check(&mut self, store: &mut dyn Store, step: &Step, now: Instant, off: Duration, told: bool, then: Instant) {
        let back = list(store, then);
        let (passed_ms, off_ms) = (now.micros_since(self.now) / 1000, off.as_millis() as u64);
        let told_ms = if told { off_ms } else { 0 };
        for (place, item) in &back {
            let bytes = self.values.get(place).expect("only what was offered is there");
            let mut read = vec![0; bytes.len() + 1];
            let len = store.read(then, &place.0, &place.1, 0, &mut read);
            assert!(read[..len] == **bytes, "byte for byte: {len} bytes of {}", item.header.total_len);
            let before = self.held.get(place);
            let known = before.is_some() || self.ended.contains(place) || step.brings() == Some(*place);
            assert!(known, "nothing comes back that was gone: {:?}", item.header);
            if let Some(before) = before
                && step.brings() != Some(*place)
            {
                let ttl_ms = u64::from(before.header.ttl_ms).saturating_sub(told_ms);
                let most = ttl_ms + ttl_ms / 7 + CLOCK_LAG_MS + passed_ms + off_ms / 7;
                assert!(u64::from(item.header.ttl_ms) <= most, "it lives no longer than is documented");
                assert!(u64::from(item.header.age_ms) + CLOCK_LAG_MS >= u64::from(before.header.age_ms) + told_ms);
                // It may be older: that it was published again is written along with the next change of its life.
                let forgotten = matches!(step, Step::Forget(key) if *key == place.0);
                assert_eq!(item.header.flags, before.header.flags);
                assert!(item.own == before.own || forgotten && !item.own, "whose it is");
            }
        }
        let gone = self.held.values().filter(|item| !back.contains_key(&item.place()));
        for item in gone {
            let ttl_ms = u64::from(item.header.ttl_ms);
            let ended = ttl_ms <= passed_ms + off_ms + 1;
            assert!(ended || self.may_make_way(item, step), "lost: {item:?} during {step:?}");
        }
        for (place, item) in &self.held {
            let Some(after) = back.get(place) else { continue };
            let least = u64::from(item.header.ttl_ms).saturating_sub(passed_ms + off_ms + 1);
            assert!(u64::from(after.header.ttl_ms) >= least, "a promised life is kept");
        }
        (self.held, self.now) = (back, then);
        self.ended.clear();
    }

    /// Returns whether a step may evict an item.
    fn may_make_way(&self, item: &Listed, step: &Step) -> bool {
        let Some((key, value)) = step.item() else { return false };
        let limits = limits();
        let known = step.brings().is_some_and(|place| self.held.contains_key(&place));
        let items = self.held.len();
        let charge = |len: u64| len.max((limits.bytes / limits.items as u64).min(512));
        let bytes: u64 = self.held.values().map(|item| charge(u64::from(item.header.total_len))).sum();
        let under_key = self.held.keys().filter(|place| place.0 == key).count();
        let key_bytes: u64 =
            self.held.values().filter(|item| item.key == key).map(|item| u64::from(item.header.total_len)).sum();
        let len = value.len() as u64;
        let crowded = under_key >= limits.values_per_key || key_bytes + len > limits.bytes_per_key;
        let blocks: usize = self.held.values().map(|item| (item.header.total_len as usize).div_ceil(488)).sum();
        let full =
            items >= limits.items || charge(len) + bytes > limits.bytes || blocks + value.len().div_ceil(488) > 12;
        // The model in `properties` tests which item it is.
        !item.own && !known && (crowded && item.key == key || full)
    }
}

/// Power cuts in one run, and what the flash went through.
struct Run<F, const PAGES: usize> {
    flash: F,
    known: Known,
    cuts: u64,
}

/// What a test needs of a flash besides the trait.
trait Cuttable: NorFlash + Clone {
    fn blank(sectors: usize, seed: u64) -> Self;
    fn cut_after(&mut self, operations: Option<u64>);
    fn is_off(&self) -> bool;
    fn reboot(&mut self);
    fn offences(&self) -> u64;
}

impl<const R: usize, const W: usize, const E: usize> Cuttable for MockFlash<R, W, E> {
    fn blank(sectors: usize, seed: u64) -> Self {
        Self { dice: Dice(seed), ..Self::new(sectors) }
    }

    fn cut_after(&mut self, operations: Option<u64>) {
        self.until_cut = operations;
    }

    fn is_off(&self) -> bool {
        self.off
    }

    fn reboot(&mut self) {
        Self::reboot(self);
    }

    fn offences(&self) -> u64 {
        self.offences
    }
}

impl<F: Cuttable, const PAGES: usize> Run<F, PAGES> {
    fn new(seed: u64) -> Self {
        let mut flash = F::blank(PAGES + 1, seed);
        FlashStore::<_, PAGES, 24>::format(&mut flash, 0).expect("formats");
        Self { flash, known: Known::new(), cuts: 0 }
    }

    /// Takes steps from `start` on until power goes; then starts again until the store is back, and looks.
    fn until_cut(&mut self, steps: impl Iterator<Item = (u64, Step)>, dice: &mut Dice, cut_starts: bool) -> bool {
        let (mut records, mut blocks) = ([FixedRecord::EMPTY; RECORDS], [FlashBlock::EMPTY; 12]);
        let now = self.known.now;
        let mut store = FlashStore::<_, PAGES, 24>::open(&mut self.flash, 0, limits(), &mut records, &mut blocks, now)
            .expect("opens");
        let mut now = now;
        let mut last = None;
        for (ms, step) in steps {
            now = now.plus_millis(ms);
            self.known.learn(&step);
            let said = step.take(&mut store, now);
            if store.health().failed > 0 {
                let promised = said.is_some_and(|(status, _)| status == ItemStatus::Stored);
                assert!(!promised, "what the flash refused is not acknowledged");
                last = Some(step);
                break;
            }
            assert_eq!(store.health().damaged, 0);
            self.known.finished(&store, now, &step, said);
        }
        let Some(step) = last else { return false };
        assert!(self.flash.is_off(), "only power can fail here");
        self.cuts += 1;
        self.start_again(&step, now, dice, cut_starts);
        true
    }

    fn start_again(&mut self, step: &Step, now: Instant, dice: &mut Dice, cut_starts: bool) {
        let was_off = Duration::from_millis([0, 0, 1000, 600_000][dice.roll(4) as usize]);
        let then = Instant::from_micros(dice.roll(1_000_000));
        for start in 0.. {
            self.flash.reboot();
            let off = if start == 0 { was_off } else { Duration::ZERO };
            // Power may go while the store starts, too.
            if cut_starts && dice.roll(4) == 0 {
                self.flash.cut_after(Some(dice.roll(6)));
            }
            let (mut records, mut blocks) = ([FixedRecord::EMPTY; RECORDS], [FlashBlock::EMPTY; 12]);
            let opened = FlashStore::<_, PAGES, 24>::open_after(
                &mut self.flash,
                0,
                limits(),
                &mut records,
                &mut blocks,
                then,
                off,
            );
            match opened {
                Ok(mut store) => {
                    // Reading may mend what is broken, and lose power at that.
                    for place in list(&store, then).keys() {
                        store.read(then, &place.0, &place.1, 0, &mut [0; 2000]);
                    }
                    if store.health().failed > 0 {
                        self.cuts += 1;
                        continue;
                    }
                    assert_eq!(store.health().damaged, 0, "a power cut damages nothing");
                    self.known.check(&mut store, step, now, was_off, start == 0, then);
                    break;
                }
                Err(error) => {
                    assert!(self.flash.is_off(), "{error}");
                    self.cuts += 1;
                }
            }
        }
        self.flash.reboot();
        assert_eq!(self.flash.offences(), 0, "the rules of NOR flash are kept");
    }
}

fn random_cuts<F: Cuttable, const PAGES: usize>(cuts: u64, seed: u64) {
    let mut dice = Dice(seed);
    let mut total = 0;
    while total < cuts {
        let mut run = Run::<F, PAGES>::new(dice.roll(u64::MAX >> 33) + 1);
        // One flash lives through a few hundred cuts.
        while run.cuts < 300 && total + run.cuts < cuts {
            let most = [4, 30, 200][dice.roll(3) as usize];
            run.flash.cut_after(Some(dice.roll(most)));
            let mut steps = dice.clone();
            let steps = std::iter::from_fn(move || {
                let wait = [0, 20, 5000, 100_000, 1_200_000][steps.roll(5) as usize];
                Some((wait, Step::random(&mut steps)))
            });
            dice.roll(2);
            assert!(run.until_cut(steps.take(2000), &mut dice, true), "power goes at last");
        }
        total += run.cuts;
    }
}

#[test]
fn ten_thousand_random_power_cuts_lose_nothing() {
    std::thread::scope(|scope| {
        // Words and sectors of an nRF52 or RP2040, of a serial flash, of an STM32L4 and of an STM32H7.
        scope.spawn(|| random_cuts::<MockFlash<4, 4, 4096>, 6>(2500, 1));
        scope.spawn(|| random_cuts::<MockFlash<1, 1, 4096>, 5>(2500, 2));
        scope.spawn(|| random_cuts::<MockFlash<1, 8, 2048>, 10>(2500, 3));
        scope.spawn(|| random_cuts::<MockFlash<1, 32, 4096>, 7>(2500, 4));
    });
}

#[test]
fn power_goes_at_every_write_of_a_scenario() {
    type Flash = MockFlash<4, 4, 4096>;
    let mut dice = Dice(99);
    let steps: Vec<(u64, Step)> = (0..200).map(|_| (dice.roll(20_000), Step::random(&mut dice))).collect();
    let mut whole = Run::<Flash, 5>::new(1);
    let formatting = whole.flash.operations();
    assert!(!whole.until_cut(steps.iter().cloned(), &mut dice, false));
    let operations = whole.flash.operations() - formatting;
    assert!(whole.flash.erases.iter().skip(1).all(|&erases| erases >= 2), "long enough to go round");
    for seed in 1..=3 {
        for cut in 0..operations {
            let mut run = Run::<Flash, 5>::new(seed + cut * 7);
            run.flash.cut_after(Some(cut));
            assert!(run.until_cut(steps.iter().cloned(), &mut dice, false), "at {cut} of {operations}");
        }
    }
}

#[test]
fn types_are_told_apart_after_a_restart() {
    let mut flash = MockFlash::<4, 4, 4096>::new(6);
    FlashStore::<_, 5, 24>::format(&mut flash, 0).expect("formats");
    let now = Instant::ZERO;
    for round in 0..2 {
        let (mut records, mut blocks) = ([FixedRecord::EMPTY; RECORDS], [FlashBlock::EMPTY; 12]);
        let mut store =
            FlashStore::<_, 5, 24>::open(&mut flash, 0, limits(), &mut records, &mut blocks, now).expect("opens");
        let (key, lock) = (Key::hash(b"content"), DeleteLock([7; 16]));
        let header = ItemHeader::publish(&key, ItemType::CONTENT, lock, 60_000, b"content");
        let answer = store.publish(now, &key, &header, b"content");
        assert_eq!(answer.status, if round == 0 { ItemStatus::Stored } else { ItemStatus::Already });
        let listed = store.next_item(now, None).expect("held").header;
        assert_eq!((listed.item_type, listed.lock), (ItemType::CONTENT, lock));
        assert!(TypeMask::only(ItemType::CONTENT).contains(listed.item_type));
    }
}
