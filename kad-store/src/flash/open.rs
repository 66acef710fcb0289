//! Formatting a flash, and opening it after a power loss.

use core::cell::Cell;

use embedded_storage::nor_flash::NorFlash;
use kad_wire::Instant;
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::map::{MapConfig, MapStorage};

use super::layout::{self, BLOCKS_MAX, ClockShift, Name, RECORDS_MAX, SCRATCH};
use super::media::{Media, ready};
use super::{FlashBlock, FlashError, FlashHealth, FlashStore, Map, Scratch};
use crate::Limits;
use crate::index::{FixedRecord, Index, blocks_for, chain};

/// The addresses of the superblock's sector and of the pages after it.
#[derive(Clone, Copy)]
struct Region<const PAGES: usize> {
    start: u32,
    erase_size: u32,
}

impl<const PAGES: usize> Region<PAGES> {
    fn page(&self, index: usize) -> (u32, u32) {
        let from = self.start + self.erase_size * (1 + index as u32);
        (from, from + self.erase_size)
    }

    fn end(&self) -> u32 {
        self.page(PAGES - 1).1
    }

    fn page_of(&self, address: u32) -> usize {
        (address.saturating_sub(self.start + self.erase_size) / self.erase_size) as usize
    }
}

impl<'m, F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'m, F, PAGES, KEYS> {
    const WORD: usize = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };

    /// Returns the most blocks that a store with so many records can use: as many as fit the pages in the worst case. With fewer,
    /// the flash lasts longer: see the figures above.
    #[must_use]
    pub const fn blocks_for(records: usize) -> usize {
        let capacity = layout::capacity(PAGES, F::ERASE_SIZE, Self::WORD);
        let left = capacity.saturating_sub(layout::bytes_needed(records, 0, Self::WORD));
        let blocks = left / layout::entry_size(layout::ENTRY_MAX, Self::WORD);
        if blocks < BLOCKS_MAX { blocks } else { BLOCKS_MAX }
    }

    /// Erases `PAGES` + 1 sectors from address `start` on and writes an empty store. After a power cut meanwhile the flash is
    /// [not formatted](FlashError::NotFormatted).
    ///
    /// # Errors
    /// [`FlashError::Geometry`], or the flash fails.
    pub fn format(flash: F, start: u32) -> Result<(), FlashError<F::Error>> {
        let mut media = Media::new(flash, None);
        let region = Self::region(&media, start)?;
        for at in 0..=PAGES as u32 {
            let from = region.start + at * region.erase_size;
            media.erase_now(from, from + region.erase_size)?;
        }
        Ok(media.write_now(region.start, &layout::superblock(PAGES, F::ERASE_SIZE))?)
    }

    /// Opens a flash that was formatted, from address `start` on. Reads all pages once. `now` is the time by the caller's clock,
    /// which may have begun anew.
    ///
    /// Pass `&mut flash` to keep the flash when this fails.
    ///
    /// # Errors
    /// [`FlashError`]: the flash fails, holds no such store, or does not match the memory. Does not write to a flash that was not
    /// formatted.
    pub fn open(
        flash: F,
        start: u32,
        limits: Limits,
        records: &'m mut [FixedRecord],
        blocks: &'m mut [FlashBlock],
        now: Instant,
    ) -> Result<Self, FlashError<F::Error>> {
        Self::open_after(flash, start, limits, records, blocks, now, core::time::Duration::ZERO)
    }

    /// Does the same when the caller knows how long the power was `off`: items have aged by that.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_after(
        flash: F,
        start: u32,
        limits: Limits,
        records: &'m mut [FixedRecord],
        blocks: &'m mut [FlashBlock],
        now: Instant,
        off: core::time::Duration,
    ) -> Result<Self, FlashError<F::Error>> {
        let mut media = Media::new(flash, None);
        let region = Self::region(&media, start)?;
        let needed = layout::bytes_needed(records.len(), blocks.len(), Self::WORD);
        let nameable = records.len() <= RECORDS_MAX && blocks.len() <= BLOCKS_MAX;
        if !nameable || needed > layout::capacity(PAGES, F::ERASE_SIZE, Self::WORD) {
            return Err(FlashError::TooLittleFlash);
        }
        let superblock = layout::superblock(PAGES, F::ERASE_SIZE);
        let expected = |at| superblock.get(at).copied().unwrap_or_default();
        if !media.holds(region.start, region.start + superblock.len() as u32, expected)? {
            return Err(FlashError::NotFormatted);
        }
        erase_torn_pages(&mut media, &region)?;
        records.fill(FixedRecord::EMPTY);
        blocks.fill(FlashBlock::EMPTY);
        let (flash, found) = scan::<F, PAGES, KEYS>(media.flash, &region, records, blocks)?;
        let mut media = Media::new(flash, None);
        finish_interrupted_erase(&mut media, &region, records, blocks, &found)?;
        let store_us = found.clock_us.saturating_add(i64::try_from(off.as_micros()).unwrap_or(i64::MAX));
        let shift = ClockShift::new(now, store_us);
        let lost = keep_whole_items(records, blocks, shift, now, &limits);
        let mut store = Self {
            index: Index::rebuilt(limits, records, blocks, found.last_cursor, |block| block.page == FREE),
            map: map(media, &region)?,
            scratch: Scratch([0; SCRATCH]),
            shift,
            now,
            clock_us: found.clock_us,
            health: FlashHealth { damaged: lost, failed: 0 },
        };
        if !off.is_zero() {
            // Items that have expired meanwhile must not be back at the next start, when the caller may not know this time.
            store.write_clock(Name::Clock, |_, _| None);
        }
        store.evict_surplus();
        Ok(store)
    }

    fn region(media: &Media<'_, F>, start: u32) -> Result<Region<PAGES>, FlashError<F::Error>> {
        const { assert!(PAGES >= 3 && KEYS >= 1, "a flash store needs three pages and a place for a key") };
        let sane = 32usize.is_multiple_of(F::WRITE_SIZE)
            && 32usize.is_multiple_of(F::READ_SIZE)
            && F::ERASE_SIZE >= 1024
            && F::ERASE_SIZE.is_multiple_of(Self::WORD)
            && (start as usize).is_multiple_of(F::ERASE_SIZE)
            && PAGES <= usize::from(u16::MAX)
            && (start as usize).saturating_add((PAGES + 1).saturating_mul(F::ERASE_SIZE)) <= media.flash.capacity();
        match sane {
            true => Ok(Region { start, erase_size: F::ERASE_SIZE as u32 }),
            false => Err(FlashError::Geometry),
        }
    }

    /// Evicts what exceeds the limits, which the caller may have lowered.
    fn evict_surplus(&mut self) {
        self.index.mark_surplus();
        self.evict_victims();
    }
}

