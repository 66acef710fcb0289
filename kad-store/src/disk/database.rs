//! The file. The only module that knows the database, redb.

use std::boxed::Box;
use std::ffi::OsString;
use std::format;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::Vec;

use kad_wire::Instant;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, WriteTransaction};

use super::clock::{Clock, Written};
use super::error::Fault;
use super::layout::{BLOCK, FORMAT, block_key, block_row, blocks_for, item_read, item_row, verified};
use crate::record::Record;

/// One number for each name: the format, the clocks, the number of items.
const META: TableDefinition<'_, &str, i64> = TableDefinition::new("kad store");
/// Items, by their cursors.
const ITEMS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("items");
/// Blocks of values, by cursor and number.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");

/// Bytes of memory for pages of the file.
const CACHE: usize = 32 << 20;
/// A smaller file is never compacted, in bytes.
const COMPACTING_MIN: u64 = 64 << 20;

/// Opens the database: its file, or in tests other memory.
pub(super) type Opener = Box<dyn Fn() -> Result<redb::Database, redb::DatabaseError> + Send>;

/// An item to write: its record, and its value if the file does not have it.
pub(super) struct Row {
    pub(super) record: Record,
    pub(super) value: Option<Arc<[u8]>>,
}

/// The changes of one commit.
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// Items to delete, and the lengths of their values.
    pub(super) gone: Vec<(u32, u32)>,
    pub(super) items: usize,
    pub(super) last_cursor: u32,
    pub(super) now: Instant,
    pub(super) clock: Clock,
}

/// What a file holds, without values.
pub(super) struct Loaded {
    pub(super) records: Vec<Record>,
    pub(super) last_cursor: u32,
    pub(super) clock: Clock,
}

pub(super) struct Database(Option<redb::Database>);

impl Database {
    pub(super) fn open(opener: &Opener) -> Result<Self, Fault> {
        guarded(|| Ok(Self(Some(opener()?))))
    }

    /// Compares every page with its checksum. The database does that only here, and after a crash.
    pub(super) fn verify(&mut self) -> Result<(), Fault> {
        let Some(database) = &mut self.0 else { return Err(closed()) };
        guarded(|| match database.check_integrity()? {
            true => Ok(()),
            false => Err(Fault::Damaged(
                "checksums were wrong; the database has repaired what it could, and items may be missing".into(),
            )),
        })
    }

    /// Writes the tables of an empty store to an empty database.
    pub(super) fn format(&self) -> Result<(), Fault> {
        let write = self.begin()?;
        {
            let mut meta = write.open_table(META)?;
            for (name, number) in [("format", i64::from(FORMAT)), ("items", 0), ("last cursor", 0)] {
                meta.insert(name, number)?;
            }
            write.open_table(ITEMS)?;
            write.open_table(BLOCKS)?;
        }
        Ok(write.commit()?)
    }

    /// Reads everything but the values. `clock` makes the store's clock of the times of the last commit.
    pub(super) fn load(&self, clock: impl FnOnce(Option<Written>) -> Clock) -> Result<Loaded, Fault> {
        guarded(|| self.load_unguarded(clock))
    }

    fn load_unguarded(&self, clock: impl FnOnce(Option<Written>) -> Clock) -> Result<Loaded, Fault> {
        let read = self.database()?.begin_read()?;
        if !read.list_tables()?.any(|table| table.name() == META.name()) {
            return Err(Fault::OtherFormat(None));
        }
        let meta = read.open_table(META)?;
        let number = |name: &str| -> Result<Option<i64>, Fault> { Ok(meta.get(name)?.map(|number| number.value())) };
        let found = number("format")?.and_then(|format| u32::try_from(format).ok());
        if found != Some(FORMAT) {
            return Err(Fault::OtherFormat(found));
        }
        let last = number("store clock")?.zip(number("wall clock")?);
        let clock = clock(last.map(|(store_us, wall_us)| Written { store_us, wall_us }));
        let items = read.open_table(ITEMS)?;
        if number("items")? != i64::try_from(items.len()?).ok() {
            return Err(Fault::Damaged(format!("it holds {} items, not {:?}", items.len()?, number("items")?)));
        }
        let mut records = Vec::new();
        for row in items.iter()? {
            let (cursor, row) = row?;
            let record = item_read(cursor.value(), row.value(), clock);
            records.push(record.ok_or_else(|| Fault::Damaged(format!("item {}", cursor.value())))?);
        }
        let last_cursor = number("last cursor")?.and_then(|cursor| u32::try_from(cursor).ok()).unwrap_or(0);
        Ok(Loaded { records, last_cursor, clock })
    }

