//! The entries on flash: their keys, headers, blocks and sizes.
//!
//! Integers are little-endian. Times are microseconds of the store clock, see [`FlashStore`](super::FlashStore).

use kad_wire::{DeleteLock, Digest, Instant, ItemType, Key};
use sequential_storage::map::{SerializationError, Value};

use super::FlashBlock;
use crate::eviction::source::Source;
use crate::index::{FixedRecord, Link};
use crate::record::Record;

/// The kind of an entry, with its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// The header of an item.
    Header(usize),
    /// A block of bytes.
    Block(usize),
    /// The store clock, written when no header was for long.
    Clock,
}

/// The most headers and blocks that a key can name.
pub(crate) const RECORDS_MAX: usize = 0x3fff;
pub(crate) const BLOCKS_MAX: usize = 0x7fff;

impl Name {
    const HEADERS: u16 = 0x8000;
    const CLOCK: u16 = 0xffff;

    pub(crate) const fn key(self) -> u16 {
        match self {
            Self::Header(at) => Self::HEADERS | at as u16,
            Self::Block(at) => at as u16,
            Self::Clock => Self::CLOCK,
        }
    }

    pub(crate) const fn of(key: u16) -> Self {
        match key {
            Self::CLOCK => Self::Clock,
            Self::HEADERS.. => Self::Header((key & !Self::HEADERS) as usize),
            _ => Self::Block(key as usize),
        }
    }
}

/// Bytes of an entry's key.
const NAME_LEN: usize = 2;
/// Bytes of a block before its part of the value: generation 4, link 2.
pub(crate) const BLOCK_HEAD: usize = 6;
/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 118;
/// Bytes of the longest entry; and of the buffer for one, rounded up to the longest word.
pub(crate) const ENTRY_MAX: usize = NAME_LEN + BLOCK_HEAD + FlashBlock::LEN;
pub(crate) const SCRATCH: usize = ENTRY_MAX.next_multiple_of(32);

/// Returns the superblock, which is in the sector before the first page: name and version, pages, bytes of a page and of a block.
pub(crate) fn superblock(pages: usize, erase_size: usize) -> [u8; 32] {
    let mut superblock = *b"kad flash store 1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    superblock[20..24].copy_from_slice(&(pages as u32).to_le_bytes());
    superblock[24..28].copy_from_slice(&(erase_size as u32).to_le_bytes());
    superblock[28..32].copy_from_slice(&(FlashBlock::LEN as u32).to_le_bytes());
    superblock
}

/// Returns the bytes of flash that so many headers and blocks take, and the clock.
pub(crate) const fn bytes_needed(records: usize, blocks: usize, word: usize) -> usize {
    records * entry_size(NAME_LEN + HEADER_LEN, word)
        + blocks * entry_size(ENTRY_MAX, word)
        + entry_size(NAME_LEN + 8, word)
}

/// Returns the bytes of flash that an entry takes.
pub(crate) const fn entry_size(len: usize, word: usize) -> usize {
    8usize.next_multiple_of(word) + len.next_multiple_of(word)
}

/// Returns the bytes that entries can take on so many pages in the worst case: one page is blank, one is being filled, and each of
/// the others has an unused end where the next entry did not fit.
pub(crate) const fn capacity(pages: usize, erase_size: usize, word: usize) -> usize {
    let page = erase_size.saturating_sub(2 * word).saturating_sub(entry_size(ENTRY_MAX, word));
    pages.saturating_sub(2) * page
}

/// The store clock minus the caller's clock, which may begin anew at every start, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockShift(i64);

impl ClockShift {
    pub(crate) fn new(now: Instant, store_us: i64) -> Self {
        Self(store_us.saturating_sub(micros(now)))
    }

    pub(crate) fn store_us(self, at: Instant) -> i64 {
        micros(at).saturating_add(self.0)
    }

