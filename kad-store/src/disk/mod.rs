//! A store in a file: items that it has committed survive restarts and power loss.

mod clock;
mod database;
mod error;
mod group_commit;
mod layout;
mod open;
#[cfg(test)]
mod tests;
mod uncommitted;

use std::path::PathBuf;
use std::sync::Arc;
use std::vec::Vec;

use kad_wire::{Answer, Digest, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink};

use crate::catalog::Catalog;
use crate::{Due, Listed, NotDurable, Page, Store, Usage, Writing};
pub use clock::Moment;
use database::{Database, Opener};
pub use error::{DiskError, DiskHealth};
use group_commit::Pending;
use open::Backoff;
use uncommitted::Uncommitted;

/// The bytes of a value, as long as the file does not have them.
type Unsaved = Option<Arc<[u8]>>;

#[doc = include_str!("about.md")]
pub struct DiskStore {
    catalog: Catalog<Unsaved, Uncommitted>,
    opener: Opener,
    path: PathBuf,
    /// `None` after a failure until the file opens again. A commit that is being written holds it too.
    database: Option<Arc<Database>>,
    /// The commit that is being written.
    pending: Option<Pending>,
    clock: clock::Clock,
    /// The latest time that a caller has passed in.
    now: Instant,
    backoff: Backoff,
    /// Changes since the last commit were rolled back: the next commit fails, so that no answer that depended on them leaves.
    rolled_back: bool,
    health: DiskHealth,
}

impl DiskStore {
    /// Returns counts of commits and failures since the store was opened.
    pub const fn health(&self) -> DiskHealth {
        self.health
    }

    fn note_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.catalog.changes.tick(self.now);
    }

    /// Answers an offer while the store does not write: an item that is in the file is held, with its lifetime there; every other
    /// is refused.
    fn answer_in_backoff(&mut self, now: Instant, offer: &Offer<'_>) -> Answer {
        self.health.refused += 1;
        let entry = self.catalog.alive(now, &offer.key, &offer.header.digest);
        let all_written = self.pending.is_none() && self.catalog.changes.is_empty();
        match entry.filter(|_| self.database.is_some() && all_written) {
            Some(entry) => entry.record.answer(now, ItemStatus::Already),
            None => Answer::refused(ItemStatus::Full),
        }
    }
}

impl Store for DiskStore {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.note_time(now);
        if self.in_backoff(now) {
            return Some(self.answer_in_backoff(now, offer));
        }
        self.catalog.offer(now, offer, |bytes| Some(bytes.into()))
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.note_time(now);
        if self.in_backoff(now) {
            self.health.refused += 1;
            return Answer::refused(ItemStatus::Full);
        }
        self.catalog.publish(now, key, header, bytes, |bytes| Some(bytes.into()))
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        let mut failed = Vec::new();
        let database = self.database.as_deref();
        let page = self.catalog.find(now, query, sink, |entry, out| {
            if let Err(why) = copy_out(database, entry, 0, out) {
                // Its header is written already. The reader checks the digest, as of every value, and drops it.
                out.fill(0);
                failed.push((entry.record.key, entry.record.digest, why));
            }
        });
        for (key, digest, why) in failed {
            self.read_failed(&key, &digest, why);
        }
        page
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let Some(entry) = self.catalog.alive(now, key, digest) else { return 0 };
        let rest = entry.record.len.saturating_sub(offset) as usize;
        let len = rest.min(out.len());
        if len == 0 {
            return 0;
        }
        match copy_out(self.database.as_deref(), entry, offset, &mut out[..len]) {
            Ok(()) => len,
            Err(why) => {
                self.read_failed(key, digest, why);
                0
            }
        }
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.catalog.forget(key, digest)
    }

    fn expire(&mut self, now: Instant) -> usize {
        self.note_time(now);
        self.reopen_if_due(now);
        self.catalog.expire(now)
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.note_time(now);
        self.catalog.poll_due(now)
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.catalog.due_near(now, until, first, bits, take);
    }

    fn next_wake(&self) -> Option<Instant> {
        let reopen = self.backoff.until().filter(|_| self.database.is_none());
        self.catalog.next_wake().into_iter().chain(reopen).min()
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.catalog.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        let DiskHealth { failed_commits, failed_reads, lost, .. } = self.health;
        let failed = failed_commits + failed_reads + lost;
        Usage { items: self.catalog.len(), bytes: self.catalog.bytes, evicted: self.catalog.evicted, failed }
    }

    fn commit(&mut self) -> Result<(), NotDurable> {
        match self.begin_commit()? {
            Some(write) => {
                let written = write();
                self.end_commit(written)
            }
            None => Ok(()),
        }
    }

    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        if self.rolled_back {
            return Err(self.not_durable());
        }
        match self.catalog.changes.requires_commit() {
            true => self.begin_write().map(Some),
            false => Ok(None),
        }
    }

    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        self.end_write(written)
    }
}

/// Why bytes of a value cannot be read.
enum DiskReadError {
    /// The system reports an error, or the file is closed.
    Disk,
    /// The bytes are missing, or differ from what was written.
    Lost,
}

/// Fills `out` with bytes of a value from `offset` on.
fn copy_out(
    database: Option<&Database>,
    entry: &crate::catalog::Entry<Unsaved>,
    offset: u32,
    out: &mut [u8],
) -> Result<(), DiskReadError> {
    if let Some(bytes) = &entry.value {
        let part = bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(part.ok_or(DiskReadError::Lost)?);
        return Ok(());
    }
    match database.ok_or(DiskReadError::Disk)?.read(entry.record.cursor, entry.record.len, offset, out) {
        Ok(true) => Ok(()),
        Ok(false) | Err(error::Fault::Damaged(_)) => Err(DiskReadError::Lost),
        Err(_) => Err(DiskReadError::Disk),
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if !self.catalog.changes.is_empty() {
            // A failure loses no answer: the caller commits before it passes answers on.
            let _ = self.begin_write().map(|write| write());
        }
    }
}