    /// Commits all changes, or none. On success they are on disk.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), Fault> {
        guarded(|| {
            let write = self.begin()?;
            write_rows(&write, batch)?;
            write_meta(&write, batch)?;
            Ok(write.commit()?)
        })
    }

    fn begin(&self) -> Result<WriteTransaction, Fault> {
        Ok(self.database()?.begin_write()?)
    }

    /// Fills `out` with bytes of a value from `offset` on. Returns `false` when they are missing or differ from what was written.
    pub(super) fn read(&self, cursor: u32, len: u32, offset: u32, out: &mut [u8]) -> Result<bool, Fault> {
        guarded(|| {
            let read = self.database()?.begin_read()?;
            let table = read.open_table(BLOCKS)?;
            let (mut offset, mut rest) = (offset as usize, out);
            while !rest.is_empty() {
                let block = (offset / BLOCK) as u32;
                let key = block_key(cursor, block);
                let row = table.get(key)?;
                let bytes = row.as_ref().and_then(|row| verified(key, row.value()));
                let whole = BLOCK.min((len as usize).saturating_sub(block as usize * BLOCK));
                let part = bytes.filter(|bytes| bytes.len() == whole).and_then(|bytes| bytes.get(offset % BLOCK..));
                let Some(part) = part.filter(|part| !part.is_empty()) else { return Ok(false) };
                let taken = part.len().min(rest.len());
                let (here, after) = rest.split_at_mut(taken);
                here.copy_from_slice(&part[..taken]);
                (offset, rest) = (offset + taken, after);
            }
            Ok(true)
        })
    }

    /// Makes the file smaller.
    pub(super) fn compact(&mut self) -> Result<(), Fault> {
        let Some(database) = &mut self.0 else { return Err(closed()) };
        guarded(|| Ok(database.compact().map(|_| ())?))
    }

    fn database(&self) -> Result<&redb::Database, Fault> {
        self.0.as_ref().ok_or_else(closed)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let database = self.0.take();
        // Closing writes, which may fail or panic. What was committed is on disk in any case.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

fn write_rows(write: &WriteTransaction, batch: &Batch) -> Result<(), Fault> {
    let mut items = write.open_table(ITEMS)?;
    let mut blocks = write.open_table(BLOCKS)?;
    for (cursor, len) in &batch.gone {
        items.remove(cursor)?;
        for block in 0..blocks_for(*len) {
            blocks.remove(block_key(*cursor, block))?;
        }
    }
    for Row { record, value } in &batch.rows {
        items.insert(record.cursor, &item_row(record, batch.clock)[..])?;
        for (block, part) in value.as_deref().unwrap_or_default().chunks(BLOCK).enumerate() {
            let key = block_key(record.cursor, block as u32);
            blocks.insert(key, &block_row(key, part)[..])?;
        }
    }
    Ok(())
}

fn write_meta(write: &WriteTransaction, batch: &Batch) -> Result<(), Fault> {
    let mut meta = write.open_table(META)?;
    let written = batch.clock.written(batch.now);
    meta.insert("store clock", written.store_us)?;
    meta.insert("wall clock", written.wall_us)?;
    meta.insert("items", i64::try_from(batch.items).unwrap_or(i64::MAX))?;
    meta.insert("last cursor", i64::from(batch.last_cursor))?;
    Ok(())
}

/// Returns an opener for a file that exists.
pub(super) fn opener(path: &Path) -> Opener {
    let path = PathBuf::from(path);
    Box::new(move || redb::Builder::new().set_cache_size(CACHE).open(&path))
}

/// Creates a file with an empty store, unless the file exists. Renames it to its name last, so a crash leaves no unfinished one.
pub(super) fn create(path: &Path) -> Result<(), Fault> {
    if fs::exists(path)? {
        return Ok(());
    }
    let mut unfinished = OsString::from(path);
    unfinished.push(".new");
    let _ = fs::remove_file(&unfinished);
    let make = || redb::Builder::new().create(&unfinished);
    let database = Database(Some(make()?));
    guarded(|| database.format())?;
    drop(database);
    fs::rename(&unfinished, path)?;
    // The name is durable once the directory is. Systems that cannot sync a directory do not need it.
    if let Some(directory) = path.parent().and_then(|directory| File::open(directory).ok()) {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// Returns whether less than a third of a large file holds values, which are `bytes` long.
pub(super) fn worth_compacting(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() >= COMPACTING_MIN && file.len() / 3 > bytes)
}

/// Calls the database and returns [`Fault::Damaged`] if it panics: a damaged page can make it, which must not end the node.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let panicked = |_| Err(Fault::Damaged("the database panicked on a corrupt page".into()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

fn closed() -> Fault {
    redb::Error::DatabaseClosed.into()
}
