//! The store on disk, called as a node calls it.

use std::path::Path;
use std::time::{Duration, Instant as Clock};

use kad_tokio::{DiskStore, ItemStatus, ItemType, Key, Limits, Moment, NodeId, Store};
use kad_wire::{DeleteLock, Instant, ItemHeader};
use serde::{Deserialize, Serialize};

use super::fresh;
use crate::failure::Failure;
use crate::figures::Times;
use crate::progress::Progress;

/// Puts that are waited for together.
const SIZES: [u64; 3] = [1, 64, 512];
/// Bytes of values.
const LENGTHS: [usize; 2] = [100, 16_384];
/// Most values of one figure.
const MOST: u64 = 8_000;
/// Reads of one figure, and the most bytes of each: a row of the database.
const READS: u64 = 20_000;
const READ_MAX: usize = 4064;
/// Items and their bytes: many small ones, the default bounds full, and a gigabyte.
const OPENED: [(u64, usize); 3] = [(100_000, 100), (65_536, 4_000), (65_536, 16_384)];
/// A day in milliseconds.
const TTL_MS: u32 = 86_400_000;

/// Puts with a commit for every so many.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Group {
    pub(crate) bytes: usize,
    pub(crate) size: u64,
    pub(crate) puts_per_second: f64,
    /// Of a whole group with its commit.
    pub(crate) times: Times,
    /// Microseconds.
    pub(crate) read_us: f64,
    /// Bytes of the file for each of the values'.
    pub(crate) bytes_on_disk: f64,
}

/// What opening takes.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Opening {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
    pub(crate) closed_ms: f64,
    pub(crate) crashed_ms: f64,
}

pub(super) fn groups(directory: &Path, span: Duration, progress: &Progress) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    for bytes in LENGTHS {
        for size in SIZES {
            progress.say(&format!("disk: the store alone, {size} values of {bytes} B a commit"));
            let file = fresh(directory, "values")?;
            let mut store = open(&file)?;
            let begun = Clock::now();
            let (count, times) = put(&mut store, bytes, size, MOST, Some(span))?;
            let puts_per_second = count as f64 / begun.elapsed().as_secs_f64();
            let read_us = read(&mut store, bytes, count)?;
            let on_disk = std::fs::metadata(&file).map_err(|source| Failure::File { file, source })?.len();
            let bytes_on_disk = on_disk as f64 / (count * bytes as u64) as f64;
            groups.push(Group { bytes, size, puts_per_second, times: Times::of(&times), read_us, bytes_on_disk });
        }
    }
    Ok(groups)
}

pub(super) fn openings(directory: &Path, progress: &Progress) -> Result<Vec<Opening>, Failure> {
    let mut openings = Vec::new();
    for (items, bytes) in OPENED {
        progress.say(&format!("disk: opening a store of {items} values of {bytes} B"));
        let (file, copy) = (fresh(directory, "values")?, fresh(directory, "copy")?);
        put(&mut open(&file)?, bytes, 2_000, items, None)?;
        let (closed, closed_ms) = opened(&file, items)?;
        // A copy of a file that was not closed is what a crash leaves.
        std::fs::copy(&file, &copy).map_err(|source| Failure::File { file: copy.clone(), source })?;
        drop(closed);
        let (_, crashed_ms) = opened(&copy, items)?;
        openings.push(Opening { items: items as usize, bytes, closed_ms, crashed_ms });
    }
    Ok(openings)
}

pub(super) fn open(file: &Path) -> Result<DiskStore, Failure> {
    let limits = Limits { items: 1_000_000, bytes: 1 << 40, ..Limits::new(NodeId::from_bytes([0; 32])) };
    DiskStore::open(file, limits, Moment::system(Instant::ZERO)).map_err(|error| Failure::Start(error.into()))
}

/// Opens a store that has so many items. Answers with the milliseconds that this took.
fn opened(file: &Path, items: u64) -> Result<(DiskStore, f64), Failure> {
    let begun = Clock::now();
    let store = open(file)?;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    match store.usage().items as u64 {
        found if found == items => Ok((store, ms)),
        found => Err(Failure::Void(format!("{found} of {items} items were there when the store was opened"))),
    }
}

/// Puts values in groups. Answers with how many there are, and with the time of each group.
fn put(
    store: &mut DiskStore,
    bytes: usize,
    size: u64,
    most: u64,
    span: Option<Duration>,
) -> Result<(u64, Vec<Duration>), Failure> {
    let value = vec![7; bytes];
    let (begun, mut times, mut number) = (Clock::now(), Vec::new(), 0);
    while number < most && span.is_none_or(|span| begun.elapsed() < span) {
        let one = Clock::now();
        for _ in 0..size.min(most - number) {
            let key = Key::hash_int(number);
            let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, TTL_MS, &value);
            let answer = store.publish(Instant::ZERO, &key, &header, &value);
            if answer.status != ItemStatus::Stored {
                return Err(Failure::Void(format!("the store says {:?} to a value", answer.status)));
            }
            number += 1;
        }
        store.commit().map_err(|error| Failure::Void(format!("a commit failed: {error:?}")))?;
        times.push(one.elapsed());
    }
    Ok((number, times))
}

/// Reads values all over the file. Answers with the microseconds that one takes.
fn read(store: &mut DiskStore, bytes: usize, count: u64) -> Result<f64, Failure> {
    let (value, mut out) = (vec![7; bytes], vec![0; READ_MAX]);
    let digest = |key: &Key| ItemHeader::publish(key, ItemType::RAW, DeleteLock::NONE, 0, &value).digest;
    let keys = (0..READS).map(|at| Key::hash_int(at * 7919 % count));
    let places: Vec<_> = keys.map(|key| (key, digest(&key))).collect();
    let begun = Clock::now();
    for (key, digest) in &places {
        if store.read(Instant::ZERO, key, digest, 0, &mut out) != bytes.min(READ_MAX) {
            return Err(Failure::Void("a value that was stored is not there".into()));
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / READS as f64)
}
