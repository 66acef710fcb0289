//! Tests whether the data directory is writable, its speed, and its free space.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::facts::Disk;

/// The number of attempts: the first may be slow.
const ATTEMPTS: usize = 9;
/// The bytes of each write: a page of the store.
const PAGE: usize = 4096;

/// Tests the directory, or its nearest existing parent. Leaves nothing behind.
pub(super) fn read(data_dir: &Path) -> Disk {
    let existing = data_dir.ancestors().find(|path| path.is_dir() || path.as_os_str().is_empty());
    let path = match existing {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => Path::new("."),
    };
    let sync = match data_dir.exists() && !data_dir.is_dir() {
        true => Err(format!("{} is not a directory", data_dir.display())),
        false => sync(path).map_err(|error| error.to_string()),
    };
    Disk { path: path.into(), sync, free: free(path) }
}

fn sync(path: &Path) -> io::Result<Duration> {
    let mut file = tempfile::tempfile_in(path)?;
    let mut times = Vec::new();
    for _ in 0..ATTEMPTS {
        let start = Instant::now();
        file.write_all(&[0; PAGE])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[ATTEMPTS / 2])
}

#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}