fn map<'c, F: NorFlash, const PAGES: usize, const KEYS: usize>(
    media: Media<'c, F>,
    region: &Region<PAGES>,
) -> Result<Map<'c, F, PAGES, KEYS>, FlashError<F::Error>> {
    let config = MapConfig::try_new(region.page(0).0..region.end()).map_err(|_| FlashError::Geometry)?;
    let cache = Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), ArrayKeyPointers::new());
    Ok(MapStorage::new(media, config, cache))
}

/// Erases pages that an interrupted erase has left torn: a page that looks erased at both ends but is not blank, one that is erased
/// at its beginning only, and the second of two that look as if they were being filled.
fn erase_torn_pages<F: NorFlash, const PAGES: usize>(
    media: &mut Media<'_, F>,
    region: &Region<PAGES>,
) -> Result<(), FlashError<F::Error>> {
    let (last_from, last_to) = region.page(PAGES - 1);
    let mut before = media.marks(last_from, last_to)?;
    for page in 0..PAGES {
        let (from, to) = region.page(page);
        let marks = media.marks(from, to)?;
        let torn = match marks {
            (false, false) => !media.is_blank(from, to)?,
            (false, true) => true,
            (true, false) => before == (true, false),
            (true, true) => false,
        };
        if torn {
            media.erase_now(from, to)?;
        }
        before = if torn { (false, false) } else { marks };
    }
    Ok(())
}

/// A block's page number when it belongs to no item.
const FREE: u16 = u16::MAX;

/// The result of a scan, besides records and blocks.
struct Scanned {
    clock_us: i64,
    clock_page: usize,
    last_cursor: u32,
}

/// Reads all entries, the oldest first; a later entry replaces an earlier one of the same name. Times are by the store clock.
fn scan<F: NorFlash, const PAGES: usize, const KEYS: usize>(
    flash: F,
    region: &Region<PAGES>,
    records: &mut [FixedRecord],
    blocks: &mut [FlashBlock],
) -> Result<(F, Scanned), FlashError<F::Error>> {
    let (seen, mut scratch) = (Cell::new(0), Scratch([0; SCRATCH]));
    let mut map: Map<'_, F, PAGES, KEYS> = map(Media::new(flash, Some(&seen)), region)?;
    let mut found = Scanned { clock_us: 0, clock_page: usize::MAX, last_cursor: 0 };
    let mut entries = ready(map.fetch_all_items(&mut scratch.0))?;
    while let Some((key, bytes)) = ready(entries.next::<&[u8]>(&mut scratch.0))? {
        let page = region.page_of(seen.get());
        match Name::of(key) {
            Name::Block(at) => {
                let block = blocks.get_mut(at).ok_or(FlashError::TooLittleMemory)?;
                let Some((generation, next, _)) = layout::block_read(bytes) else { continue };
                *block = FlashBlock { next, page: page as u16, generation };
                found.last_cursor = found.last_cursor.max(generation);
            }
            Name::Header(at) => {
                let slot = records.get_mut(at).ok_or(FlashError::TooLittleMemory)?;
                found.clock_us = found.clock_us.max(layout::clock_of(bytes).unwrap_or(0));
                *slot = layout::header_read(bytes).unwrap_or(FixedRecord::EMPTY);
                slot.slack_ms_or_page = page as u32;
                found.last_cursor = found.last_cursor.max(slot.record.cursor);
            }
            Name::Clock => {
                found.clock_us = found.clock_us.max(layout::clock_of(bytes).unwrap_or(0));
                found.clock_page = page;
            }
        }
    }
    Ok((map.destroy().0.flash, found))
}

