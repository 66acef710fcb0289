//! Kills a process at random moments: no acknowledged item is lost. `KAD_KILLS` sets the number of rounds.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use kad_store::conformance::Collect;
use kad_store::{DiskStore, Limits, Moment, Store};
use kad_wire::{DeleteLock, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId, Query};

const FILE: &str = "KAD_DISK_KILL_FILE";
const FIRST: &str = "KAD_DISK_KILL_FIRST";

fn open(path: &str) -> DiskStore {
    let limits = Limits { items: 1_000_000, bytes: 1 << 40, ..Limits::new(NodeId::from_bytes([0; 32])) };
    DiskStore::open(path, limits, Moment::system(Instant::ZERO)).expect("opens")
}

/// Three values under each key.
fn key(number: u64) -> Key {
    Key::hash_int(number / 3)
}

fn value(number: u64) -> Vec<u8> {
    let len = number as usize * 7919 % 9000;
    (0..len + 8).map(|at| (at as u64 * 31 + number) as u8 ^ (number >> 8) as u8).collect()
}

/// Not a test, but the process to kill. Stores values in groups and prints the number of the last that was acknowledged.
#[test]
fn child() {
    let (Ok(path), Ok(first)) = (std::env::var(FILE), std::env::var(FIRST)) else { return };
    let (mut store, mut number) = (open(&path), first.parse::<u64>().expect("a number"));
    loop {
        for _ in 0..1 + number % 17 {
            let (key, value) = (key(number), value(number));
            let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 86_400_000, &value);
            let status = store.publish(Instant::ZERO, &key, &header, &value).status;
            assert!(status.is_held(), "{status:?}");
            assert!(number != first.parse().unwrap() || status != ItemStatus::Full);
            number += 1;
        }
        store.commit().expect("the disk is well");
        println!("acknowledged {number}");
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_process_is_killed() {
    let rounds = std::env::var("KAD_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(50u64);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("values").to_str().expect("a name").to_owned();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "disk_kill::child", "--nocapture"])
            .env(FILE, &path)
            .env(FIRST, acknowledged.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || {
            let numbers = output.lines().map_while(Result::ok);
            numbers.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok()).last()
        });
        // Sometimes before the file exists.
        std::thread::sleep(Duration::from_millis(round * 7919 % 120));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        acknowledged = reader.join().expect("reads").unwrap_or(acknowledged);
    }
    assert!(acknowledged > rounds, "something was written: {acknowledged}");
    let mut store = open(&path);
    for number in 0..acknowledged {
        let mut sink = Collect::new(usize::MAX);
        store.find(Instant::ZERO, &Query::all(key(number)), &mut sink);
        assert!(sink.found.iter().any(|(_, bytes)| *bytes == value(number)), "{number} of {acknowledged} is lost");
    }
    println!("{acknowledged} values, {rounds} kills");
}
