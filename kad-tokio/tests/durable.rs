//! What a node says it holds is durable: stores that fail to write, and restarts on disk.

use crate::common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{lone, node, value};
use kad_tokio::store::{Due, Listed, MemoryStore, NotDurable, Page, Store, Usage, Writing};
use kad_tokio::wire::{Answer, Instant as Time, ItemHeader, Offer, Query, Sink};
use kad_tokio::{CloseReason, Copies, Dht, Digest, Error, ItemStatus, Key, Limits, NodeId, StartError};

/// What the test does to a store, and sees of it.
#[derive(Clone, Default)]
struct Disk {
    fails: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    panics: Arc<Mutex<Option<Place>>>,
    /// The only thread that panics, if it is not to be any.
    victim: Arc<Mutex<Option<String>>>,
    /// The system's directories of the threads that have called the store.
    threads: Arc<Mutex<HashSet<PathBuf>>>,
}

/// Where a store panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Find,
    Offer,
    Publish,
    Forget,
    Begin,
    /// On the thread that waits for the disk.
    Write,
    End,
}

impl Disk {
    fn passes(&self, place: Place) {
        if let Ok(thread) = std::fs::read_link("/proc/thread-self") {
            self.threads.lock().unwrap().insert(Path::new("/proc").join(thread));
        }
        // Not while a lock is held: another worker is to see what the node makes of it, not this.
        let panics = *self.panics.lock().unwrap() == Some(place);
        let victim = self.victim.lock().unwrap().clone();
        let is_victim = victim.is_none_or(|name| std::thread::current().name() == Some(&name));
        assert!(!(panics && is_victim), "a panic on demand");
    }

