//! The bounds of the whole store, for stores with an allocator: which items to evict for a new one, found through indexes.

use alloc::vec::Vec;
use core::ops::Bound;

use kad_wire::{Digest, Key};

use super::shares::Shares;
use super::source::Source;
use super::{Class, Rank};
use crate::Limits;
use crate::catalog::{Catalog, TrackChanges};
use crate::record::Record;

/// The most items to examine as victims for an item of which only the header is here.
pub(crate) const HEADER_ONLY_VICTIMS_MAX: usize = 64;

/// The order of eviction in a catalog: by class; within [`Class::Kept`] by source; then by rank.
pub(crate) type Order = (Class, Source, Rank);

/// A search for victims: what the store would hold, and what would be evicted for it.
struct VictimSearch<'a> {
    /// What would be held, as [`Limits::charge`] counts it.
    bytes: u64,
    items: usize,
    victims: Vec<(Key, Digest)>,
    /// The rank that the search has reached in each source.
    reached: Vec<(Source, Rank)>,
    /// Items that are removed in any case.
    removed: &'a [Record],
    /// The search ends after so many victims.
    victims_max: usize,
}

impl<'a> VictimSearch<'a> {
    fn new(limits: &Limits, held: (u64, usize), new: &Record, removed: &'a [Record], victims_max: usize) -> Self {
        let (bytes, items) = (held.0 + limits.charge(new.len), held.1 + 1);
        let mut search = Self { bytes, items, victims: Vec::new(), reached: Vec::new(), removed, victims_max };
        for record in removed {
            search.subtract(limits, record);
        }
        search
    }

    fn fits(&self, limits: &Limits) -> bool {
        self.bytes <= limits.bytes && self.items <= limits.items
    }

    fn is_over(&self, limits: &Limits) -> bool {
        self.fits(limits) || self.victims.len() >= self.victims_max
    }

    fn subtract(&mut self, limits: &Limits, record: &Record) {
        self.bytes -= limits.charge(record.len);
        self.items -= 1;
    }

    fn set_reached(&mut self, source: Source, rank: Rank) {
        match self.reached.iter_mut().find(|(of, _)| *of == source) {
            Some((_, last)) => *last = rank,
            None => self.reached.push((source, rank)),
        }
    }
}

impl Shares {
    fn add_records(&mut self, limits: &Limits, records: &[Record]) {
        for record in records.iter().filter(|record| record.class() == Class::Kept) {
            self.add(record.source, limits.weight(record.len));
        }
    }

    fn subtract_records(&mut self, limits: &Limits, records: &[Record]) {
        for record in records.iter().filter(|record| record.class() == Class::Kept) {
            self.subtract(record.source, limits.weight(record.len));
        }
    }
}

impl<V, C: TrackChanges> Catalog<V, C> {
    pub(crate) fn order_of(&self, record: &Record) -> Order {
        let class = record.class();
        let source = if class == Class::Kept { record.source } else { Source::NONE };
        (class, source, record.rank(&self.limits))
    }

    /// Returns the items to evict so that `new` fits the bounds of the whole store; `None` when `new` itself would be evicted
    /// first. Items in `removed` are removed in any case. Stops after `victims_max` victims and takes for granted that more
    /// would do.
    pub(crate) fn victims(
        &mut self,
        new: &Record,
        removed: &[Record],
        victims_max: usize,
    ) -> Option<Vec<(Key, Digest)>> {
        let held = (self.charged, self.len());
        let mut search = VictimSearch::new(&self.limits, held, new, removed, victims_max);
        if search.fits(&self.limits) {
            return Some(search.victims);
        }
        if self.search_first(new, &mut search) || new.class() == Class::First {
            return search.is_over(&self.limits).then_some(search.victims);
        }
        // The shares during the search: with the new item, without what is removed. Afterwards as before.
        let (new_record, mut evicted) = (core::slice::from_ref(new), Vec::new());
        self.shares.add_records(&self.limits, new_record);
        self.shares.subtract_records(&self.limits, removed);
        let found = self.search_kept(new, &mut search, &mut evicted);
        self.shares.add_records(&self.limits, &evicted);
        self.shares.add_records(&self.limits, removed);
        self.shares.subtract_records(&self.limits, new_record);
        found.then_some(search.victims)
    }

    /// Adds items of [`Class::First`] to the victims. Returns whether the search is over.
    fn search_first(&self, new: &Record, search: &mut VictimSearch<'_>) -> bool {
        let end = (new.class() == Class::First).then(|| self.order_of(new));
        for (order, place) in &self.ranks {
            if search.is_over(&self.limits) {
                return true;
            }
            if order.0 != Class::First || end.is_some_and(|end| *order >= end) {
                return false;
            }
            self.add_victim(place, search);
        }
        search.fits(&self.limits)
    }

    /// Adds items of [`Class::Kept`] to the victims: each time the one of the least rank of the source with the largest share.
    /// Returns `false` when the new item would be evicted first. Also adds the victims' records to `evicted`.
    fn search_kept(&mut self, new: &Record, search: &mut VictimSearch<'_>, evicted: &mut Vec<Record>) -> bool {
        while !search.is_over(&self.limits) {
            let Some(source) = self.shares.largest() else { return false };
            let Some((order, place)) = self.next_of(source, search) else { return false };
            if !new.own && source == new.source && order.2 >= new.rank(&self.limits) {
                return false;
            }
            search.set_reached(source, order.2);
            if let Some(record) = self.add_victim(&place, search) {
                self.shares.subtract(source, self.limits.weight(record.len));
                evicted.push(record);
            }
        }
        true
    }

    /// Returns the item of a source that is evicted next.
    fn next_of(&self, source: Source, search: &VictimSearch<'_>) -> Option<(Order, (Key, Digest))> {
        let after = match search.reached.iter().find(|(of, _)| *of == source) {
            Some(&(_, rank)) => Bound::Excluded((Class::Kept, source, rank)),
            None => Bound::Included((Class::Kept, source, Rank::LEAST)),
        };
        let (order, place) = self.ranks.range((after, Bound::Unbounded)).next()?;
        (order.0 == Class::Kept && order.1 == source).then_some((*order, *place))
    }

    /// Adds an item to the victims and returns its record; `None` when it is removed in any case.
    fn add_victim(&self, place: &(Key, Digest), search: &mut VictimSearch<'_>) -> Option<Record> {
        let record = self.entry(&place.0, &place.1)?.record;
        if search.removed.iter().any(|removed| removed.cursor == record.cursor) {
            return None;
        }
        search.subtract(&self.limits, &record);
        search.victims.push(*place);
        Some(record)
    }

    /// Evicts what exceeds the limits, which the owner may have lowered.
    #[cfg(feature = "disk")]
    pub(crate) fn evict_surplus(&mut self) {
        while self.len() > self.limits.items || self.charged > self.limits.bytes {
            let first = self.ranks.first_key_value().filter(|(order, _)| order.0 == Class::First);
            let first = first.map(|(_, place)| *place).or_else(|| {
                let source = self.shares.largest()?;
                self.ranks.range((Class::Kept, source, Rank::LEAST)..).next().map(|(_, place)| *place)
            });
            let Some((key, digest)) = first else { return };
            self.evicted += 1;
            self.remove(&key, &digest);
        }
    }
}
