//! Storing, evicting and extending items on flash.

use embedded_storage::nor_flash::NorFlash;
use kad_wire::{Answer, Instant, ItemStatus, Offer};

use super::FlashStore;
use crate::Store;
use crate::index::FixedRecord;
use crate::record::Record;

/// The lifetime of an extended item is written longer by an eighth of what is left, so that not every extension causes a write.
const SLACK_DIVISOR: u64 = 8;

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashStore<'_, F, PAGES, KEYS> {
    pub(super) fn evict(&mut self, position: usize) -> bool {
        let written = self.remove_item(position, false);
        self.index.evicted += u64::from(written);
        written
    }

    pub(super) fn offer_new(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        self.expire(now);
        let record = match self.index.plan_insert(now, offer, own) {
            Ok(record) => record,
            Err(status) => return Some(Answer::refused(status)),
        };
        let Some(bytes) = offer.bytes else {
            self.index.unmark_victims();
            return None;
        };
        let kept = self.evict_victims() && self.write_item(record, bytes);
        Some(if kept { record.answer(now, ItemStatus::Stored) } else { Answer::refused(ItemStatus::Full) })
    }

    /// Removes the items that are marked as victims. Returns `false` when a write fails; the rest stays then.
    pub(super) fn evict_victims(&mut self) -> bool {
        while let Some(position) = self.index.marked_victim() {
            if !self.evict(position) {
                self.index.unmark_victims();
                return false;
            }
        }
        true
    }

    /// Writes an item, its header last: after a power cut before that there is no item. Returns `false` when a write fails.
    pub(super) fn write_item(&mut self, record: Record, bytes: &[u8]) -> bool {
        let Some(position) = self.index.insert(record) else { return false };
        let kept = self.write_value(position, bytes) && self.write_header(position, 0);
        if !kept {
            self.index.remove(position);
        }
        kept
    }

    pub(super) fn offer_held(&mut self, now: Instant, offer: &Offer<'_>, own: bool) -> Option<Answer> {
        let position = self.index.position(&offer.key, &offer.header.digest)?;
        let slot = self.index.records.get_mut(position)?;
        if !slot.record.is_alive(now) {
            self.remove_item(position, true);
            return None;
        }
        let before = *slot;
        slot.record.merge_offer(now, &self.index.limits, offer);
        slot.record.own |= own;
        let after = slot.record;
        self.now = self.now.max(now);
        if !self.write_change(position, &before) {
            // The answer promises only what is on flash.
            *self.index.records.get_mut(position)? = before;
            if own && !before.record.own {
                return Some(Answer::refused(ItemStatus::Full));
            }
            return Some(before.record.answer(now, ItemStatus::Already));
        }
        Some(after.answer(now, ItemStatus::Already))
    }

    /// Writes a changed header, unless the lifetime on flash is long enough already. Returns `false` when the write fails.
    pub(super) fn write_change(&mut self, position: usize, before: &FixedRecord) -> bool {
        let Some(slot) = self.index.records.get_mut(position) else { return false };
        let record = &slot.record;
        let longer_us = record.expires.micros_since(before.record.expires);
        // A reset age alone causes no write: after a restart the item may have its earlier age.
        let same = (record.own, record.flags) == (before.record.own, before.record.flags);
        let longer_ms = u32::try_from(longer_us.div_ceil(1000)).unwrap_or(u32::MAX);
        if let Some(left_ms) = slot.slack_ms_or_page.checked_sub(longer_ms)
            && same
        {
            slot.slack_ms_or_page = left_ms;
            return true;
        }
        let slack_us = if longer_us > 0 { record.expires.micros_since(self.now) / SLACK_DIVISOR } else { 0 };
        let slack_us = slack_us.max(u64::from(slot.slack_ms_or_page.saturating_sub(longer_ms)) * 1000);
        self.write_header(position, slack_us)
    }
}
