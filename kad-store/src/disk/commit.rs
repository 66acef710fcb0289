//! Writing what the file does not know, in two halves: what to write is looked up at once, and may be written by another thread
//! while the store goes on.

use std::boxed::Box;
use std::sync::Arc;
use std::time::Instant as Stopwatch;
use std::vec::Vec;

use super::database::{Changes, Row};
use super::{DiskStore, journal::Journal};
use crate::{NotDurable, Writing};

/// A commit that is being written.
pub(super) struct Pending {
    begun: Stopwatch,
    /// What is in it, should it fail.
    pub(super) journal: Journal,
    /// Items whose values the file has when it succeeds, by their cursors.
    came: Vec<u32>,
}

impl DiskStore {
    /// Looks up everything that the file does not know. What is answered from now on is for the next commit.
    pub(super) fn begin_write(&mut self) -> Result<Writing, NotDurable> {
        let Some(database) = self.database.clone() else {
            self.take_back();
            return Err(self.not_durable());
        };
        let changes = self.changes();
        let came = changes.rows.iter().map(|row| row.record.cursor).collect();
        let journal = core::mem::take(&mut self.catalog.watch);
        self.pending = Some(Pending { begun: Stopwatch::now(), journal, came });
        Ok(Box::new(move || database.write(&changes).map_err(|_| NotDurable)))
    }

    /// The file has it, or not.
    pub(super) fn end_write(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        let pending = self.pending.take();
        if written.is_err() {
            self.health.failed_commits += 1;
            if let Some(pending) = &pending {
                // With it goes what was answered since, of which the next commit says so.
                self.take_back_with(&pending.journal);
            }
        }
        written?;
        // It may have been taken back meanwhile, because a read failed: then the file says what there is when it is opened.
        let Some(pending) = pending else { return Ok(()) };
        for cursor in pending.came {
            if let Some(unsaved) = self.catalog.value_mut(cursor) {
                *unsaved = None;
            }
        }
        self.rest.over();
        self.health.commits += 1;
        let took_us = u64::try_from(pending.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.health.longest_commit_us = self.health.longest_commit_us.max(took_us);
        Ok(())
    }

    /// What was answered since the last commit does not hold.
    pub(super) fn not_durable(&mut self) -> NotDurable {
        self.gave_up = false;
        self.health.failed_commits += 1;
        NotDurable
    }

    /// What the file does not know yet.
    fn changes(&self) -> Changes {
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (cursor, on_disk) in self.catalog.watch.touched() {
            match (self.catalog.arrived(cursor), on_disk) {
                (Some(held), _) => rows.push(Row { record: held.record, value: held.value.as_ref().map(Arc::clone) }),
                (None, Some(len)) => gone.push((cursor, len)),
                (None, None) => {}
            }
        }
        let (items, last_cursor) = (self.catalog.len(), self.catalog.last_cursor);
        Changes { rows, gone, items, last_cursor, now: self.now, clock: self.clock }
    }
}
