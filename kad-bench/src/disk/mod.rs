//! Values on disk: the store alone, and a node with it, against the disk's own time to make something durable.

mod node;
mod slow;
mod store;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::figures::Times;
use crate::progress::Progress;
use crate::table::{Table, count, two};
use node::{Pings, Place, Puts, SLOW};
use store::{Group, Opening};

/// Bytes of the file whose blocks are written over.
const FILE: usize = 1 << 20;
/// Bytes of a write.
const BLOCK: usize = 4096;

/// All figures of this suite.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Disk {
    /// What the disk takes to make a block of 4 KiB durable that is written over another one.
    pub(crate) fdatasync: Times,
    pub(crate) puts: Vec<Puts>,
    pub(crate) groups: Vec<Group>,
    pub(crate) openings: Vec<Opening>,
    pub(crate) pings: Vec<Pings>,
}

/// Measures in a new directory in `parent`, each figure for `seconds`.
pub(crate) fn measure(parent: &Path, seconds: f64, progress: &Progress) -> Result<Disk, Failure> {
    let span = Duration::from_secs_f64(seconds);
    let directory = tempfile::tempdir_in(parent).map_err(|source| Failure::File { file: parent.into(), source })?;
    progress.say("disk: fdatasync");
    let before = fdatasync(directory.path(), span / 2)?;
    let puts = node::puts(directory.path(), span, progress)?;
    let after = fdatasync(directory.path(), span / 2)?;
    let groups = store::groups(directory.path(), span, progress)?;
    let openings = store::openings(directory.path(), progress)?;
    let pings = node::pings(directory.path(), span, progress)?;
    let fdatasync = Times::of(&[before, after].concat());
    Ok(Disk { fdatasync, puts, groups, openings, pings })
}

/// Times of single blocks.
fn fdatasync(directory: &Path, span: Duration) -> Result<Vec<Duration>, Failure> {
    let file = directory.join("blocks");
    let failed = |source| Failure::File { file: file.clone(), source };
    let blocks = File::create(&file).map_err(failed)?;
    blocks.write_all_at(&vec![1; FILE], 0).and_then(|()| blocks.sync_all()).map_err(failed)?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < span {
        let (one, place) = (Instant::now(), times.len() * BLOCK % FILE);
        blocks
            .write_all_at(&[times.len() as u8; BLOCK], place as u64)
            .and_then(|()| blocks.sync_data())
            .map_err(failed)?;
        times.push(one.elapsed());
    }
    Ok(times)
}

/// A file's name in the directory, which is not there yet.
fn fresh(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    let file = directory.join(name);
    match std::fs::remove_file(&file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failure::File { file, source }),
        _ => Ok(file),
    }
}

impl Disk {
    pub(crate) fn failed(&self) -> u64 {
        self.puts.iter().map(|puts| puts.driven.failed()).sum()
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        vec![self.table_of_puts(), self.table_of_groups(), self.table_of_openings(), self.table_of_pings()]
    }

    fn table_of_puts(&self) -> Table {
        let head = [
            "values of 100 B",
            "at a time",
            "a second",
            "x 64 at a time",
            "p50 ms",
            "p99 ms",
            "p50 above memory's, in fdatasyncs",
            "CPU us each",
        ];
        let mut table = Table::new("A node that puts values", head);
        let of = |place, concurrency| {
            self.puts.iter().find(|puts| (puts.place, puts.concurrency) == (place, concurrency)).map(|puts| puts.driven)
        };
        for Puts { place, concurrency, driven } in &self.puts {
            let Times { p50_ms, p99_ms } = driven.times;
            let sync_ms = match place {
                Place::SlowDisk => self.fdatasync.p50_ms + SLOW.as_secs_f64() * 1e3,
                _ => self.fdatasync.p50_ms,
            };
            let in_memory = of(Place::Memory, *concurrency).map_or(0.0, |driven| driven.times.p50_ms);
            let at_64 = of(*place, 64).map_or(0.0, |driven| driven.rate.per_second);
            table.row([
                match place {
                    Place::Memory => "in memory",
                    Place::Disk => "on disk",
                    Place::SlowDisk => "on a disk that takes 4 ms",
                }
                .into(),
                concurrency.to_string(),
                count(driven.rate.per_second),
                two(driven.rate.per_second / at_64),
                two(p50_ms),
                two(p99_ms),
                if *place == Place::Memory { String::new() } else { two((p50_ms - in_memory) / sync_ms) },
                count(driven.rate.cpu_us),
            ]);
        }
        let Times { p50_ms, p99_ms } = self.fdatasync;
        table.row([
            "fdatasync of 4 KiB".into(),
            "1".into(),
            count(1e3 / p50_ms),
            String::new(),
            two(p50_ms),
            two(p99_ms),
            String::new(),
            String::new(),
        ]);
        table.with_note(
            "Each put is answered when it is durable; what comes meanwhile shares the next wait for the disk. The slow disk is \
             this one with a pause after each commit.",
        )
    }

    fn table_of_groups(&self) -> Table {
        let head =
            ["value", "a commit", "puts a second", "commit p50 ms", "commit p99 ms", "read us", "bytes on disk a byte"];
        let mut table = Table::new("The store alone", head);
        for group in &self.groups {
            table.row([
                format!("{} B", group.bytes),
                group.size.to_string(),
                count(group.puts_per_second),
                two(group.times.p50_ms),
                two(group.times.p99_ms),
                two(group.read_us),
                two(group.bytes_on_disk),
            ]);
        }
        table.with_note("A read is of 4064 bytes at the most, as a chunk is.")
    }

    fn table_of_openings(&self) -> Table {
        let mut table = Table::new("Opening a store", ["items", "value", "after closing, ms", "after a crash, ms"]);
        for opening in &self.openings {
            table.row([
                opening.items.to_string(),
                format!("{} B", opening.bytes),
                count(opening.closed_ms),
                count(opening.crashed_ms),
            ]);
        }
        table.with_note("Everything is read and checked.")
    }

    fn table_of_pings(&self) -> Table {
        let head = ["stores of 500 B a second meanwhile", "p50 ms", "p99 ms"];
        let mut table = Table::new("A PING to a node that writes to its disk", head);
        for pings in &self.pings {
            table.row([count(pings.stores_per_second), two(pings.times.p50_ms), two(pings.times.p99_ms)]);
        }
        table.with_note("How long others wait while a node waits for its disk.")
    }
}