    /// Converts a record's times to the caller's clock, at least its origin.
    pub(crate) fn to_callers(self, record: &mut Record) {
        let callers = |at: Instant| Instant::from_micros(u64::try_from(micros(at).saturating_sub(self.0)).unwrap_or(0));
        record.born_us = record.born_us.saturating_sub(self.0);
        record.expires = callers(record.expires);
        record.republish_at = callers(record.republish_at);
    }
}

fn micros(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// Returns the bytes of a header.
pub(crate) fn header_bytes(slot: &FixedRecord, shift: ClockShift, clock_us: i64, expires: Instant) -> [u8; HEADER_LEN] {
    let record = &slot.record;
    let mut bytes = [0; HEADER_LEN];
    let mut rest = &mut bytes[..];
    let mut put = |part: &[u8]| {
        let (here, after) = core::mem::take(&mut rest).split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    };
    put(&clock_us.to_le_bytes());
    put(&record.cursor.to_le_bytes());
    put(&slot.first.to_le_bytes());
    put(&[record.item_type.0, record.flags, u8::from(record.own), u8::from(record.has_deleted)]);
    put(&record.len.to_le_bytes());
    put(record.key.as_bytes());
    put(&record.digest.0);
    put(&record.lock.0);
    put(&record.source.0);
    put(&record.born_us.saturating_add(shift.0).to_le_bytes());
    put(&shift.store_us(expires).to_le_bytes());
    put(&shift.store_us(record.republish_at).to_le_bytes());
    bytes
}

/// Reads the store clock, with which an entry other than a block begins.
pub(crate) fn clock_of(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|clock| i64::from_le_bytes(*clock))
}

/// Reads a header, with times by the store clock: see [`ClockShift::to_callers`]. `None`: the record is free.
pub(crate) fn header_read(mut bytes: &[u8]) -> Option<FixedRecord> {
    let bytes = &mut bytes;
    take::<8>(bytes)?;
    let cursor = u32::from_le_bytes(take(bytes)?);
    let first = Link::from_le_bytes(take(bytes)?);
    let [item_type, flags, own, has_deleted] = take(bytes)?;
    let record = Record {
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
        born_us: i64::from_le_bytes(take(bytes)?),
        expires: Instant::from_micros(u64::from_le_bytes(take(bytes)?)),
        republish_at: Instant::from_micros(u64::from_le_bytes(take(bytes)?)),
        ..Record::EMPTY
    };
    Some(FixedRecord { used: true, record, first, ..FixedRecord::EMPTY })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*part)
}

/// Reads a block: its item's cursor, the link to the next block, and its part of the value.
pub(crate) fn block_read(mut bytes: &[u8]) -> Option<(u32, Link, &[u8])> {
    let (generation, next) = (u32::from_le_bytes(take(&mut bytes)?), Link::from_le_bytes(take(&mut bytes)?));
    Some((generation, next, bytes))
}

/// A block to write.
pub(crate) struct BlockEntry<'a> {
    pub(crate) generation: u32,
    pub(crate) next: Link,
    pub(crate) part: &'a [u8],
}

impl<'a> Value<'a> for BlockEntry<'a> {
    fn serialize_into(&self, buffer: &mut [u8]) -> Result<usize, SerializationError> {
        let len = BLOCK_HEAD + self.part.len();
        let buffer = buffer.get_mut(..len).ok_or(SerializationError::BufferTooSmall)?;
        buffer[..4].copy_from_slice(&self.generation.to_le_bytes());
        buffer[4..BLOCK_HEAD].copy_from_slice(&self.next.to_le_bytes());
        buffer[BLOCK_HEAD..].copy_from_slice(self.part);
        Ok(len)
    }

    fn deserialize_from(buffer: &'a [u8]) -> Result<(Self, usize), SerializationError> {
        let (generation, next, part) = block_read(buffer).ok_or(SerializationError::InvalidData)?;
        Ok((Self { generation, next, part }, buffer.len()))
    }
}
