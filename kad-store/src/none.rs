//! A store that holds nothing.

use kad_wire::{Answer, Digest, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink};

use crate::{Due, Listed, Page, Store, Usage};

/// Holds nothing and refuses every offer with [`ItemStatus::Full`]: for nodes that only look values up, or store values that their
/// application keeps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NoStore;

impl Store for NoStore {
    fn offer(&mut self, _: Instant, _: &Offer<'_>) -> Option<Answer> {
        Some(Answer::refused(ItemStatus::Full))
    }

    fn publish(&mut self, _: Instant, _: &Key, _: &ItemHeader, _: &[u8]) -> Answer {
        Answer::refused(ItemStatus::Full)
    }

    fn find(&mut self, _: Instant, _: &Query, _: &mut dyn Sink) -> Page {
        Page::default()
    }

    fn read(&mut self, _: Instant, _: &Key, _: &Digest, _: u32, _: &mut [u8]) -> usize {
        0
    }

    fn forget(&mut self, _: &Key, _: Option<&Digest>) -> usize {
        0
    }

    fn expire(&mut self, _: Instant) -> usize {
        0
    }

    fn poll_due(&mut self, _: Instant) -> Option<Due> {
        None
    }

    fn due_near(&mut self, _: Instant, _: Instant, _: &Due, _: usize, _: &mut dyn FnMut(&Due) -> bool) {}

    fn next_wake(&self) -> Option<Instant> {
        None
    }

    fn next_item(&self, _: Instant, _: Option<&(Key, Digest)>) -> Option<Listed> {
        None
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