/// Finishes an interrupted erase of a page that still looks full.
///
/// To free a page, the library copies its valid entries to the page that is being filled, then erases it. If the next page is
/// still full, a power cut has interrupted either the copying or the erase. The library assumes the copying, erases the copies and
/// copies again, which loses entries that the erase has damaged. But if no entry on the full page is the newest of its name, all
/// were copied: then this function erases the page.
fn finish_interrupted_erase<F: NorFlash, const PAGES: usize>(
    media: &mut Media<'_, F>,
    region: &Region<PAGES>,
    records: &[FixedRecord],
    blocks: &[FlashBlock],
    found: &Scanned,
) -> Result<(), FlashError<F::Error>> {
    for page in 0..PAGES {
        let (from, to) = region.page(page);
        let next = (page + 1) % PAGES;
        let (next_from, next_to) = region.page(next);
        if media.marks(from, to)? != (true, false) || media.marks(next_from, next_to)? != (true, true) {
            continue;
        }
        let needed = found.clock_page == next
            || records.iter().any(|slot| slot.used && slot.slack_ms_or_page as usize == next)
            || blocks.iter().any(|block| block.generation != 0 && usize::from(block.page) == next);
        if !needed {
            media.erase_now(next_from, next_to)?;
        }
    }
    Ok(())
}

/// Converts times to the caller's clock, and frees records that have expired, that a later one replaces, or that lack a part.
/// Returns how many lack a part.
fn keep_whole_items(
    records: &mut [FixedRecord],
    blocks: &mut [FlashBlock],
    shift: ClockShift,
    now: Instant,
    limits: &Limits,
) -> u64 {
    let mut lost = 0;
    for at in 0..records.len() {
        let Some(slot) = records.get(at).copied().filter(|slot| slot.used) else { continue };
        let whole = is_whole(&slot, blocks);
        let record = &slot.record;
        let newer = |other: &FixedRecord| {
            other.used
                && other.record.digest == record.digest
                && other.record.key == record.key
                && other.record.cursor > record.cursor
        };
        let replaced = records.iter().any(newer);
        let Some(slot) = records.get_mut(at) else { continue };
        slot.slack_ms_or_page = 0;
        shift.to_callers(&mut slot.record);
        slot.record.replicate_at = limits.next_replication(now);
        let wanted = !replaced && slot.record.is_alive(now);
        lost += u64::from(wanted && !whole);
        slot.used = wanted && whole;
    }
    lost + assign_blocks(records, blocks)
}

/// Assigns each item its blocks. Frees an item one of whose blocks belongs to another, which only a corrupt flash can show, and
/// returns how many there were.
fn assign_blocks(records: &mut [FixedRecord], blocks: &mut [FlashBlock]) -> u64 {
    let mut lost = 0;
    for block in blocks.iter_mut() {
        block.page = FREE;
    }
    for slot in records.iter_mut().filter(|slot| slot.used) {
        let taken = |at: usize| blocks.get(at).is_some_and(|block| block.page != FREE);
        if chain(blocks, slot.first).any(taken) {
            slot.used = false;
            lost += 1;
            continue;
        }
        let mut link = slot.first;
        while let Some(block) = blocks.get_mut(usize::from(link).wrapping_sub(1)).filter(|block| block.page == FREE) {
            (block.page, link) = (0, block.next);
        }
    }
    lost
}

/// Returns whether all blocks of an item are there and were written for it.
fn is_whole(slot: &FixedRecord, blocks: &[FlashBlock]) -> bool {
    let count = blocks_for::<FlashBlock>(slot.record.len);
    if count == 0 {
        return slot.first == 0;
    }
    let mut links = chain(blocks, slot.first).take(count + 1);
    let ours = |at: usize| blocks.get(at).is_some_and(|block| block.generation == slot.record.cursor);
    links.by_ref().take(count).filter(|&at| ours(at)).count() == count && links.next().is_none()
}
