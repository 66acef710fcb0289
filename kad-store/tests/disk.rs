//! The disk store passes the conformance suite, and holds after a restart what it has committed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kad_store::{DiskError, DiskHealth, DiskStore, Limits, Moment, Store, conformance};
use kad_wire::{DeleteLock, Endpoint, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId, Offer, Query, StoreMode};

const START_SECS: i64 = 1_800_000_000;
const HOUR_MS: u32 = 3_600_000;

fn limits() -> Limits {
    Limits { items: 64, bytes: 64 << 10, ..Limits::new(NodeId::from_bytes([0; 32])) }
}

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(ms)
}

/// Opens a store `wall_ms` after the start by the wall clock. The caller's clock begins at a second.
fn open(path: &Path, wall_ms: i64) -> DiskStore {
    open_with(path, limits(), wall_ms).expect("opens")
}

fn open_with(path: &Path, limits: Limits, wall_ms: i64) -> Result<DiskStore, DiskError> {
    let wall = Duration::from_millis(u64::try_from(START_SECS * 1000 + wall_ms).expect("after 1970"));
    DiskStore::open(path, limits, Moment { at: at(1000), wall })
}

fn value(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}

fn publish(store: &mut dyn Store, now: Instant, name: &str, ttl_ms: u32, value: &[u8]) -> (ItemStatus, ItemHeader) {
    let key = Key::hash(name);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value);
    (store.publish(now, &key, &header, value).status, header)
}

fn offer(store: &mut dyn Store, now: Instant, mode: StoreMode, name: &str, ttl_ms: u32, value: &[u8]) -> ItemStatus {
    let key = Key::hash(name);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value);
    let source = Endpoint::from((std::net::Ipv4Addr::new(10, 1, 2, 3), 9000));
    let offer = Offer { key, header, bytes: Some(value), mode, source, received: now };
    store.offer(now, &offer).expect("an answer").status
}

fn find(store: &mut dyn Store, now: Instant, name: &str) -> Vec<(ItemHeader, Vec<u8>)> {
    let mut sink = conformance::Collect::new(usize::MAX);
    store.find(now, &Query::all(Key::hash(name)), &mut sink);
    sink.found
}

#[test]
fn the_disk_store_conforms() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut number = 0;
    conformance::run(|limits| {
        number += 1;
        open_with(&directory.path().join(number.to_string()), limits, 0).expect("opens")
    });
}

#[test]
fn values_of_every_size_and_several_under_a_key_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let mut store = open_with(&path, Limits { bytes: 1 << 20, ..limits() }, 0).unwrap();
    let sizes = [0, 1, 4063, 4064, 4065, 8128, 32_768, 100_000];
    for len in sizes {
        assert_eq!(publish(&mut store, at(1000), &len.to_string(), HOUR_MS, &value(len, 1)).0, ItemStatus::Stored);
    }
    for seed in 0..5 {
        offer(&mut store, at(2000 + u64::from(seed)), StoreMode::Publish, "several", HOUR_MS, &value(300, seed));
    }
    store.commit().unwrap();
    assert_eq!(publish(&mut store, at(3000), "not committed", HOUR_MS, b"x").0, ItemStatus::Stored);
    // As if the process were killed: dropping would write.
    std::mem::forget(store);
    fs::copy(&path, directory.path().join("copy")).unwrap();
    let mut store = open_with(&directory.path().join("copy"), Limits { bytes: 1 << 20, ..limits() }, 2000).unwrap();
    for len in sizes {
        assert_eq!(find(&mut store, at(1000), &len.to_string())[0].1, value(len, 1), "{len} bytes");
    }
    let found: Vec<_> = find(&mut store, at(1000), "several").into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(found, [4, 3, 2, 1, 0].map(|seed| value(300, seed)), "newest first");
    assert!(find(&mut store, at(1000), "not committed").is_empty());
    assert_eq!(store.health(), DiskHealth::default());
}

#[test]
fn lifetimes_and_ages_go_on_by_the_wall_clock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let mut store = open(&path, 0);
    publish(&mut store, at(1000), "short", 10_000, b"short");
    publish(&mut store, at(1000), "long", HOUR_MS, b"long");
    store.commit().unwrap();
    drop(store);
    let mut store = open(&path, 4_000);
    let header = find(&mut store, at(1000), "short")[0].0;
    assert_eq!((header.ttl_ms, header.age_ms), (6_000, 4_000));
    // An extended lifetime and a reset age are on disk.
    assert_eq!(offer(&mut store, at(1000), StoreMode::Publish, "short", 60_000, b"short"), ItemStatus::Already);
    store.commit().unwrap();
    drop(store);
    let mut store = open(&path, 20_000);
    let header = find(&mut store, at(1000), "short")[0].0;
    assert_eq!((header.ttl_ms, header.age_ms), (44_000, 16_000));
    drop(store);
    let mut store = open(&path, 70_000);
    assert!(find(&mut store, at(1000), "short").is_empty(), "its life ended while nobody looked");
    assert_eq!(find(&mut store, at(1000), "long")[0].0.ttl_ms, HOUR_MS - 70_000);
}

