//! Random operations on a store and on a map, compared.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use kad_wire::{Digest, ItemHeader, ItemStatus, Key, Query, StoreMode};

use super::{at_ms, find, header, key, put};
use crate::Store;

/// A small generator, so that the suite needs no dependency: xorshift64*.
struct Random(u64);

impl Random {
    /// Returns a number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What the model knows of an item.
struct Modelled {
    published_ms: u64,
    expires_ms: u64,
    value: Vec<u8>,
}

/// The items by key and digest.
type Model = BTreeMap<(Key, Digest), Modelled>;

/// An item that the test offers, and when.
struct Step {
    ms: u64,
    key: Key,
    header: ItemHeader,
    value: Vec<u8>,
}

/// Takes random steps on a store that is large enough for all items.
pub(super) fn behaves_like_a_plain_map(store: &mut impl Store, seed: u64) {
    let mut random = Random(seed);
    let mut model = Model::new();
    let mut ms = 0;
    for _ in 0..400 {
        ms += random.below(400);
        let (key, value) =
            (key(1 + random.below(4) as u8), vec![random.below(8) as u8; random.below(300) as usize % 7 * 90]);
        let ttl_ms = 1 + random.below(20_000) as u32;
        let header = header(&key, ttl_ms, 0, &value);
        model.retain(|_, item| item.expires_ms > ms);
        let step = Step { ms, key, header, value };
        match random.below(6) {
            0 => {
                store.expire(at_ms(ms));
                assert_eq!(store.usage().items, model.len());
            }
            1 => read(store, &model, &step),
            2 => publish(store, &mut model, step),
            3 => offer(store, &mut model, step, StoreMode::Replicate),
            _ => offer(store, &mut model, step, StoreMode::Publish),
        }
        compare_key(store, &model, ms, &key);
    }
}

fn read(store: &mut impl Store, model: &Model, step: &Step) {
    let held = model.get(&(step.key, step.header.digest));
    let mut out = vec![0; 700];
    let len = store.read(at_ms(step.ms), &step.key, &step.header.digest, 0, &mut out);
    assert_eq!(&out[..len], held.map_or(&[][..], |item| &item.value));
}

fn publish(store: &mut impl Store, model: &mut Model, step: Step) {
    let Step { ms, key, header, value } = step;
    let answer = store.publish(at_ms(ms), &key, &header, &value);
    assert!(answer.status.is_held());
    let item = model.entry((key, header.digest)).or_insert(Modelled { published_ms: ms, expires_ms: 0, value });
    item.published_ms = ms;
    item.expires_ms = item.expires_ms.max(ms + u64::from(header.ttl_ms));
}

fn offer(store: &mut impl Store, model: &mut Model, step: Step, mode: StoreMode) {
    let Step { ms, key, header, value } = step;
    let known = model.contains_key(&(key, header.digest));
    let answer = put(store, at_ms(ms), mode, &key, header.ttl_ms, &value);
    let expected = if known { ItemStatus::Already } else { ItemStatus::Stored };
    assert_eq!(answer.status, expected, "at {ms} ms");
    let expires_ms = ms + u64::from(header.ttl_ms);
    let item = model.entry((key, header.digest)).or_insert(Modelled { published_ms: ms, expires_ms, value });
    if mode == StoreMode::Publish {
        item.published_ms = ms;
        item.expires_ms = item.expires_ms.max(expires_ms);
    }
    assert_eq!(u64::from(answer.ttl_ms), item.expires_ms - ms);
}

/// Compares the items under a key.
fn compare_key(store: &mut impl Store, model: &Model, ms: u64, key: &Key) {
    let mut expected: Vec<_> = model.iter().filter(|((of, _), _)| of == key).collect();
    expected.sort_by_key(|((_, digest), item)| (core::cmp::Reverse(item.published_ms), *digest));
    let found = find(store, at_ms(ms), &Query::all(*key));
    assert_eq!(found.len(), expected.len());
    for ((header, bytes), ((_, digest), item)) in found.iter().zip(expected) {
        assert_eq!((header.digest, bytes), (*digest, &item.value));
        let (ttl_ms, age_ms) = (item.expires_ms - ms, ms - item.published_ms);
        assert_eq!((u64::from(header.ttl_ms), u64::from(header.age_ms)), (ttl_ms, age_ms));
    }
}
