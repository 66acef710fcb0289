//! A store in a file: what it acknowledged survives restarts and power loss.

mod clock;
mod database;
mod error;
mod journal;
mod layout;
mod open;
#[cfg(test)]
mod tests;

use std::boxed::Box;
use std::path::PathBuf;
use std::time::Instant as Stopwatch;
use std::vec::Vec;

use kad_wire::{Answer, Digest, Instant, ItemHeader, ItemStatus, Key, Offer, Query, Sink};

use crate::catalog::Catalog;
use crate::{Due, Listed, NotDurable, Page, Store, Usage};
pub use clock::Moment;
use database::{Changes, Database, Opener, Row};
pub use error::{DiskError, DiskHealth};
use journal::Journal;
use open::Rest;

/// The bytes of a value that the file does not have yet.
type Unsaved = Option<Box<[u8]>>;

#[doc = include_str!("about.md")]
pub struct DiskStore {
    catalog: Catalog<Unsaved, Journal>,
    opener: Opener,
    path: PathBuf,
    /// `None` after a failure, until it can be opened again.
    database: Option<Database>,
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
        match held.filter(|_| self.database.is_some() && self.catalog.watch.is_empty()) {
            Some(held) => held.record.answer(now, ItemStatus::Already),
            None => Answer::refused(ItemStatus::Full),
        }
    }

    fn not_durable(&mut self) -> Result<(), NotDurable> {
        self.gave_up = false;
        self.health.failed_commits += 1;
        Err(NotDurable)
    }

    /// Writes everything that the file does not know.
    fn write(&mut self) -> Result<(), NotDurable> {
        let begun = Stopwatch::now();
        let changes = changes(&self.catalog, self.now, self.clock);
        let written = self.database.as_ref().map(|database| database.write(&changes));
        let Some(Ok(())) = written else {
            self.take_back();
            return self.not_durable();
        };
        let came: Vec<u32> = changes.rows.iter().map(|row| row.record.cursor).collect();
        for cursor in came {
            if let Some(unsaved) = self.catalog.value_mut(cursor) {
                *unsaved = None;
            }
        }
        self.catalog.watch.clear();
        self.rest.over();
        self.health.commits += 1;
        let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.health.longest_commit_us = self.health.longest_commit_us.max(took_us);
        Ok(())
    }
}

/// What the file does not know yet.
fn changes(catalog: &Catalog<Unsaved, Journal>, now: Instant, clock: clock::Clock) -> Changes<'_> {
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for (cursor, on_disk) in catalog.watch.touched() {
        match (catalog.arrived(cursor), on_disk) {
            (Some(held), _) => rows.push(Row { record: &held.record, value: held.value.as_deref() }),
            (None, Some(len)) => gone.push((cursor, len)),
            (None, None) => {}
        }
    }
    Changes { rows, gone, items: catalog.len(), last_cursor: catalog.last_cursor, now, clock }
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
        let database = self.database.as_ref();
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
        match copy_out(self.database.as_ref(), held, offset, &mut out[..len]) {
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
        if self.gave_up {
            return self.not_durable();
        }
        match self.catalog.watch.is_promised() {
            true => self.write(),
            false => Ok(()),
        }
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
            let _ = self.write();
        }
    }
}
