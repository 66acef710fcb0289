//! A fixed stock of keys and values, hashed once per process: hashing would be most of an input's time otherwise.

use std::sync::LazyLock;

use kad_wire::limits::{STORE_INLINE_MAX, VALUE_INLINE_MAX};
use kad_wire::{DeleteLock, Digest, ItemHeader, ItemType, Key};

/// Largest value that the nodes here take.
pub(crate) const VALUE_MAX: usize = 4096;

/// A value, its key, and its header but for lifetime and age.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) key: Key,
    pub(crate) header: ItemHeader,
    pub(crate) bytes: Vec<u8>,
}

/// Lengths on both sides of every limit that a value's length is held against.
const LENGTHS: [usize; 9] =
    [5, 2500, 0, 700, STORE_INLINE_MAX, STORE_INLINE_MAX + 1, VALUE_INLINE_MAX + 1, VALUE_MAX, VALUE_MAX + 1];

/// The stock. Values under the same key follow each other.
pub(crate) static VALUES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let raw = |key: u8, len: usize| value(keyed(key), ItemType::RAW, len);
    let near = LENGTHS.iter().map(|&len| raw(0x01, len));
    let far = [3, 1500, 3000].map(|len| raw(0xf0, len));
    let neighbour = [2, 2000].map(|len| raw(0x02, len));
    let content = [40, 2222].map(|len| value(Key::hash(bytes(len)), ItemType::CONTENT, len));
    near.chain(far).chain(neighbour).chain(content).collect()
});

fn keyed(first: u8) -> Key {
    let mut bytes = [0x55; 32];
    bytes[0] = first;
    Key::from_bytes(bytes)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256 + len) as u8).collect()
}

fn value(key: Key, item_type: ItemType, len: usize) -> Value {
    let bytes = bytes(len);
    Value { key, header: ItemHeader::publish(&key, item_type, DeleteLock::NONE, 0, &bytes), bytes }
}

/// One of the stock.
pub(crate) fn pick(number: u8) -> &'static Value {
    &VALUES[usize::from(number) % VALUES.len()]
}

/// The value of a digest.
pub(crate) fn of_digest(digest: &Digest) -> Option<&'static Value> {
    VALUES.iter().find(|value| value.header.digest == *digest)
}

/// A lifetime: from a moment to a week.
pub(crate) fn ttl_ms(number: u8) -> u32 {
    const LIVES: [u32; 8] = [3_600_000, 1, 900, 6_000, 60_000, 40_000_000, 604_800_000, 604_800_001];
    LIVES[usize::from(number) % LIVES.len()]
}