#[test]
fn a_wall_clock_that_goes_back_or_is_not_set_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let mut store = open(&path, 0);
    publish(&mut store, at(1000), "value", HOUR_MS, b"value");
    store.commit().unwrap();
    drop(store);
    let hours = 3_600_000;
    for wall_ms in [-5 * hours, -START_SECS * 1000 + 9] {
        let mut store = open(&path, wall_ms);
        assert_eq!(find(&mut store, at(1000), "value")[0].0.ttl_ms, HOUR_MS, "no time has passed");
        let later = at(1000 + 60_000);
        assert_eq!(find(&mut store, later, "value")[0].0.ttl_ms, HOUR_MS - 60_000, "and then it passes");
    }
    assert!(find(&mut open(&path, 2 * hours), at(1000), "value").is_empty(), "ahead it counts");
}

#[test]
fn own_items_and_cached_copies_are_still_so_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let mut store = open(&path, 0);
    for name in ["own", "forgotten"] {
        publish(&mut store, at(1000), name, HOUR_MS, name.as_bytes());
    }
    offer(&mut store, at(1000), StoreMode::Publish, "theirs", HOUR_MS, b"theirs");
    for name in ["copy", "promoted"] {
        offer(&mut store, at(1000), StoreMode::Cache, name, HOUR_MS, name.as_bytes());
    }
    store.commit().unwrap();
    assert_eq!(store.forget(&Key::hash("forgotten"), None), 1);
    offer(&mut store, at(1000), StoreMode::Replicate, "promoted", HOUR_MS, b"promoted");
    store.commit().unwrap();
    drop(store);
    let mut store = open(&path, 1000);
    let mut own = Vec::new();
    let mut place = None;
    while let Some(item) = store.next_item(at(1000), place.as_ref()) {
        place = Some(item.place());
        own.extend(item.own.then_some(item.key));
    }
    assert_eq!(own, [Key::hash("own")]);
    let flags = |store: &mut DiskStore, name| find(store, at(1000), name)[0].0.flags & 1;
    assert_eq!((flags(&mut store, "copy"), flags(&mut store, "promoted")), (1, 0));
    assert_eq!(store.forget(&Key::hash("own"), None), 1);
    // Overdue items are due within an interval and a quarter.
    let due = store.next_wake().expect("something");
    assert!(due > at(1000) && due <= at(1000 + 75 * 60_000), "{due:?}");
}

#[test]
fn the_file_is_bounded_and_compacted_and_lower_limits_evict() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let limits = Limits { items: 1000, bytes: 4 << 20, ..limits() };
    let mut store = open_with(&path, limits.clone(), 0).unwrap();
    let mut sizes = Vec::new();
    for round in 0..40u32 {
        for number in 0..20 {
            let name = format!("{round} {number}");
            offer(&mut store, at(u64::from(round)), StoreMode::Publish, &name, HOUR_MS, &value(16_384, number));
        }
        store.commit().unwrap();
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    assert!(store.usage().bytes <= 4 << 20 && store.usage().items > 200);
    assert!(*sizes.last().unwrap() <= 3 * (4 << 20), "{sizes:?}");
    drop(store);
    let store = open_with(&path, Limits { items: 10, ..limits }, 0).unwrap();
    assert_eq!(store.usage().items, 10);
}

#[test]
fn another_file_is_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    fs::write(&path, b"the only copy of a novel").unwrap();
    let refused = open_with(&path, limits(), 0).err().expect("it is no store");
    assert!(matches!(refused, DiskError::OtherFormat { found: None, .. } | DiskError::Damaged { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"the only copy of a novel");
    let missing = open_with(&directory.path().join("no/such/directory"), limits(), 0).err();
    assert!(matches!(missing, Some(DiskError::Io { .. })), "{missing:?}");
    let path = directory.path().join("other");
    let store = open(&path, 0);
    let twice = open_with(&path, limits(), 0).err();
    assert!(matches!(twice, Some(DiskError::InUse { .. })), "{twice:?}");
    drop(store);
}

#[test]
fn a_damaged_file_is_refused_or_read_correctly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values");
    let mut store = open(&path, 0);
    for number in 0..30 {
        publish(&mut store, at(1000), &number.to_string(), HOUR_MS, &value(1500, number));
    }
    store.commit().unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for step in 0..60usize {
        let mut torn = whole.clone();
        let from = whole.len() / 60 * step;
        match step % 3 {
            0 => torn.truncate(from),
            1 => torn[from..(from + 512).min(whole.len())].fill(0),
            _ => torn[from..(from + 512).min(whole.len())].fill(0xa5),
        }
        fs::write(&path, &torn).unwrap();
        match open_with(&path, limits(), 0) {
            Err(_) => {
                refused += 1;
            }
            Ok(store) if torn.is_empty() => assert_eq!(store.usage().items, 0),
            Ok(mut store) => {
                for number in 0..30 {
                    assert_eq!(
                        find(&mut store, at(1000), &number.to_string())[0].1,
                        value(1500, number),
                        "step {step}"
                    );
                }
            }
        }
    }
    assert!(refused >= 10, "{refused} files were refused");
}
