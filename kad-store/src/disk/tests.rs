//! The disk store on a disk that fails.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use kad_wire::{DeleteLock, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId};
use redb::StorageBackend;

use super::database::{Database, Opener};
use super::{DiskStore, Moment};
use crate::{Limits, NotDurable, Store};

/// A disk in memory with a capacity, which can be made to fail at one call or at all.
#[derive(Debug)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    capacity: AtomicU64,
    /// Number of calls before one fails; negative: none fails.
    calls: AtomicI64,
    off: AtomicI64,
}

#[derive(Debug)]
struct Handle(Arc<Disk>);

impl Disk {
    fn check(&self) -> io::Result<()> {
        let left = self.calls.load(Ordering::Relaxed);
        if left >= 0 {
            self.calls.store(left - 1, Ordering::Relaxed);
        }
        match left == 0 || self.off.load(Ordering::Relaxed) != 0 {
            true => Err(io::Error::other("the disk fails")),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.check()?;
        let bytes = self.0.bytes.lock().unwrap();
        let part = bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check()?;
        if len > self.0.capacity.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.check()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.check()?;
        let mut bytes = self.0.bytes.lock().unwrap();
        bytes[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn disk() -> Arc<Disk> {
    Arc::new(Disk {
        bytes: Mutex::default(),
        capacity: AtomicU64::new(u64::MAX),
        calls: AtomicI64::new(-1),
        off: AtomicI64::new(0),
    })
}

/// Returns the disk as a crash now would leave it.
fn copy_of(disk: &Disk) -> Arc<Disk> {
    let bytes = disk.bytes.lock().unwrap().clone();
    let copy = self::disk();
    *copy.bytes.lock().unwrap() = bytes;
    copy
}

fn open(disk: &Arc<Disk>, now: Instant) -> DiskStore {
    let limits = Limits::new(NodeId::from_bytes([0; 32]));
    let disk = disk.clone();
    let opener: Opener =
        std::boxed::Box::new(move || redb::Builder::new().set_cache_size(0).create_with_backend(Handle(disk.clone())));
    if disk_is_new(&opener) {
        Database::open(&opener).unwrap().format().unwrap();
    }
    let moment = Moment { at: now, wall: core::time::Duration::from_secs(2_000_000_000) };
    DiskStore::open_with(opener, "in memory".as_ref(), limits, moment).unwrap()
}

fn disk_is_new(opener: &Opener) -> bool {
    Database::open(opener).unwrap().load(|_| super::clock::Clock::new(Moment::system(Instant::ZERO), None)).is_err()
}

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(1_000 + ms)
}

fn value(number: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32 * 31 + number * 7) as u8).collect()
}

fn publish(store: &mut DiskStore, now: Instant, number: u32, len: usize) -> ItemStatus {
    let (key, value) = (Key::hash_int(u64::from(number)), value(number, len));
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
    store.publish(now, &key, &header, &value).status
}

fn reads(store: &mut DiskStore, now: Instant, number: u32, len: usize) -> bool {
    let (key, value) = (Key::hash_int(u64::from(number)), value(number, len));
    let digest = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 0, &value).digest;
    let mut out = vec![0; len];
    store.read(now, &key, &digest, 0, &mut out) == len && out == value
}

