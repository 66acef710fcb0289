//! A disk that fails at the worst moments.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use kad_wire::{Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, NodeId};
use redb::StorageBackend;

use super::database::{Database, Opener};
use super::{DiskStore, Moment};
use crate::{Limits, NotDurable, Store};

/// A disk in memory: it has so much room, fails every so many calls, and can be switched off.
#[derive(Debug)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    room: AtomicU64,
    /// Calls until one fails; negative: none does.
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
        if len > self.0.room.load(Ordering::Relaxed) {
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
        room: AtomicU64::new(u64::MAX),
        calls: AtomicI64::new(-1),
        off: AtomicI64::new(0),
    })
}

/// What a crash would leave.
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
    let header = ItemHeader::publish(&key, ItemType::RAW, Lock::NONE, 3_600_000, &value);
    store.publish(now, &key, &header, &value).status
}

fn reads(store: &mut DiskStore, now: Instant, number: u32, len: usize) -> bool {
    let (key, value) = (Key::hash_int(u64::from(number)), value(number, len));
    let digest = ItemHeader::publish(&key, ItemType::RAW, Lock::NONE, 0, &value).digest;
    let mut out = vec![0; len];
    store.read(now, &key, &digest, 0, &mut out) == len && out == value
}

#[test]
fn a_full_disk_refuses_and_serves_and_takes_again_when_there_is_room() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    assert_eq!(publish(&mut store, at(0), 0, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
    disk.room.store(disk.bytes.lock().unwrap().len() as u64, Ordering::Relaxed);
    let (mut kept, mut failed) = (1, None);
    for number in 1..2000 {
        assert_eq!(publish(&mut store, at(1), number, 9000), ItemStatus::Stored);
        if store.commit() == Err(NotDurable) {
            failed = Some(number);
            break;
        }
        kept = number + 1;
    }
    let failed = failed.expect("the disk is full at some point");
    assert!(!reads(&mut store, at(1), failed, 9000), "what could not be written is not held");
    assert_eq!((store.usage().items, store.usage().failed), (kept as usize, 1));
    assert_eq!(publish(&mut store, at(500), failed, 9000), ItemStatus::Full, "it rests");
    assert_eq!(store.health().refused, 1);
    for number in 0..kept {
        assert!(reads(&mut store, at(500), number, 9000), "{number} is served");
    }
    // Tried again, in vain: a longer rest.
    assert_eq!(publish(&mut store, at(1_100), failed, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Err(NotDurable));
    assert_eq!(publish(&mut store, at(2_900), failed, 9000), ItemStatus::Full);
    disk.room.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(publish(&mut store, at(3_200), failed, 9000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
    drop(store);
    let mut store = open(&disk, at(3_200));
    assert!((0..=failed).all(|number| reads(&mut store, at(3_200), number, 9000)), "all of it after a restart");
}

#[test]
fn a_disk_that_goes_away_is_taken_back_when_it_returns() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    store.commit().unwrap();
    disk.off.store(1, Ordering::Relaxed);
    publish(&mut store, at(0), 2, 5000);
    assert_eq!(store.commit(), Err(NotDurable));
    assert!(!reads(&mut store, at(0), 1, 5000));
    assert_eq!(publish(&mut store, at(2_000), 1, 5000), ItemStatus::Full);
    assert!(store.next_wake().is_some_and(|wake| wake <= at(5_000)), "it wants to try again");
    disk.off.store(0, Ordering::Relaxed);
    store.expire(at(10_000));
    assert!(reads(&mut store, at(10_000), 1, 5000) && !reads(&mut store, at(10_000), 2, 5000));
    assert_eq!(publish(&mut store, at(20_000), 2, 5000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
}

/// One failure at each call to the disk that a scenario makes: whatever was acknowledged is there after a restart.
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
            // A read that fails meanwhile must not make a promise be forgotten.
            for (number, len) in &acknowledged {
                reads(&mut store, now, *number, *len);
            }
            if store.commit().is_ok() && stored {
                acknowledged.push((number, len));
            }
            for (number, len) in &acknowledged {
                let mut served = || reads(&mut store, now, *number, *len);
                // The failure itself may be a read.
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
    assert!(failures > 20, "{failures} failures were noticed");
}

/// Bits that flip in the file while the store is closed: it says so, or what it says is right.
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
fn what_is_answered_while_a_commit_is_written_waits_for_the_next() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    let write = store.begin_commit().unwrap().expect("there is something to write");
    publish(&mut store, at(0), 2, 5000);
    assert!(reads(&mut store, at(0), 1, 5000) && reads(&mut store, at(0), 2, 5000), "both are served meanwhile");
    let written = write();
    assert_eq!(store.end_commit(written), Ok(()));
    let mut crashed = open(&copy_of(&disk), at(0));
    assert!(reads(&mut crashed, at(0), 1, 5000) && !reads(&mut crashed, at(0), 2, 5000));
    assert_eq!(store.commit(), Ok(()));
    assert!(reads(&mut open(&copy_of(&disk), at(0)), at(0), 2, 5000));
}

#[test]
fn what_goes_while_it_is_written_is_gone_afterwards() {
    let disk = disk();
    let mut store = open(&disk, at(0));
    publish(&mut store, at(0), 1, 5000);
    let write = store.begin_commit().unwrap().unwrap();
    assert_eq!(store.expire(at(4_000_000)), 1);
    let written = write();
    assert_eq!(store.end_commit(written), Ok(()));
    // Nobody relies on its going, so that is written when something else is.
    publish(&mut store, at(4_000_000), 2, 10);
    assert_eq!(store.commit(), Ok(()));
    assert_eq!(open(&copy_of(&disk), at(0)).usage().items, 1);
}

#[test]
fn a_commit_that_fails_takes_back_what_came_since_too() {
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
    assert_eq!(store.commit(), Err(NotDurable), "whoever was told that 3 is stored must not pass it on");
    assert_eq!(publish(&mut store, at(2_000), 3, 5000), ItemStatus::Stored);
    assert_eq!(store.commit(), Ok(()));
}

#[test]
fn a_read_that_fails_while_a_commit_is_written_breaks_no_promise() {
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
