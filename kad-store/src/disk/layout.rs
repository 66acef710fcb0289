//! What is written: one row for an item, and one for each block of its value.

use std::vec::Vec;

use kad_wire::{Digest, Instant, ItemType, Key, Lock};

use super::clock::Clock;
use crate::record::Record;
use crate::source::Source;

/// Number of this layout. Another number is another format.
pub(super) const FORMAT: u32 = 1;
/// Bytes of a value in one row. With what the database adds it fills a page of 4 KiB: larger rows would be rounded up to a
/// power of two.
pub(super) const BLOCK: usize = 4064;
/// Bytes after each row that say whether it is what was written.
const CHECK: usize = 8;

/// Rows of blocks that a value takes.
pub(super) fn blocks_for(len: u32) -> u32 {
    len.div_ceil(BLOCK as u32)
}

/// The key of a block's row.
pub(super) fn block_key(cursor: u32, block: u32) -> u64 {
    u64::from(cursor) << 32 | u64::from(block)
}

/// A block's row.
pub(super) fn block_row(key: u64, part: &[u8]) -> Vec<u8> {
    sealed(key, part.to_vec())
}

/// The row of an item. The times on disk are the store clock's.
pub(super) fn item_row(record: &Record, clock: Clock) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + CHECK);
    bytes.extend_from_slice(&[record.item_type.0, record.flags, u8::from(record.own), u8::from(record.has_deleted)]);
    bytes.extend_from_slice(&record.len.to_le_bytes());
    bytes.extend_from_slice(record.key.as_bytes());
    bytes.extend_from_slice(&record.digest.0);
    bytes.extend_from_slice(&record.lock.0);
    bytes.extend_from_slice(&record.source.0);
    bytes.extend_from_slice(&clock.store_us_of(record.born_us).to_le_bytes());
    for at in [record.expires, record.replicate_at, record.republish_at] {
        bytes.extend_from_slice(&clock.store_us(at).to_le_bytes());
    }
    sealed(u64::from(record.cursor), bytes)
}

/// A row of an item that is read. `None`: it is damaged.
pub(super) fn item_read(cursor: u32, row: &[u8], clock: Clock) -> Option<Record> {
    let bytes = &mut opened(u64::from(cursor), row)?;
    let [item_type, flags, own, has_deleted] = take(bytes)?;
    Some(Record {
        cursor,
        item_type: ItemType(item_type),
        flags,
        own: own != 0,
        has_deleted: has_deleted != 0,
        len: u32::from_le_bytes(take(bytes)?),
        key: Key::from_bytes(take(bytes)?),
        digest: Digest(take(bytes)?),
        lock: Lock(take(bytes)?),
        source: Source(take(bytes)?),
        born_us: clock.owners_us(i64::from_le_bytes(take(bytes)?)),
        expires: time(bytes, clock)?,
        replicate_at: time(bytes, clock)?,
        republish_at: time(bytes, clock)?,
    })
}

fn time(bytes: &mut &[u8], clock: Clock) -> Option<Instant> {
    Some(clock.owners(i64::from_le_bytes(take(bytes)?)))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*part)
}

/// A row with its check. The database has checks of its own, but looks at them only when it is opened.
fn sealed(key: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&check(key, &bytes).to_le_bytes());
    bytes
}

/// What a row says, if it is what was written under this key.
pub(super) fn opened(key: u64, row: &[u8]) -> Option<&[u8]> {
    let (bytes, found) = row.split_last_chunk::<CHECK>()?;
    (check(key, bytes).to_le_bytes() == *found).then_some(bytes)
}

/// Against accidents: nobody who means harm can write to the file.
fn check(key: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let row = block_row(7, b"some bytes of a value, twenty and more");
        assert!(opened(7, &row).is_some() && opened(8, &row).is_none() && opened(7, &row[1..]).is_none());
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(7, &flipped).is_none(), "bit {bit}");
        }
    }
}
