//! Writing and reading the entries of an item: its header and blocks.

use embedded_storage::nor_flash::NorFlash;
use kad_wire::Instant;

use super::layout::{self, BlockEntry, Name};
use super::media::ready;
use super::{FlashBlock, FlashError, FlashStore, Map, Scratch};
use crate::index::{FixedRecord, chain};

/// How often the store writes its clock at least, while it holds an item and is used, in microseconds.
const HEARTBEAT_US: i64 = 3_600_000_000;

/// Why bytes of a value cannot be read.
#[derive(Clone, Copy)]
pub(super) enum FlashReadError {
    /// The flash reports an error, or a page waits for its repair.
    Flash,
    /// The bytes are missing, or were written for another item.
    Lost,
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'_, F, PAGES, KEYS> {
    /// Counts a failure.
    pub(super) fn count_failure<T>(&mut self, result: Result<T, FlashError<F::Error>>) -> Option<T> {
        self.health.failed += u64::from(result.is_err());
        result.ok()
    }

    pub(super) fn write(&mut self, name: Name, bytes: &[u8]) -> bool {
        let written = ready(self.map.store_item(&mut self.scratch.0, &name.key(), &bytes));
        self.count_failure(written).is_some()
    }

    /// Writes an entry that begins with the store clock: the header that `header` returns, or the clock alone.
    pub(super) fn write_clock(
        &mut self,
        name: Name,
        header: impl FnOnce(&Self, i64) -> Option<[u8; layout::HEADER_LEN]>,
    ) -> bool {
        let clock_us = self.shift.store_us(self.now).max(self.clock_us);
        let written = match header(self, clock_us) {
            Some(header) => self.write(name, &header),
            None => self.write(name, &clock_us.to_le_bytes()),
        };
        if written {
            self.clock_us = clock_us;
        }
        written
    }

    /// Writes an item's header, with which it survives. The lifetime on flash is `slack_us` longer than the item's.
    pub(super) fn write_header(&mut self, position: usize, slack_us: u64) -> bool {
        let written = self.write_clock(Name::Header(position), |store, clock_us| {
            let slot = store.index.records.get(position)?;
            let expires = slot.record.expires.plus_micros(slack_us);
            Some(layout::header_bytes(slot, store.shift, clock_us, expires))
        });
        if let Some(slot) = self.index.records.get_mut(position).filter(|_| written) {
            slot.slack_ms_or_page = u32::try_from(slack_us / 1000).unwrap_or(u32::MAX);
        }
        written
    }

    /// Writes the blocks of an item that is in the index. Without a header they do not survive.
    pub(super) fn write_value(&mut self, position: usize, bytes: &[u8]) -> bool {
        let Some(slot) = self.index.records.get(position).copied() else { return false };
        let (generation, mut link) = (slot.record.cursor, slot.first);
        for part in bytes.chunks(FlashBlock::LEN) {
            let at = usize::from(link).wrapping_sub(1);
            let Some(block) = self.index.blocks.get_mut(at) else { return false };
            block.generation = generation;
            link = block.next;
            let entry = BlockEntry { generation, next: link, part };
            let written = ready(self.map.store_item(&mut self.scratch.0, &Name::Block(at).key(), &entry));
            if self.count_failure(written).is_none() {
                return false;
            }
        }
        true
    }

    /// Writes that a record is free, then frees it. If the write fails, frees it only with `always`. Returns whether the write
    /// succeeded.
    pub(super) fn remove_item(&mut self, position: usize, always: bool) -> bool {
        let written = self.write_clock(Name::Header(position), |_, _| None);
        if written || always {
            self.index.remove(position);
        }
        written
    }

    /// Writes the store clock if it was not written for long and the store holds an item.
    pub(super) fn heartbeat(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let silent_us = self.shift.store_us(self.now).saturating_sub(self.clock_us);
        if silent_us >= HEARTBEAT_US && self.index.usage().items > 0 {
            self.write_clock(Name::Clock, |_, _| None);
        }
    }

    /// Copies bytes of a value from `offset` on and returns how many.
    pub(super) fn copy_out(
        map: &mut Map<'static, F, PAGES, KEYS>,
        scratch: &mut Scratch,
        blocks: &[FlashBlock],
        slot: &FixedRecord,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, FlashReadError> {
        let copied = Self::copy_blocks(map, scratch, blocks, slot, offset, out);
        // While a page waits for its repair, a block that is not found is not lost.
        copied.map_err(|why| if map.flash().halted { FlashReadError::Flash } else { why })
    }

    fn copy_blocks(
        map: &mut Map<'static, F, PAGES, KEYS>,
        scratch: &mut Scratch,
        blocks: &[FlashBlock],
        slot: &FixedRecord,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, FlashReadError> {
        let len = out.len().min(slot.record.len.saturating_sub(offset) as usize);
        let (mut done, mut skip) = (0, offset as usize % FlashBlock::LEN);
        for at in chain(blocks, slot.first).skip(offset as usize / FlashBlock::LEN) {
            if done == len {
                break;
            }
            let found = ready(map.fetch_item::<&[u8]>(&mut scratch.0, &Name::Block(at).key()));
            let bytes = found.map_err(|_| FlashReadError::Flash)?.ok_or(FlashReadError::Lost)?;
            let (generation, _, part) = layout::block_read(bytes).ok_or(FlashReadError::Lost)?;
            let rest = part.get(skip..).filter(|_| generation == slot.record.cursor).ok_or(FlashReadError::Lost)?;
            let more = rest.len().min(len - done);
            out[done..done + more].copy_from_slice(&rest[..more]);
            (done, skip) = (done + more, 0);
        }
        if done == len { Ok(len) } else { Err(FlashReadError::Lost) }
    }

    /// Reacts to a failed read. Drops an item whose bytes are lost, so that another holder can store its copy here.
    pub(super) fn read_failed(&mut self, position: usize, why: FlashReadError) {
        match why {
            FlashReadError::Flash => self.health.failed += 1,
            FlashReadError::Lost => {
                self.health.damaged += 1;
                self.remove_item(position, true);
            }
        }
    }
}
