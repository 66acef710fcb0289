//! What the file does not know yet.

use std::collections::BTreeMap;

use kad_wire::Instant;

use crate::catalog::Watch;
use crate::record::Record;

/// How long what nobody was promised may wait for company.
const PATIENCE_MS: u64 = 60_000;
/// How many changes may wait.
const CROWD: usize = 1024;

/// Items that came, changed or went since the last commit, by their cursors.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// For each, the length of its value if the file has it.
    touched: BTreeMap<u32, Option<u32>>,
    /// Whether somebody relies on them. That something has ended, or was passed on, can wait.
    promised: bool,
    since: Option<Instant>,
}

impl Journal {
    /// Items to write about, and the lengths of what the file has of them.
    pub(super) fn touched(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        self.touched.iter().map(|(cursor, len)| (*cursor, *len))
    }

    pub(super) fn is_promised(&self) -> bool {
        self.promised || self.touched.len() >= CROWD
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What waits has waited long enough at some point.
    pub(super) fn tick(&mut self, now: Instant) {
        if !self.touched.is_empty() {
            let since = *self.since.get_or_insert(now);
            self.promised |= now >= since.plus_millis(PATIENCE_MS);
        }
    }

    fn touch(&mut self, record: &Record) {
        // An item that came since the last commit is noted already.
        self.touched.entry(record.cursor).or_insert(Some(record.len));
    }
}

impl Watch for Journal {
    fn came(&mut self, record: &Record) {
        self.touched.insert(record.cursor, None);
        self.promised = true;
    }

    fn changed(&mut self, before: &Record, after: &Record) {
        let promise = |record: &Record| (record.expires, record.own, record.flags);
        if promise(before) != promise(after) {
            self.promised = true;
        } else if before.republish_at == after.republish_at {
            return;
        }
        self.touch(before);
    }

    fn went(&mut self, record: &Record) {
        self.touch(record);
    }
}
