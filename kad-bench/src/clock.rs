//! What the system counted: processor time of threads and of this process, and memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::failure::Failure;

/// What names the threads of nodes begin with.
const WORKERS: &str = "kad-worker";

/// A thread of this process, by its id.
pub(crate) type ThreadId = i32;

/// The calling thread.
pub(crate) fn this_thread() -> ThreadId {
    nix::unistd::gettid().as_raw()
}

/// Processor time that a thread has used.
///
/// # Errors
/// [`Failure::File`] when it is gone, or when the kernel does not count (`CONFIG_SCHED_INFO`).
pub(crate) fn thread_time(thread: ThreadId) -> Result<Duration, Failure> {
    let file = PathBuf::from(format!("/proc/self/task/{thread}/schedstat"));
    let text = read(&file)?;
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| Failure::Void(format!("{} has no number", file.display())))
}

/// Processor time that several threads have used together.
pub(crate) fn threads_time(threads: &[ThreadId]) -> Result<Duration, Failure> {
    threads.iter().map(|thread| thread_time(*thread)).sum()
}

/// Processor time of this process, all threads.
pub(crate) fn process_time() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Threads of this process that belong to nodes.
pub(crate) fn workers() -> Result<BTreeSet<ThreadId>, Failure> {
    let directory = PathBuf::from("/proc/self/task");
    let entries = fs::read_dir(&directory).map_err(|source| Failure::File { file: directory, source })?;
    let mut found = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        // A thread that has ended meanwhile is no worker.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(WORKERS)
            && let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok())
        {
            found.insert(id);
        }
    }
    Ok(found)
}

/// Bytes of memory that this process has resident, without what is mapped from files.
pub(crate) fn resident() -> Result<u64, Failure> {
    let text = read(&PathBuf::from("/proc/self/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure::Void("/proc/self/status has no RssAnon".into()))
}

/// Datagrams that the system has dropped because a socket's buffer was full, of all processes on this network.
pub(crate) fn dropped() -> Result<u64, Failure> {
    let text = read(&PathBuf::from("/proc/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let place = names.split(' ').position(|name| name == "RcvbufErrors");
    let number = place.and_then(|place| numbers.split(' ').nth(place)?.parse().ok());
    number.ok_or_else(|| Failure::Void("/proc/net/snmp does not count RcvbufErrors".into()))
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|source| Failure::File { file: file.clone(), source })
}
