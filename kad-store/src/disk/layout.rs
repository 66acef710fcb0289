//! The rows of the file: one for an item, and one for each block of its value. Integers are little-endian.

use std::vec::Vec;

use kad_wire::{DeleteLock, Digest, Instant, ItemType, Key};

use super::clock::Clock;
use crate::eviction::source::Source;
use crate::record::Record;

/// The number of this format.
pub(super) const FORMAT: u32 = 1;
/// Bytes of a value in one row: with the database's overhead a page of 4 KiB. The database rounds larger rows up to a power of
/// two.
pub(super) const BLOCK: usize = 4064;
/// Bytes of the checksum at the end of each row.
const CHECKSUM_LEN: usize = 8;

/// Returns the number of rows that a value takes.
pub(super) fn blocks_for(len: u32) -> u32 {
    len.div_ceil(BLOCK as u32)
}

/// Returns the key of a block's row.
pub(super) fn block_key(cursor: u32, block: u32) -> u64 {
    u64::from(cursor) << 32 | u64::from(block)
}

/// Returns a block's row.
pub(super) fn block_row(key: u64, part: &[u8]) -> Vec<u8> {
    with_checksum(key, part.to_vec())
}

/// Returns the row of an item, with times by the store's clock.
pub(super) fn item_row(record: &Record, clock: Clock) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + CHECKSUM_LEN);
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
    with_checksum(u64::from(record.cursor), bytes)
}

/// Reads the row of an item; `None` if it is damaged.
pub(super) fn item_read(cursor: u32, row: &[u8], clock: Clock) -> Option<Record> {
    let bytes = &mut verified(u64::from(cursor), row)?;
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
        lock: DeleteLock(take(bytes)?),
        source: Source(take(bytes)?),
        born_us: clock.callers_us(i64::from_le_bytes(take(bytes)?)),
        expires: time(bytes, clock)?,
        replicate_at: time(bytes, clock)?,
        republish_at: time(bytes, clock)?,
    })
}

fn time(bytes: &mut &[u8], clock: Clock) -> Option<Instant> {
    Some(clock.callers(i64::from_le_bytes(take(bytes)?)))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*part)
}

/// Appends the checksum. The database has checksums of pages, but compares them only when a file is opened.
fn with_checksum(key: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&checksum(key, &bytes).to_le_bytes());
    bytes
}

/// Returns a row without its checksum; `None` if that is wrong.
pub(super) fn verified(key: u64, row: &[u8]) -> Option<&[u8]> {
    let (bytes, found) = row.split_last_chunk::<CHECKSUM_LEN>()?;
    (checksum(key, bytes).to_le_bytes() == *found).then_some(bytes)
}

/// Detects accidents, not attacks: an attacker cannot write to the file.
fn checksum(key: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let row = block_row(7, b"some bytes of a value, twenty and more");
        assert!(verified(7, &row).is_some() && verified(8, &row).is_none() && verified(7, &row[1..]).is_none());
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verified(7, &flipped).is_none(), "bit {bit}");
        }
    }
}