#[test]
fn a_store_on_a_full_disk_serves_and_stores_again_when_there_is_space() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    assert_eq!(publish(&mut store, at(0), 0, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
    disk.capacity.store(disk.bytes.lock().unwrap().len() as u64, Ordering::Relaxed);
    let (mut kept, mut failed) = (1, None);
    for number in 1..2000 {
        assert_eq!(publish(&mut store, at(1), number, 9000), ItemStatus::Stored);
        if store.commit() == Err(NotDurable) {
            failed = Some(number);
            break;
        }
        kept = number + 1;
    }
    let failed = failed.expect("the disk gets full");
    assert!(!reads(&mut store, at(1), failed, 9000), "an item that could not be written is not held");
    assert_eq!((store.usage().items, store.usage().failed), (kept as usize, 1));
    assert_eq!(publish(&mut store, at(500), failed, 9000), ItemStatus::Full, "the store is in backoff");
    assert_eq!(store.health().refused, 1);
    for number in 0..kept {
        assert!(reads(&mut store, at(500), number, 9000), "{number} is served");
    }
    // The next attempt fails: a longer delay.
    assert_eq!(publish(&mut store, at(1_100), failed, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Err(NotDurable));
    assert_eq!(publish(&mut store, at(2_900), failed, 9000), ItemStatus::Full);
    disk.capacity.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(publish(&mut store, at(3_200), failed, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
    drop(store);
    let mut store = open(&disk, at(3_200));
    assert!(
        (0..=failed).all(|number| reads(&mut store, at(3_200), number, 9000)),
        "all items are there after a restart"
    );
}

#[test]
fn a_disk_that_disappears_is_reopened_when_it_returns() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    store.commit().unwrap();
    disk.off.store(1, Ordering::Relaxed);
    publish(&mut store, at(0), 2, 5000);
    assert_eq!(store.commit(), Err(NotDurable));
    assert!(!reads(&mut store, at(0), 1, 5000));
    assert_eq!(publish(&mut store, at(2_000), 1, 5000), ItemStatus::Full);
    assert!(store.next_wake().is_some_and(|wake| wake <= at(5_000)), "next_wake names the next attempt");
    disk.off.store(0, Ordering::Relaxed);
    store.expire(at(10_000));
    assert!(reads(&mut store, at(10_000), 1, 5000) && !reads(&mut store, at(10_000), 2, 5000));
    assert_eq!(publish(&mut store, at(20_000), 2, 5000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
}

/// Fails at each call of a scenario in turn. Acknowledged items are there after a restart.
#[test]
fn one_failure_at_any_call_loses_nothing_that_was_acknowledged() {
    let mut failures = 0;
    for failing in 0.. {
        let disk = disk();
        let mut store = open(&disk, at(0));
        disk.calls.store(failing, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for number in 0..6 {
            let now = at(u64::from(number) * 2_000);
            let len = 3000 * number as usize + 1;
            let stored = publish(&mut store, now, number, len) == ItemStatus::Stored;
            // A failed read rolls the store back; the commit must then fail.
            for (number, len) in &acknowledged {
                reads(&mut store, now, *number, *len);
            }
            if store.commit().is_ok() && stored {
                acknowledged.push((number, len));
            }
            for (number, len) in &acknowledged {
                let mut served = || reads(&mut store, now, *number, *len);
                // The first read may be the call that fails.
                assert!(served() || served(), "{number} with a failure at {failing}");
            }
        }
        failures += u32::from(store.usage().failed > 0);
        let over = disk.calls.load(Ordering::Relaxed) >= 0;
        drop(store);
        disk.calls.store(-1, Ordering::Relaxed);
        let mut store = open(&disk, at(0));
        for (number, len) in acknowledged {
            assert!(reads(&mut store, at(0), number, len), "{number} after a failure at {failing}");
        }
        if over {
            break;
        }
    }
    assert!(failures > 20, "{failures} failures were counted");
}

/// Flips bits of the file while the store is closed. The store refuses the file, or serves the right bytes.
#[test]
fn a_flipped_bit_is_never_served() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    for number in 0..20 {
        publish(&mut store, at(0), number, 700 * number as usize);
    }
    store.commit().unwrap();
    drop(store);
    let whole = disk.bytes.lock().unwrap().clone();
    let (mut refused, mut right) = (0, 0);
    for step in 0..300usize {
        let at_byte = step * 7919 * 13 % whole.len();
        disk.bytes.lock().unwrap().clone_from(&whole);
        disk.bytes.lock().unwrap()[at_byte] ^= 1 << (step % 8);
        let copy = disk.clone();
        let opener: Opener =
            std::boxed::Box::new(move || redb::Builder::new().create_with_backend(Handle(copy.clone())));
        let limits = Limits::new(NodeId::from_bytes([0; 32]));
        let moment = Moment { at: at(0), wall: core::time::Duration::from_secs(2_000_000_000) };
        match DiskStore::open_with(opener, "in memory".as_ref(), limits, moment) {
            Err(_) => refused += 1,
            Ok(mut store) => {
                assert!((0..20).all(|number| reads(&mut store, at(0), number, 700 * number as usize)), "at {at_byte}");
                right += 1;
            }
        }
    }
    assert!(right > 0 && refused + right == 300);
}

#[test]
fn changes_during_a_commit_are_in_the_next() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    let write = store.begin_commit().unwrap().expect("there are changes to write");
    publish(&mut store, at(0), 2, 5000);
    assert!(
        reads(&mut store, at(0), 1, 5000) && reads(&mut store, at(0), 2, 5000),
        "both are served during the commit"
    );
    let written = write();
    assert_eq!(store.end_commit(written), Ok(()));
    let mut crashed = open(&copy_of(&disk), at(0));
    assert!(reads(&mut crashed, at(0), 1, 5000) && !reads(&mut crashed, at(0), 2, 5000));
    assert_eq!(store.commit(), Ok(()));
    assert!(reads(&mut open(&copy_of(&disk), at(0)), at(0), 2, 5000));
}

#[test]
fn an_item_that_expires_during_its_commit_is_deleted_afterwards() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    let write = store.begin_commit().unwrap().unwrap();
    assert_eq!(store.expire(at(4_000_000)), 1);
    let written = write();
    assert_eq!(store.end_commit(written), Ok(()));
    // No answer depends on the deletion, so it is written with the next commit.
    publish(&mut store, at(4_000_000), 2, 10);
    assert_eq!(store.commit(), Ok(()));
    assert_eq!(open(&copy_of(&disk), at(0)).usage().items, 1);
}

#[test]
fn a_failed_commit_rolls_back_later_changes_too() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    store.commit().unwrap();
    publish(&mut store, at(0), 2, 5000);
    let write = store.begin_commit().unwrap().unwrap();
    publish(&mut store, at(0), 3, 5000);
    disk.off.store(1, Ordering::Relaxed);
    let written = write();
    assert_eq!(written, Err(NotDurable));
    disk.off.store(0, Ordering::Relaxed);
    assert_eq!(store.end_commit(written), Err(NotDurable));
    assert!(
        reads(&mut store, at(0), 1, 5000) && !reads(&mut store, at(0), 2, 5000) && !reads(&mut store, at(0), 3, 5000)
    );
    assert_eq!(store.commit(), Err(NotDurable), "the answer that 3 is stored must not be passed on");
    assert_eq!(publish(&mut store, at(2_000), 3, 5000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
}

#[test]
fn a_read_that_fails_during_a_commit_loses_no_acknowledged_item() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    store.commit().unwrap();
    publish(&mut store, at(0), 2, 5000);
    let write = store.begin_commit().unwrap().unwrap();
    publish(&mut store, at(0), 3, 5000);
    disk.off.store(1, Ordering::Relaxed);
    assert!(!reads(&mut store, at(0), 1, 5000), "the disk is gone");
    disk.off.store(0, Ordering::Relaxed);
    let written = write();
    let ended = store.end_commit(written);
    let rest = store.commit();
    store.expire(at(10_000));
    assert!(reads(&mut store, at(10_000), 1, 5000));
    assert!(ended.is_err() || reads(&mut store, at(10_000), 2, 5000), "{ended:?}");
    assert!(rest.is_err() || reads(&mut store, at(10_000), 3, 5000), "{rest:?}");
}
