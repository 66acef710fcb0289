//! The bounds of the whole store, for stores in a caller's memory: which items to evict for a new one, found by looking through
//! all records.

use super::source::Source;
use super::{Class, WIDE_DIVISOR};
use crate::index::{Block, FixedRecord, Index, blocks_for};
use crate::record::Record;

impl<B: Block> Index<'_, B> {
    /// Returns the records that are not marked as victims, and `new`.
    fn remaining<'a>(&'a self, new: Option<&'a Record>) -> impl Iterator<Item = &'a Record> {
        self.used().filter(|(_, slot)| !slot.is_victim).map(|(_, slot)| &slot.record).chain(new)
    }

    /// Returns whether all fits that is not marked as a victim, and `new`.
    fn fits(&self, new: Option<&Record>) -> bool {
        let (items, blocks, bytes) = self.remaining(new).fold((0, 0, 0), |(items, blocks, bytes), record| {
            (items + 1, blocks + blocks_for::<B>(record.len), bytes + self.limits.charge(record.len))
        });
        items <= self.limits.items && blocks <= self.block_count() && bytes <= self.limits.bytes
    }

    /// Returns the share that a source counts, by its wide prefix if that has too much, and the share of the source itself.
    fn share(&self, source: Source, new: Option<&Record>) -> (u64, u64) {
        let kept = self.remaining(new).filter(|record| record.class() == Class::Kept);
        let (mut narrow, mut wide) = (0, 0);
        for record in kept.filter(|record| record.source.wide() == source.wide()) {
            let weight = self.limits.weight(record.len);
            wide += weight;
            narrow += if record.source == source { weight } else { 0 };
        }
        ((narrow * WIDE_DIVISOR).max(wide), narrow)
    }

    /// Returns the source with the largest share.
    fn largest_source(&self, new: Option<&Record>) -> Option<Source> {
        let kept = self.remaining(new).filter(|record| record.class() == Class::Kept);
        let mut largest: Option<((u64, u64), Source)> = None;
        for record in kept {
            if largest.is_some_and(|(_, source)| source == record.source) {
                continue;
            }
            let share = (self.share(record.source, new), record.source);
            if largest.is_none_or(|largest| share > largest) {
                largest = Some(share);
            }
        }
        largest.map(|(_, source)| source)
    }

    /// Returns the position of the item that is evicted next; `None` when that would be `new` itself, or no item may be evicted.
    fn next_victim(&self, new: Option<&Record>) -> Option<usize> {
        let least = |class: Class, source: Option<Source>| {
            let among = self.used().filter(|(_, slot)| !slot.is_victim && slot.record.class() == class);
            let among = among.filter(|(_, slot)| source.is_none_or(|source| slot.record.source == source));
            among.min_by(|(_, a), (_, b)| a.record.rank(&self.limits).cmp(&b.record.rank(&self.limits)))
        };
        let outranked = |slot: &FixedRecord, by: &Record| slot.record.rank(&self.limits) < by.rank(&self.limits);
        let (position, slot, rival) = match least(Class::First, None) {
            Some((position, slot)) => (position, slot, new.filter(|new| new.class() == Class::First)),
            None => {
                new.filter(|new| new.class() == Class::First).is_none().then_some(())?;
                let source = self.largest_source(new)?;
                let (position, slot) = least(Class::Kept, Some(source))?;
                (position, slot, new.filter(|new| !new.own && new.source == source))
            }
        };
        rival.is_none_or(|rival| outranked(slot, rival)).then_some(position)
    }

    /// Marks victims until all the rest fits, and `new`. Returns `false`, with no item marked, when `new` cannot be made to fit.
    pub(crate) fn mark_victims(&mut self, new: Option<&Record>) -> bool {
        while !self.fits(new) {
            let Some(slot) = self.next_victim(new).and_then(|position| self.records.get_mut(position)) else {
                self.unmark_victims();
                return false;
            };
            slot.is_victim = true;
        }
        true
    }

    /// Marks what exceeds the limits, which the owner may have lowered.
    #[cfg(feature = "flash")]
    pub(crate) fn mark_surplus(&mut self) {
        while !self.fits(None) {
            let Some(slot) = self.next_victim(None).and_then(|position| self.records.get_mut(position)) else { return };
            slot.is_victim = true;
        }
    }

    /// Takes all marks back.
    pub(crate) fn unmark_victims(&mut self) {
        self.records.iter_mut().for_each(|slot| slot.is_victim = false);
    }

    /// Returns the position of an item that is marked as a victim.
    pub(crate) fn marked_victim(&self) -> Option<usize> {
        self.used().find(|(_, slot)| slot.is_victim).map(|(position, _)| position)
    }
}
