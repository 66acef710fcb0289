//! The changes since the last commit.

use std::collections::BTreeMap;

use kad_wire::Instant;

use crate::catalog::TrackChanges;
use crate::record::Record;

/// The longest delay before changes that no answer depends on are committed.
const DELAY_MAX_MS: u64 = 60_000;
/// The most changes before a commit is required.
const CHANGES_MAX: usize = 1024;

/// Items that were inserted, changed or removed since the last commit, by their cursors.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// For each item, the length of its value if the file has the item.
    touched: BTreeMap<u32, Option<u32>>,
    requires_commit: bool,
    since: Option<Instant>,
}

impl Uncommitted {
    /// Returns the cursors of changed items, and the lengths of the values that the file has.
    pub(super) fn touched(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        self.touched.iter().map(|(cursor, len)| (*cursor, *len))
    }

    /// Returns whether answers depend on a commit, or one is due because changes are many or old. That an item has expired or was
    /// passed on can wait.
    pub(super) fn requires_commit(&self) -> bool {
        self.requires_commit || self.touched.len() >= CHANGES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Requires a commit once the oldest change is [`DELAY_MAX_MS`] old.
    pub(super) fn tick(&mut self, now: Instant) {
        if !self.touched.is_empty() {
            let since = *self.since.get_or_insert(now);
            self.requires_commit |= now >= since.plus_millis(DELAY_MAX_MS);
        }
    }

    fn touch(&mut self, record: &Record) {
        // For an item that was inserted since the last commit, the entry stays: the file does not have it.
        self.touched.entry(record.cursor).or_insert(Some(record.len));
    }
}

impl TrackChanges for Uncommitted {
    fn inserted(&mut self, record: &Record) {
        self.touched.insert(record.cursor, None);
        self.requires_commit = true;
    }

    fn changed(&mut self, before: &Record, after: &Record) {
        let answered = |record: &Record| (record.expires, record.own, record.flags);
        if answered(before) != answered(after) {
            self.requires_commit = true;
        } else if before.republish_at == after.republish_at {
            return;
        }
        self.touch(before);
    }

    fn removed(&mut self, record: &Record) {
        self.touch(record);
    }
}
