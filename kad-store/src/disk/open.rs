//! Opening a store; rolling back, backing off and reopening after a failure of the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::Vec;

use kad_wire::{Digest, Instant, Key};

use super::clock::{Clock, Moment};
use super::database::{self, Database, Loaded, Opener};
use super::error::{DiskError, DiskHealth, Fault};
use super::uncommitted::Uncommitted;
use super::{DiskReadError, DiskStore};
use crate::Limits;
use crate::catalog::{Catalog, TrackChanges};

/// The first and the longest delay before the next attempt to write after a failure.
const BACKOFF_MS: (u64, u64) = (1_000, 60_000);

/// When the store tries a disk again that has failed. The delay doubles with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    until: Option<Instant>,
    len_ms: u64,
}

impl Backoff {
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    fn begin(&mut self, now: Instant) {
        self.len_ms = (self.len_ms * 2).clamp(BACKOFF_MS.0, BACKOFF_MS.1);
        self.until = Some(now.plus_millis(self.len_ms));
    }
}

impl DiskStore {
    /// Opens a store, and creates the file if there is none. `moment` is one moment by the wall clock and by the caller's clock,
    /// which counts in all other methods: see [above](Self#time).
    ///
    /// Reads and checks the whole file: some hundred milliseconds with the defaults of [`Limits`], more on a slow disk. Evicts
    /// items that exceed the limits.
    ///
    /// # Errors
    /// [`DiskError`]: the file cannot be read or written, is in use, is no store of this format, or is damaged.
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
            catalog: Catalog::new(limits, Uncommitted::default()),
            opener,
            path: path.into(),
            database: None,
            pending: None,
            clock,
            now: moment.at,
            backoff: Backoff::default(),
            rolled_back: false,
            health: DiskHealth::default(),
        };
        store.replace_catalog(loaded);
        store.catalog.evict_surplus();
        store.catalog.expire(moment.at);
        store.catalog.evicted = 0;
        if database::worth_compacting(path, store.catalog.bytes) {
            database.compact()?;
        }
        store.database = Some(Arc::new(database));
        Ok(store)
    }

    /// Replaces the catalog by what the file holds. Items that were held before keep their schedule.
    fn replace_catalog(&mut self, loaded: Loaded) {
        let limits = self.catalog.limits.clone();
        let mut catalog = Catalog::new(limits, Uncommitted::default());
        catalog.evicted = self.catalog.evicted;
        catalog.last_cursor = self.catalog.last_cursor.max(loaded.last_cursor);
        for mut record in loaded.records {
            match self.catalog.arrived(record.cursor).filter(|entry| entry.record.digest == record.digest) {
                Some(entry) => {
                    record.replicate_at = entry.record.replicate_at;
                    record.republish_at = entry.record.republish_at;
                }
                None => record.reschedule_overdue(self.now, &self.catalog.limits),
            }
            match catalog.entry(&record.key, &record.digest) {
                // A second row of the same item is deleted.
                Some(_) => catalog.changes.removed(&record),
                None => catalog.insert(record, None),
            }
        }
        self.catalog = catalog;
    }

    /// Returns whether the store refuses new items because the disk has failed lately. Reopens the file if that is due.
    pub(super) fn in_backoff(&mut self, now: Instant) -> bool {
        self.reopen_if_due(now);
        self.database.is_none() || self.backoff.until().is_some_and(|until| now < until)
    }

    /// Returns to what the file holds, after a commit or a read has failed. The database refuses everything after a failure, so
    /// the store reopens the file. That holds the last commit that succeeded, or the failed one if only its confirmation was
    /// lost.
    pub(super) fn roll_back(&mut self) {
        // A commit that another thread is writing may still succeed; then the reopened file has it.
        let pending = self.pending.take().map(|pending| pending.changes).unwrap_or_default();
        self.roll_back_with(&pending);
    }

    /// Does the same; `pending` are the changes of the commit that has failed.
    pub(super) fn roll_back_with(&mut self, pending: &Uncommitted) {
        let unsaved = |(cursor, _): (u32, Option<u32>)| {
            let entry = self.catalog.arrived(cursor)?;
            entry.value.is_some().then_some((entry.record.key, entry.record.digest))
        };
        let unsaved: Vec<(Key, Digest)> =
            pending.touched().chain(self.catalog.changes.touched()).filter_map(unsaved).collect();
        self.reopen();
        if self.database.is_none() {
            // The file could not be opened. Items that are not in it are dropped; the others can be read once it opens.
            for (key, digest) in unsaved {
                self.catalog.remove(&key, &digest);
            }
            self.catalog.changes.clear();
        }
    }

    pub(super) fn reopen_if_due(&mut self, now: Instant) {
        if self.database.is_none() && self.backoff.until().is_none_or(|until| until <= now) {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        self.backoff.begin(self.now);
        // Before the catalog is replaced: it counts the changes that answers depended on.
        self.rolled_back |= self.catalog.changes.requires_commit();
        // Closes the file: it cannot be open twice.
        self.database = None;
        let Ok(database) = Database::open(&self.opener) else { return };
        // The clock has gone on since the last commit, so it is kept.
        let Ok(loaded) = database.load(|_| self.clock) else { return };
        self.replace_catalog(loaded);
        self.database = Some(Arc::new(database));
    }

    /// Reacts to a failed read of a value's bytes.
    pub(super) fn read_failed(&mut self, key: &Key, digest: &Digest, why: DiskReadError) {
        match why {
            // Dropped, so that another holder can store its copy here.
            DiskReadError::Lost => {
                self.health.lost += 1;
                self.catalog.remove(key, digest);
            }
            DiskReadError::Disk if self.database.is_some() => {
                self.health.failed_reads += 1;
                self.roll_back();
            }
            DiskReadError::Disk => self.health.failed_reads += 1,
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
