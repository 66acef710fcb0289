//! What a node says it holds is durable: stores that fail to write, and restarts on disk.

use crate::common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::{lone, node, value};
use kad_tokio::store::{Due, Listed, MemoryStore, NotDurable, Page, Store, Usage, Writing};
use kad_tokio::wire::{Answer, Instant as Time, ItemHeader, Offer, Query, Sink};
use kad_tokio::{Copies, Digest, Error, ItemStatus, Key, Limits, NodeId, StartError};

/// What the test does to a store, and sees of it.
#[derive(Clone, Default)]
struct Disk {
    fails: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
}

/// A store that takes everything, and can only write it down while its disk does not fail.
struct Failing {
    held: MemoryStore,
    disk: Disk,
    unwritten: bool,
    /// Where the disk is waited for; if nowhere, the store waits itself.
    gate: Option<Arc<Gate>>,
}

/// A disk that takes its time: until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Failing {
    fn new(id: NodeId, disk: &Disk) -> Self {
        Self { held: MemoryStore::new(Limits::new(id)), disk: disk.clone(), unwritten: false, gate: None }
    }
}

impl Store for Failing {
    fn offer(&mut self, now: Time, offer: &Offer<'_>) -> Option<Answer> {
        self.unwritten = true;
        self.held.offer(now, offer)
    }
    fn publish(&mut self, now: Time, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.unwritten = true;
        self.held.publish(now, key, header, bytes)
    }
    fn find(&mut self, now: Time, query: &Query, sink: &mut dyn Sink) -> Page {
        self.held.find(now, query, sink)
    }
    fn read(&mut self, now: Time, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        self.held.read(now, key, digest, offset, out)
    }
    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.unwritten = true;
        self.held.forget(key, digest)
    }
    fn expire(&mut self, now: Time) -> usize {
        self.held.expire(now)
    }
    fn poll_due(&mut self, now: Time) -> Option<Due> {
        self.held.poll_due(now)
    }
    fn next_wake(&self) -> Option<Time> {
        self.held.next_wake()
    }
    fn due_near(&mut self, now: Time, until: Time, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.held.due_near(now, until, first, bits, take);
    }
    fn next_item(&self, now: Time, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.held.next_item(now, after)
    }
    fn usage(&self) -> Usage {
        self.held.usage()
    }
    fn commit(&mut self) -> Result<(), NotDurable> {
        if !std::mem::take(&mut self.unwritten) {
            return Ok(());
        }
        self.disk.commits.fetch_add(1, Ordering::Relaxed);
        match self.disk.fails.load(Ordering::Relaxed) {
            true => Err(NotDurable),
            false => Ok(()),
        }
    }
    fn begin_commit(&mut self) -> Result<Option<Writing>, NotDurable> {
        let Some(gate) = self.gate.clone().filter(|_| self.unwritten) else { return self.commit().map(|()| None) };
        let committed = self.commit();
        Ok(Some(Box::new(move || {
            gate.pass();
            committed
        })))
    }
}

const ID: NodeId = NodeId::from_bytes([5; 32]);

#[tokio::test]
async fn nobody_hears_that_a_value_is_stored_that_could_not_be_written() {
    let first = node(&[]).start().unwrap();
    let disk = Disk::default();
    let holder = node(&[&first]).id(ID).store(Failing::new(ID, &disk)).start().unwrap();
    holder.joined().await.unwrap();
    disk.fails.store(true, Ordering::Relaxed);
    // Small ones travel inside, large ones are pulled: both end in an answer that must not come.
    for len in [10, 5000] {
        let store = first.store(Key::hash_int(len), value(1, len as usize));
        let receipt = store.copies(Copies::All).timeout(Duration::from_secs(3)).await.unwrap();
        assert_eq!((receipt.elsewhere, receipt.is_local_only()), (0, true), "{receipt:?}");
    }
    let withheld = holder.stats().await.unwrap().socket.withheld;
    assert!(withheld >= 2, "{withheld} answers were withheld");
    disk.fails.store(false, Ordering::Relaxed);
    for len in [11, 5001] {
        let receipt = first.store(Key::hash_int(len), value(1, len as usize)).copies(Copies::All).await.unwrap();
        assert_eq!(receipt.elsewhere, 1, "{receipt:?}");
    }
    assert_eq!(holder.stats().await.unwrap().socket.withheld, withheld);
}

