//! Opening, and what becomes of a store whose disk fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::Vec;

use kad_wire::{Digest, Instant, Key};

use super::clock::{Clock, Moment};
use super::database::{self, Database, Loaded, Opener};
use super::error::{DiskError, DiskHealth, Fault};
use super::journal::Journal;
use super::{Broken, DiskStore};
use crate::Limits;
use crate::catalog::{Catalog, Watch};
use crate::due::jittered;
use crate::record::Record;

/// First and longest rest that a disk is given after a failure.
const REST_MS: (u64, u64) = (1_000, 60_000);

/// When a disk that has failed is tried again.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
    len_ms: u64,
}

impl Rest {
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    fn begin(&mut self, now: Instant) {
        self.len_ms = (self.len_ms * 2).clamp(REST_MS.0, REST_MS.1);
        self.until = Some(now.plus_millis(self.len_ms));
    }
}

impl DiskStore {
    /// Opens a store, and makes the file if there is none. `moment` says which time it is by the wall clock when the owner's
    /// clock, which every other method is given, begins: see [above](Self#time).
    ///
    /// Reads the whole file, to be sure of it: some hundred milliseconds for the defaults of [`Limits`], more on a slow disk.
    /// Items beyond the limits are evicted.
    ///
    /// # Errors
    /// [`DiskError`]: the file cannot be used, is in use, is something else, or is damaged.
    pub fn open(path: impl Into<PathBuf>, limits: Limits, moment: Moment) -> Result<Self, DiskError> {
        let path = path.into();
        let opened =
            database::create(&path).and_then(|()| Self::open_with(database::opener(&path), &path, limits, moment));
        opened.map_err(|fault| fault.of_file(path))
    }

    pub(super) fn open_with(opener: Opener, path: &Path, limits: Limits, moment: Moment) -> Result<Self, Fault> {
        let mut database = Database::open(&opener)?;
        database.verify()?;
        let loaded = database.load(|last| Clock::new(moment, last))?;
        let clock = loaded.clock;
        let mut store = Self {
            catalog: Catalog::new(limits, Journal::default()),
            opener,
            path: path.into(),
            database: None,
            pending: None,
            clock,
            now: moment.at,
            rest: Rest::default(),
            gave_up: false,
            health: DiskHealth::default(),
        };
        store.take_in(loaded);
        store.catalog.evict_surplus();
        store.catalog.expire(moment.at);
        store.catalog.evicted = 0;
        if database::is_mostly_air(path, store.catalog.bytes) {
            database.compact()?;
        }
        store.database = Some(Arc::new(database));
        Ok(store)
    }

    /// Makes the catalogue what the file says. What was held before is passed on when it was to be.
    fn take_in(&mut self, loaded: Loaded) {
        let limits = self.catalog.limits.clone();
        let mut catalog = Catalog::new(limits, Journal::default());
        catalog.evicted = self.catalog.evicted;
        catalog.last_cursor = self.catalog.last_cursor.max(loaded.last_cursor);
        for mut record in loaded.records {
            match self.catalog.arrived(record.cursor).filter(|held| held.record.digest == record.digest) {
                Some(held) => {
                    record.replicate_at = held.record.replicate_at;
                    record.republish_at = held.record.republish_at;
                }
                None => self.settle_dues(&mut record),
            }
            match catalog.held(&record.key, &record.digest) {
                // Never twice: a second row is deleted.
                Some(_) => catalog.watch.went(&record),
                None => catalog.insert(record, None),
            }
        }
        self.catalog = catalog;
    }

    /// What was due while nobody looked is due within an interval, and not all at once.
    fn settle_dues(&self, record: &mut Record) {
        let limits = &self.catalog.limits;
        let latest = jittered(self.now, limits.replicate, &limits.id);
        let is_ahead = record.replicate_at > self.now && record.replicate_at < latest;
        if !is_ahead {
            record.replicate_at = latest;
        }
        record.republish_at = record.republish_at.min(jittered(self.now, limits.republish, &limits.id));
    }

    /// Whether the disk is given a rest.
    pub(super) fn rests(&mut self, now: Instant) -> bool {
        self.reopen_if_due(now);
        self.database.is_none() || self.rest.until().is_some_and(|until| now < until)
    }

    /// A commit has failed: what was not on disk before is not held. After a failure the database refuses everything, so it
    /// is opened anew, which makes it what it was after the last commit. Or after this one, if only the news of it was lost.
    pub(super) fn take_back(&mut self) {
        // What is being written may still succeed: then the file says so when it is opened again.
        let pending = self.pending.take().map(|pending| pending.journal).unwrap_or_default();
        self.take_back_with(&pending);
    }

    /// The same, with what a commit that has failed was to write.
    pub(super) fn take_back_with(&mut self, pending: &Journal) {
        let unsaved = |(cursor, _): (u32, Option<u32>)| {
            let held = self.catalog.arrived(cursor)?;
            held.value.is_some().then_some((held.record.key, held.record.digest))
        };
        let unsaved: Vec<(Key, Digest)> =
            pending.touched().chain(self.catalog.watch.touched()).filter_map(unsaved).collect();
        self.reopen();
        if self.database.is_none() {
            // It could not be opened yet. What is not on disk is not held; the rest is looked up when it can be.
            for (key, digest) in unsaved {
                self.catalog.remove(&key, &digest);
            }
            self.catalog.watch.clear();
        }
    }

    pub(super) fn reopen_if_due(&mut self, now: Instant) {
        if self.database.is_none() && self.rest.until().is_none_or(|until| until <= now) {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        self.rest.begin(self.now);
        // Before: what is taken in below was never promised anew.
        self.gave_up |= self.catalog.watch.is_promised();
        // Closed first: two at a time exclude each other.
        self.database = None;
        let Ok(database) = Database::open(&self.opener) else { return };
        // The time does not stand still meanwhile: the clock stays what it is.
        let Ok(loaded) = database.load(|_| self.clock) else { return };
        self.take_in(loaded);
        self.database = Some(Arc::new(database));
    }

    /// Bytes could not be read.
    pub(super) fn broke(&mut self, key: &Key, digest: &Digest, why: Broken) {
        match why {
            // Another holder's copy is welcome.
            Broken::Lost => {
                self.health.lost += 1;
                self.catalog.remove(key, digest);
            }
            Broken::Disk if self.database.is_some() => {
                self.health.failed_reads += 1;
                self.take_back();
            }
            Broken::Disk => self.health.failed_reads += 1,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
