//! A store on NOR flash: items that it has acknowledged survive power loss.

mod entries;
mod error;
mod layout;
mod media;
mod offers;
mod open;

use embedded_storage::nor_flash::NorFlash;
use kad_wire::{Answer, Digest, Endpoint, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink, StoreMode};
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::map::MapStorage;

use crate::index::{Block, Index, Link};
use crate::{Due, Listed, Page, Store, Usage};
use entries::FlashReadError;
pub use error::{FlashError, FlashHealth};
use layout::{ClockShift, SCRATCH};
use media::Media;

/// Memory for the bookkeeping of 488 bytes of a value on flash: 8 bytes. Opaque: make it with [`EMPTY`](Self::EMPTY) and hand it to
/// a [`FlashStore`].
#[derive(Clone, Copy, Debug)]
pub struct FlashBlock {
    next: Link,
    /// While the flash is scanned: the page that the block is on.
    page: u16,
    /// The cursor of the item that the block was written for.
    generation: u32,
}

impl FlashBlock {
    /// Bytes of a value that one block holds.
    pub const LEN: usize = 488;
    /// An unused block: all zero bits.
    pub const EMPTY: Self = Self { next: 0, page: 0, generation: 0 };
}

impl Block for FlashBlock {
    const LEN: usize = Self::LEN;

    fn next(&self) -> Link {
        self.next
    }

    fn set_next(&mut self, next: Link) {
        self.next = next;
    }
}

type Pages<const PAGES: usize, const KEYS: usize> =
    Cache<ArrayPageStates<PAGES>, ArrayPagePointers<PAGES>, ArrayKeyPointers<u16, KEYS>, u16>;
type Map<'c, F, const PAGES: usize, const KEYS: usize> = MapStorage<u16, Media<'c, F>, Pages<PAGES, KEYS>>;

#[doc = include_str!("about.md")]
pub struct FlashStore<'m, F: NorFlash, const PAGES: usize, const KEYS: usize> {
    index: Index<'m, FlashBlock>,
    map: Map<'static, F, PAGES, KEYS>,
    scratch: Scratch,
    shift: ClockShift,
    /// The latest time that a caller has passed in.
    now: Instant,
    /// The latest store clock that is on flash.
    clock_us: i64,
    health: FlashHealth,
}

/// The buffer for one entry. Some flashes write only from aligned memory.
#[repr(align(32))]
struct Scratch([u8; SCRATCH]);

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'_, F, PAGES, KEYS> {
    /// Returns counts of failures since the store was opened.
    pub const fn health(&self) -> FlashHealth {
        self.health
    }

    /// Returns the flash.
    pub fn into_flash(self) -> F {
        self.map.destroy().0.flash
    }
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> Store for FlashStore<'_, F, PAGES, KEYS> {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.offer_held(now, offer, false).or_else(|| self.offer_new(now, offer, false))
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        let (mode, source) = (StoreMode::Publish, Endpoint::UNSPECIFIED);
        let offer = Offer { key: *key, header: *header, bytes: Some(bytes), mode, source, received: now };
        let answer = self.offer_held(now, &offer, true).or_else(|| self.offer_new(now, &offer, true));
        answer.unwrap_or(Answer::refused(ItemStatus::Full))
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        let Self { index, map, scratch, health, .. } = self;
        let mut lost = None;
        let page = index.find(now, query, sink, |blocks, (position, slot), out| {
            if let Err(why) = Self::copy_out(map, scratch, blocks, slot, 0, out) {
                // Its header is written already. The reader checks the digest, as of every value, and drops it.
                out.fill(0);
                match why {
                    FlashReadError::Flash => health.failed += 1,
                    FlashReadError::Lost => lost = Some(position),
                }
            }
        });
        if let Some(position) = lost {
            self.read_failed(position, FlashReadError::Lost);
        }
        page
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let Some((position, slot)) = self.index.get(now, key, digest) else { return 0 };
        match Self::copy_out(&mut self.map, &mut self.scratch, self.index.blocks, slot, offset, out) {
            Ok(len) => len,
            Err(why) => {
                self.read_failed(position, why);
                0
            }
        }
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        let mut forgotten = 0;
        while let Some(position) = self.index.next_own(key, digest) {
            let Some(slot) = self.index.records.get_mut(position) else { break };
            slot.record.own = false;
            let slack_us = u64::from(slot.slack_ms_or_page) * 1000;
            self.write_header(position, slack_us);
            forgotten += 1;
        }
        forgotten
    }

    fn expire(&mut self, now: Instant) -> usize {
        self.heartbeat(now);
        let mut dropped = 0;
        while let Some(position) = self.index.next_expired(now) {
            self.remove_item(position, true);
            dropped += 1;
        }
        dropped
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.heartbeat(now);
        self.index.poll_due(now)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.index.next_wake()
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.index.due_near(now, until, first, bits, take);
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.index.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        self.index.usage()
    }
}

const _: () = assert!(size_of::<FlashBlock>() == 8);