#[tokio::test]
async fn an_owner_hears_of_what_is_durable_and_many_values_wait_once() {
    let disk = Disk::default();
    let dht = lone().id(ID).store(Failing::new(ID, &disk)).start().unwrap();
    let items = (0..500).map(|number| (Key::hash_int(number), "value"));
    assert_eq!(dht.store_many(items).await.unwrap().len(), 500);
    assert_eq!(disk.commits.load(Ordering::Relaxed), 1);
    disk.fails.store(true, Ordering::Relaxed);
    let refused = dht.store(Key::hash("k"), "v").await;
    assert_eq!(refused, Err(Error::Refused(ItemStatus::Full)));
    assert_eq!(dht.forget(Key::hash_int(1)).await, Err(Error::NotDurable));
    disk.fails.store(false, Ordering::Relaxed);
    assert_eq!(dht.store(Key::hash("k"), "v").await.unwrap().copies, 1);
}

#[tokio::test]
async fn nobody_waits_for_the_disk_but_those_whose_values_are_written() {
    let first = node(&[]).start().unwrap();
    let (disk, gate) = (Disk::default(), Arc::new(Gate::default()));
    let store = Failing { gate: Some(gate.clone()), ..Failing::new(ID, &disk) };
    let holder = node(&[&first]).id(ID).store(store).start().unwrap();
    holder.joined().await.unwrap();
    let slow = tokio::spawn(first.store(Key::hash("slow"), value(1, 5000)).copies(Copies::All).into_future());
    while gate.waiting.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    // The disk is waited for now, and will be for as long as it takes.
    for _ in 0..10 {
        first.ping(holder.local_addr()).await.unwrap();
        let other = holder.find(Key::hash("slow")).await.unwrap().unwrap();
        assert_eq!(other.bytes, value(1, 5000), "what is not durable yet is served");
    }
    assert!(!slow.is_finished(), "nobody was told that it is stored");
    // What comes meanwhile is for the next commit: several values, one wait.
    let more: Vec<_> = (0..20)
        .map(|number| tokio::spawn(first.store(Key::hash_int(number), "v").copies(Copies::All).into_future()))
        .collect();
    while holder.stats().await.unwrap().items < 21 {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(slow.await.unwrap().unwrap().elsewhere, 1);
    for store in more {
        assert_eq!(store.await.unwrap().unwrap().elsewhere, 1);
    }
    assert!(gate.waiting.load(Ordering::Relaxed) <= 3, "{} waits", gate.waiting.load(Ordering::Relaxed));
}

#[tokio::test]
async fn whoever_is_told_that_a_node_is_closed_can_open_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values");
    for number in 0..100 {
        let dht = lone().disk(&file).start().unwrap();
        dht.store(Key::hash_int(number), "value").await.unwrap();
        assert_eq!(dht.forget(Key::hash_int(number)).await, Ok(1));
        dht.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_on_disk_has_its_values_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values");
    let first = node(&[]).start().unwrap();
    let dht = node(&[&first]).id(ID).disk(&file).start().unwrap();
    dht.joined().await.unwrap();
    let theirs = first.store(Key::hash("theirs"), value(1, 20_000)).copies(Copies::All).await.unwrap();
    assert_eq!(theirs.elsewhere, 1);
    dht.store(Key::hash("own"), "own").ttl(Duration::from_secs(600)).await.unwrap();
    dht.close().await.unwrap();
    first.close().await.unwrap();
    let dht = lone().id(ID).disk(&file).start().unwrap();
    assert_eq!(dht.find(Key::hash("theirs")).await.unwrap().unwrap().bytes, value(1, 20_000));
    let own = dht.find(Key::hash("own")).await.unwrap().unwrap();
    assert!(own.bytes == "own" && own.ttl <= Duration::from_secs(600) && own.ttl > Duration::from_secs(500));
    assert_eq!(dht.forget(Key::hash("own")).await, Ok(1));
    let taken = lone().disk(&file).start().err();
    assert!(matches!(taken, Some(StartError::Disk(_))), "{taken:?}");
    dht.close().await.unwrap();
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    let damaged = lone().disk(&file).start().expect_err("it is no store");
    assert!(damaged.to_string().contains("not a store of kad"), "{damaged}");
    let both = lone().disk(&file).store(MemoryStore::new(Limits::new(ID))).start().err();
    assert!(matches!(both, Some(StartError::Setting(_))));
}
