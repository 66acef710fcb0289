//! What becomes of an offer.

use embedded_storage::nor_flash::NorFlash;
use kad_wire::{Answer, Instant, ItemStatus, Offer};

use super::FlashStore;
use crate::Store;
use crate::index::FixedRecord;
use crate::record::Record;

/// How much longer an extended life is written down than it is, as a share of what is left of it: so that not every extension
/// is a write.
const SPARE_SHARE: u64 = 8;

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'_, F, PAGES, KEYS> {
    pub(super) fn evict(&mut self, position: usize) -> bool {
        let gone = self.drop_at(position, false);
        self.index.evicted += u64::from(gone);
        gone
    }

    pub(super) fn newcomer(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        self.expire(now);
        let record = match self.index.admit(now, offer, own) {
            Ok(record) => record,
            Err(status) => return Some(Answer::refused(status)),
        };
        let Some(bytes) = offer.bytes else {
            self.index.all_stay();
            return None;
        };
        let kept = self.evict_leaving() && self.keep(record, bytes);
        Some(if kept { record.answer(now, ItemStatus::Stored) } else { Answer::refused(ItemStatus::Full) })
    }

    /// Drops what makes way. Returns whether the flash did; if not, the rest stays.
    pub(super) fn evict_leaving(&mut self) -> bool {
        while let Some(position) = self.index.next_leaving() {
            if !self.evict(position) {
                self.index.all_stay();
                return false;
            }
        }
        true
    }

    /// Writes an item, its header last: a power cut before that leaves nothing of it.
    pub(super) fn keep(&mut self, record: Record, bytes: &[u8]) -> bool {
        let Some(position) = self.index.insert(record) else { return false };
        let kept = self.write_value(position, bytes) && self.write_header(position, 0);
        if !kept {
            self.index.remove(position);
        }
        kept
    }

    pub(super) fn again(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        let position = self.index.position(&offer.key, &offer.header.digest)?;
        let slot = self.index.records.get_mut(position)?;
        if !slot.record.is_alive(now) {
            self.drop_at(position, true);
            return None;
        }
        let before = *slot;
        slot.record.offered_again(now, &self.index.limits, offer);
        slot.record.own |= own;
        let after = slot.record;
        self.now = self.now.max(now);
        if !self.extended(position, &before) {
            // What is not kept is not promised.
            *self.index.records.get_mut(position)? = before;
            if own && !before.record.own {
                return Some(Answer::refused(ItemStatus::Full));
            }
            return Some(before.record.answer(now, ItemStatus::Already));
        }
        Some(after.answer(now, ItemStatus::Already))
    }

    /// Sees to it that what has changed about an item is on flash.
    pub(super) fn extended(&mut self, position: usize, before: &FixedRecord) -> bool {
        let Some(slot) = self.index.records.get_mut(position) else { return false };
        let record = &slot.record;
        let longer_us = record.expires.micros_since(before.record.expires);
        // A younger age is written along with the next change: after a restart before that the item is as old as it was.
        let same = (record.own, record.flags) == (before.record.own, before.record.flags);
        let longer_ms = u32::try_from(longer_us.div_ceil(1000)).unwrap_or(u32::MAX);
        if let Some(left_ms) = slot.note.checked_sub(longer_ms)
            && same
        {
            slot.note = left_ms;
            return true;
        }
        let spare_us = if longer_us > 0 { record.expires.micros_since(self.now) / SPARE_SHARE } else { 0 };
        let spare_us = spare_us.max(u64::from(slot.note.saturating_sub(longer_ms)) * 1000);
        self.write_header(position, spare_us)
    }
}
