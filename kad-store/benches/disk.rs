//! Figures of the disk store, for `docs/decisions`: `cargo bench -p kad-store --bench disk`.

use std::time::{Duration, Instant as Clock};

use kad_store::{DiskStore, Limits, Moment, Store};
use kad_wire::{Instant, ItemHeader, ItemStatus, ItemType, Key, Lock, NodeId};

fn open(path: &std::path::Path) -> DiskStore {
    let limits = Limits { items: 1_000_000, bytes: 1 << 40, ..Limits::new(NodeId::from_bytes([0; 32])) };
    DiskStore::open(path, limits, Moment::system(Instant::ZERO)).expect("opens")
}

/// Puts values in groups for some seconds. Answers with how many.
fn put(store: &mut DiskStore, len: usize, group: u64, most: u64) -> u64 {
    let value = vec![7; len];
    let (begun, mut times, mut number) = (Clock::now(), Vec::new(), 0);
    while begun.elapsed() < Duration::from_secs(3) && number < most {
        let one = Clock::now();
        for _ in 0..group.min(most - number) {
            let key = Key::hash_int(number);
            let header = ItemHeader::publish(&key, ItemType::RAW, Lock::NONE, 86_400_000, &value);
            assert_eq!(store.publish(Instant::ZERO, &key, &header, &value).status, ItemStatus::Stored);
            number += 1;
        }
        store.commit().expect("the disk is well");
        times.push(one.elapsed());
    }
    let per_second = number as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let (middle, rare) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "put {len} B, {group} a commit: {per_second:.0} a second, a group takes {middle:?}, 1 % more than {rare:?}"
    );
    number
}

fn read(store: &mut DiskStore, len: usize, count: u64) {
    let (value, mut out) = (vec![7; len], vec![0; 4096]);
    let digest = |key: &Key| ItemHeader::publish(key, ItemType::RAW, Lock::NONE, 0, &value).digest;
    let places: Vec<_> =
        (0..20_000).map(|at| Key::hash_int(at * 7919 % count)).map(|key| (key, digest(&key))).collect();
    let begun = Clock::now();
    for (key, digest) in &places {
        assert_eq!(store.read(Instant::ZERO, key, digest, 0, &mut out), len.min(4096));
    }
    println!("read {} B of {len}: {:?}", len.min(4096), begun.elapsed() / 20_000);
}

fn main() {
    let directory = tempfile::tempdir_in(".").expect("a directory on a disk");
    for len in [100, 16_384] {
        for group in [1, 64, 512] {
            let path = directory.path().join("values");
            let mut store = open(&path);
            let count = put(&mut store, len, group, 8_000);
            read(&mut store, len, count);
            let size = std::fs::metadata(&path).expect("a file").len();
            println!("file: {:.2} bytes a byte", size as f64 / (count * len as u64) as f64);
            drop(store);
            std::fs::remove_file(&path).expect("it was there");
        }
    }
    for (len, count) in [(100, 100_000), (4_000, 65_536)] {
        let path = directory.path().join("values");
        put(&mut open(&path), len, 2_000, count);
        let begun = Clock::now();
        let store = open(&path);
        println!("open {} items of {len} B: {:?}", store.usage().items, begun.elapsed());
        // As after a crash.
        std::mem::forget(store);
        std::fs::copy(&path, directory.path().join("copy")).expect("copies");
        let begun = Clock::now();
        let store = open(&directory.path().join("copy"));
        println!("after a crash: {:?}", begun.elapsed());
        drop(store);
        std::fs::remove_file(&path).expect("it was there");
    }
}