    /// Waits until no thread is left that has called the store, and sees to it that the store is gone.
    async fn is_left(&self) {
        let left = || self.threads.lock().unwrap().iter().filter(|thread| thread.exists()).count();
        let deadline = Instant::now() + Duration::from_secs(10);
        // The system lists a thread for a moment after others know that it has ended.
        while left() > 0 {
            assert!(Instant::now() < deadline, "{} threads are left", left());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(Arc::strong_count(&self.commits), 1, "the store is gone");
    }
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
        self.disk.passes(Place::Offer);
        self.unwritten = true;
        self.held.offer(now, offer)
    }
    fn publish(&mut self, now: Time, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.disk.passes(Place::Publish);
        self.unwritten = true;
        self.held.publish(now, key, header, bytes)
    }
    fn find(&mut self, now: Time, query: &Query, sink: &mut dyn Sink) -> Page {
        self.disk.passes(Place::Find);
        self.held.find(now, query, sink)
    }
    fn read(&mut self, now: Time, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        self.held.read(now, key, digest, offset, out)
    }
    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.disk.passes(Place::Forget);
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
        self.disk.passes(Place::Begin);
        let (committed, disk) = (self.commit(), self.disk.clone());
        Ok(Some(Box::new(move || {
            gate.pass();
            disk.passes(Place::Write);
            committed
        })))
    }
    fn end_commit(&mut self, written: Result<(), NotDurable>) -> Result<(), NotDurable> {
        self.disk.passes(Place::End);
        written
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
        let stored = store.copies(Copies::All).timeout(Duration::from_secs(3)).await;
        let Err(Error::TooFewCopies { receipts }) = stored else { panic!("{stored:?}") };
        assert_eq!((receipts[0].elsewhere, receipts[0].is_local_only()), (0, true), "{receipts:?}");
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

/// Waits for the end of a node, which must come soon.
async fn end_of(dht: &Dht) -> CloseReason {
    tokio::time::timeout(Duration::from_secs(30), dht.closed()).await.expect("the node ends")
}

#[tokio::test]
async fn a_panic_in_a_store_ends_the_whole_node_and_says_why() {
    let first = node(&[]).start().unwrap();
    let places = [Place::Find, Place::Offer, Place::Publish, Place::Forget, Place::Begin, Place::Write, Place::End];
    for (number, place) in places.into_iter().enumerate() {
        let (disk, gate) = (Disk::default(), Arc::new(Gate::default()));
        gate.open();
        let id = NodeId::from_bytes([number as u8; 32]);
        let store = Failing { gate: Some(gate), ..Failing::new(id, &disk) };
        let holder = node(&[&first]).id(id).workers(4).store(store).start().unwrap();
        holder.joined().await.unwrap();
        *disk.panics.lock().unwrap() = Some(place);
        // A caller of the node hears by its deadline that it is gone, and so does everybody after it.
        let (key, timeout) = (Key::hash_int(number as u64), Duration::from_secs(20));
        match place {
            Place::Find => assert_eq!(holder.find(key).timeout(timeout).await, Err(Error::Closed)),
            Place::Forget => assert_eq!(holder.forget(key).await, Err(Error::Closed)),
            Place::Offer => {
                let stored = first.store(key, "value").copies(Copies::AtLeast(1)).timeout(Duration::from_secs(3)).await;
                assert!(stored.is_err(), "{stored:?}");
            }
            _ => {
                let stored = holder.store(key, "value").copies(Copies::AtLeast(0)).timeout(timeout).await;
                assert!(stored.is_err(), "nothing was durable: {stored:?}");
            }
        }
        let reason = end_of(&holder).await;
        let CloseReason::Panicked { thread, message } = &reason else { panic!("{place:?}: {reason:?}") };
        let commits = matches!(place, Place::Write | Place::End);
        assert!(thread.starts_with(if commits { "kad-commit" } else { "kad-worker" }), "{place:?}: {thread}");
        assert!(message.contains("on demand"), "{place:?}: {message}");
        for _ in 0..8 {
            assert_eq!(holder.find(key).await, Err(Error::Closed));
        }
        assert_eq!(holder.stats().await, Err(Error::Closed));
        assert_eq!((holder.close().await, holder.closed().await), (Err(Error::Closed), reason));
        disk.is_left().await;
    }
}

#[tokio::test]
async fn whichever_worker_panics_every_call_under_way_ends_and_no_thread_is_left() {
    for worker in 0..4u8 {
        let first = node(&[]).start().unwrap();
        let (disk, id, name) = (Disk::default(), NodeId::from_bytes([worker; 32]), format!("kad-worker-{worker}"));
        let holder = node(&[&first]).id(id).workers(4).store(Failing::new(id, &disk)).start().unwrap();
        holder.joined().await.unwrap();
        // Each worker is known to serve, and its thread to be seen.
        for number in 0..8 {
            assert_eq!(holder.find(Key::hash_int(number)).await, Ok(None));
        }
        *disk.victim.lock().unwrap() = Some(name.clone());
        *disk.panics.lock().unwrap() = Some(Place::Find);
        let timeout = Duration::from_secs(20);
        let calls = (0..400u64).map(|number| {
            let (holder, first, key) = (holder.clone(), first.local_addr(), Key::hash_int(1000 + number));
            tokio::spawn(async move {
                match number % 5 {
                    0 => holder.find(key).timeout(timeout).await.map(drop),
                    1 => holder.store(key, "value").timeout(timeout).await.map(drop),
                    2 => holder.lookup(key).await.map(drop),
                    3 => holder.ping(first).await.map(drop),
                    _ => holder.stats().await.map(drop),
                }
            })
        });
        let ended = futures_util::future::join_all(calls.collect::<Vec<_>>());
        let ended = tokio::time::timeout(timeout, ended).await.expect("nobody waits for the deadline");
        // Those that were answered before are fine; who comes later hears what is the matter.
        let closed = ended.into_iter().filter(|call| matches!(call, Ok(Err(Error::Closed)))).count();
        assert!(closed > 0);
        let CloseReason::Panicked { thread, .. } = end_of(&holder).await else { panic!("it panicked") };
        assert_eq!(thread, name);
        disk.is_left().await;
        let stored = holder.store(Key::hash("late"), "value").await;
        assert_eq!(stored, Err(Error::Closed));
    }
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_a_bounded_number_of_answers_and_calls() {
    let first = node(&[]).start().unwrap();
    let (disk, gate) = (Disk::default(), Arc::new(Gate::default()));
    let store = Failing { gate: Some(gate.clone()), ..Failing::new(ID, &disk) };
    let holder = node(&[&first]).id(ID).store(store).workers(1).calls_max(16).start().unwrap();
    holder.joined().await.unwrap();
    // Of its own calls as many wait as have a place; the others hear that there is none.
    let timeout = Duration::from_millis(500);
    let stores: Vec<_> = (0..40)
        .map(|number| tokio::spawn(holder.store(Key::hash_int(number), "v").timeout(timeout).into_future()))
        .collect();
    let (mut late, mut busy) = (0, 0);
    for store in stores {
        match store.await.unwrap() {
            Err(Error::Timeout) => late += 1,
            Err(Error::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((late, busy), (12, 28), "a quarter of the places is not for stores");
    let stats = holder.stats().await.unwrap();
    assert_eq!((stats.calls, stats.calls_refused), (12, 28));
    assert_eq!(holder.find(Key::hash("nothing")).await, Ok(None));
    // Of its answers to others as many wait; the others are dropped, and counted.
    let deadline = Instant::now() + Duration::from_secs(100);
    let publisher = node(&[&holder]).workers(8).start().unwrap();
    publisher.joined().await.unwrap();
    let mut number = 1000;
    while holder.stats().await.unwrap().socket.withheld == 0 {
        assert!(Instant::now() < deadline, "all answers are kept");
        number += 1000;
        let store = |number| publisher.store(Key::hash_int(number), "v").timeout(Duration::from_secs(1)).into_future();
        futures_util::future::join_all((number..number + 1000).map(store)).await;
    }
    first.ping(holder.local_addr()).await.unwrap();
    gate.open();
    while holder.stats().await.unwrap().calls > 0 {
        assert!(Instant::now() < deadline, "places are not given back");
        tokio::task::yield_now().await;
    }
    assert_eq!(holder.store(Key::hash("k"), "v").await.unwrap().elsewhere, 2);
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
