//! What is written and read, entry by entry.

use embedded_storage::nor_flash::NorFlash;
use kad_wire::Instant;

use super::layout::{self, BlockEntry, Name};
use super::media::ready;
use super::{FlashBlock, FlashError, FlashStore, Map, Scratch};
use crate::index::{FixedRecord, chain};

/// The store clock is written at least this often, as long as anything is held and the store is used.
const HEARTBEAT_US: i64 = 3_600_000_000;

/// Why bytes could not be read: the flash says no, or what it says is not what was written.
#[derive(Clone, Copy)]
pub(super) enum Broken {
    Flash,
    Lost,
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'_, F, PAGES, KEYS> {
    /// Counts a failure.
    pub(super) fn noted<T>(&mut self, result: Result<T, FlashError<F::Error>>) -> Option<T> {
        self.health.failed += u64::from(result.is_err());
        result.ok()
    }

    pub(super) fn write(&mut self, name: Name, bytes: &[u8]) -> bool {
        let written = ready(self.map.store_item(&mut self.scratch.0, &name.key(), &bytes));
        self.noted(written).is_some()
    }

    /// Writes what tells the store clock, and remembers what it told.
    pub(super) fn write_clock(
        &mut self,
        name: Name,
        rest: impl FnOnce(&Self, i64) -> Option<[u8; layout::HEADER_LEN]>,
    ) -> bool {
        let clock_us = self.shift.store_us(self.now).max(self.clock_us);
        let written = match rest(self, clock_us) {
            Some(header) => self.write(name, &header),
            None => self.write(name, &clock_us.to_le_bytes()),
        };
        if written {
            self.clock_us = clock_us;
        }
        written
    }

    /// Writes a header: from here on, the item survives. It is written down to live `spare_us` longer than it does.
    pub(super) fn write_header(&mut self, position: usize, spare_us: u64) -> bool {
        let written = self.write_clock(Name::Header(position), |store, clock_us| {
            let slot = store.index.records.get(position)?;
            let expires = slot.record.expires.plus_micros(spare_us);
            Some(layout::header_bytes(slot, store.shift, clock_us, expires))
        });
        if let Some(slot) = self.index.records.get_mut(position).filter(|_| written) {
            slot.note = u32::try_from(spare_us / 1000).unwrap_or(u32::MAX);
        }
        written
    }

    /// Writes the value of an item that has its place and blocks. Without a header it is nothing yet.
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
            if self.noted(written).is_none() {
                return false;
            }
        }
        true
    }

    /// Says on flash that a place is free, then frees it. When the flash fails, it stays unless `whatever`.
    pub(super) fn drop_at(&mut self, position: usize, whatever: bool) -> bool {
        let gone = self.write_clock(Name::Header(position), |_, _| None);
        if gone || whatever {
            self.index.remove(position);
        }
        gone
    }

    /// Writes the store clock when it was not written for long, and there is something that ages.
    pub(super) fn heartbeat(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let silent_us = self.shift.store_us(self.now).saturating_sub(self.clock_us);
        if silent_us >= HEARTBEAT_US && self.index.usage().items > 0 {
            self.write_clock(Name::Clock, |_, _| None);
        }
    }

    /// Fills `out` with bytes of an item from `offset` on, and says how many. Less than there are: the flash failed, or has
    /// lost them.
    pub(super) fn copy_out(
        map: &mut Map<'static, F, PAGES, KEYS>,
        scratch: &mut Scratch,
        blocks: &[FlashBlock],
        slot: &FixedRecord,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, Broken> {
        let copied = Self::copy_blocks(map, scratch, blocks, slot, offset, out);
        // While a page waits for its repair, what is not found is not lost.
        copied.map_err(|why| if map.flash().halted { Broken::Flash } else { why })
    }

    fn copy_blocks(
        map: &mut Map<'static, F, PAGES, KEYS>,
        scratch: &mut Scratch,
        blocks: &[FlashBlock],
        slot: &FixedRecord,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, Broken> {
        let len = out.len().min(slot.record.len.saturating_sub(offset) as usize);
        let (mut done, mut skip) = (0, offset as usize % FlashBlock::LEN);
        for at in chain(blocks, slot.first).skip(offset as usize / FlashBlock::LEN) {
            if done == len {
                break;
            }
            let found = ready(map.fetch_item::<&[u8]>(&mut scratch.0, &Name::Block(at).key()));
            let bytes = found.map_err(|_| Broken::Flash)?.ok_or(Broken::Lost)?;
            let (generation, _, part) = layout::block_read(bytes).ok_or(Broken::Lost)?;
            let rest = part.get(skip..).filter(|_| generation == slot.record.cursor).ok_or(Broken::Lost)?;
            let more = rest.len().min(len - done);
            out[done..done + more].copy_from_slice(&rest[..more]);
            (done, skip) = (done + more, 0);
        }
        if done == len { Ok(len) } else { Err(Broken::Lost) }
    }

    /// Takes note that a value could not be read. One that is lost is dropped, so that another holder's copy is welcome.
    pub(super) fn broke(&mut self, position: usize, why: Broken) {
        match why {
            Broken::Flash => self.health.failed += 1,
            Broken::Lost => {
                self.health.damaged += 1;
                self.drop_at(position, true);
            }
        }
    }
}
