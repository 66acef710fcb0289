//! Group commit: one transaction for all changes since the last one. The store collects the changes at once; another thread may
//! write them while the store answers on.

use std::boxed::Box;
use std::sync::Arc;
use std::time::Instant as Stopwatch;
use std::vec::Vec;

use super::database::{Batch, Row};
use super::{DiskStore, uncommitted::Uncommitted};
use crate::{NotDurable, Writing};

/// A commit that is being written.
pub(super) struct Pending {
    begun: Stopwatch,
    /// The changes in it, to be rolled back if it fails.
    pub(super) changes: Uncommitted,
    /// The cursors of items whose values the file has once it succeeds.
    written: Vec<u32>,
}

impl DiskStore {
    /// Begins a commit of all changes so far. Changes from now on are for the next one.
    pub(super) fn begin_write(&mut self) -> Result<Writing, NotDurable> {
        let Some(database) = self.database.clone() else {
            self.roll_back();
            return Err(self.not_durable());
        };
        let batch = self.batch();
        let written = batch.rows.iter().map(|row| row.record.cursor).collect();
        let changes = core::mem::take(&mut self.catalog.changes);
        self.pending = Some(Pending { begun: Stopwatch::now(), changes, written });
        Ok(Box::new(move || database.write(&batch).map_err(|_| NotDurable)))
    }

    /// Ends a commit. After a failure rolls back its changes, and those since.
    pub(super) fn end_write(&mut self, result: Result<(), NotDurable>) -> Result<(), NotDurable> {
        let pending = self.pending.take();
        if result.is_err() {
            self.health.failed_commits += 1;
            if let Some(pending) = &pending {
                // The next commit fails too: changes since this one are rolled back as well.
                self.roll_back_with(&pending.changes);
            }
        }
        result?;
        // `None` if a failed read has rolled the store back meanwhile: reopening the file loads what it holds.
        let Some(pending) = pending else { return Ok(()) };
        for cursor in pending.written {
            if let Some(unsaved) = self.catalog.value_mut(cursor) {
                *unsaved = None;
            }
        }
        self.backoff.reset();
        self.health.commits += 1;
        let took_us = u64::try_from(pending.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.health.longest_commit_us = self.health.longest_commit_us.max(took_us);
        Ok(())
    }

    /// Counts a failure of the next commit, whose changes have been rolled back.
    pub(super) fn not_durable(&mut self) -> NotDurable {
        self.rolled_back = false;
        self.health.failed_commits += 1;
        NotDurable
    }

    /// Collects the changes since the last commit.
    fn batch(&self) -> Batch {
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (cursor, on_disk) in self.catalog.changes.touched() {
            match (self.catalog.arrived(cursor), on_disk) {
                (Some(entry), _) => {
                    rows.push(Row { record: entry.record, value: entry.value.as_ref().map(Arc::clone) });
                }
                (None, Some(len)) => gone.push((cursor, len)),
                (None, None) => {}
            }
        }
        let (items, last_cursor) = (self.catalog.len(), self.catalog.last_cursor);
        Batch { rows, gone, items, last_cursor, now: self.now, clock: self.clock }
    }
}
