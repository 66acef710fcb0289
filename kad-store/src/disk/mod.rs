//! A store in a file: what it acknowledged survives restarts and power loss.

mod clock;
mod commit;
mod database;
mod error;
mod journal;
mod layout;
mod open;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::vec::Vec;

use kad_wire::{Answer, Digest, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink};

use crate::catalog::Catalog;
use crate::{Due, Listed, NotDurable, Page, Store, Usage, Writing};
pub use clock::Moment;
use commit::Pending;
use database::{Database, Opener};
pub use error::{DiskError, DiskHealth};
use journal::Journal;
use open::Rest;

/// The bytes of a value that the file does not have yet.
type Unsaved = Option<Arc<[u8]>>;

#[doc = include_str!("about.md")]
pub struct DiskStore {
    catalog: Catalog<Unsaved, Journal>,
    opener: Opener,
    path: PathBuf,
    /// `None` after a failure, until it can be opened again. A commit that is being written has it too.
    database: Option<Arc<Database>>,
    /// The commit that is being written.
    pending: Option<Pending>,
    clock: clock::Clock,
    /// The latest time that was passed in.
    now: Instant,
    rest: Rest,
    /// What was answered since the last commit was given up because a read failed: the next commit says so.
    gave_up: bool,
    health: DiskHealth,
}

impl DiskStore {
    /// How well the disk does.
    pub const fn health(&self) -> DiskHealth {
        self.health
    }

    fn note_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.catalog.watch.tick(self.now);
    }

    /// What may be said while nothing can be written: what the file has is there, for as long as the file says.
    fn answer_at_rest(&mut self, now: Instant, offer: &Offer<'_>) -> Answer {
        self.health.refused += 1;
        let held = self.catalog.alive(now, &offer.key, &offer.header.digest);
        let all_written = self.pending.is_none() && self.catalog.watch.is_empty();
        match held.filter(|_| self.database.is_some() && all_written) {
            Some(held) => held.record.answer(now, ItemStatus::Already),
            None => Answer::refused(ItemStatus::Full),
        }
    }
}

impl Store for DiskStore {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.note_time(now);
        if self.rests(now) {
            return Some(self.answer_at_rest(now, offer));
        }
        self.catalog.offer(now, offer, |bytes| Some(bytes.into()))
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.note_time(now);
        if self.rests(now) {
            self.health.refused += 1;
            return Answer::refused(ItemStatus::Full);
        }
        self.catalog.publish(now, key, header, bytes, |bytes| Some(bytes.into()))
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        let mut broken = Vec::new();
        let database = self.database.as_deref();
        let page = self.catalog.find(now, query, sink, |held, hole| {
            if let Err(why) = copy_out(database, held, 0, hole) {
                // Its place is given away already. Whoever gets it checks the digest, as with every value.
                hole.fill(0);
                broken.push((held.record.key, held.record.digest, why));
            }
        });
        for (key, digest, why) in broken {
            self.broke(&key, &digest, why);
        }
        page
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        let Some(held) = self.catalog.alive(now, key, digest) else { return 0 };
        let rest = held.record.len.saturating_sub(offset) as usize;
        let len = rest.min(out.len());
        if len == 0 {
            return 0;
        }
        match copy_out(self.database.as_deref(), held, offset, &mut out[..len]) {
            Ok(()) => len,
            Err(why) => {
                self.broke(key, digest, why);
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
        let reopen = self.rest.until().filter(|_| self.database.is_none());
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
        if self.gave_up {
            return Err(self.not_durable());
        }
        match self.catalog.watch.is_promised() {
            true => self.begin_write().map(Some),
            false => Ok(None),
        }
    }

    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        self.end_write(written)
    }
}

/// Why bytes of a value cannot be had.
enum Broken {
    /// The system does not give them, or the file is closed.
    Disk,
    /// They are gone, or not what was written.
    Lost,
}

fn copy_out(
    database: Option<&Database>,
    held: &crate::catalog::Held<Unsaved>,
    offset: u32,
    out: &mut [u8],
) -> Result<(), Broken> {
    if let Some(bytes) = &held.value {
        let part = bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(part.ok_or(Broken::Lost)?);
        return Ok(());
    }
    match database.ok_or(Broken::Disk)?.read(held.record.cursor, held.record.len, offset, out) {
        Ok(true) => Ok(()),
        Ok(false) | Err(error::Fault::Damaged(_)) => Err(Broken::Lost),
        Err(_) => Err(Broken::Disk),
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if !self.catalog.watch.is_empty() {
            // Nobody relies on it: what was promised was committed.
            let _ = self.begin_write().map(|write| write());
        }
    }
}
