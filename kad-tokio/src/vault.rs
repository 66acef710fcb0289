//! What the workers of a node remember together: the store, and when what it says is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use kad_record::Pinned;
use kad_store::{Due, Listed, NotDurable, Page, Store, Usage, Writing};
use kad_upkeep::Aside;
use kad_wire::{Answer, Digest, Instant, ItemHeader, Key, Offer, Query, Sink};

use crate::supervisor::{CloseReason, Supervisor};

/// How long the end of a node that failed waits for its commit thread: the disk may hang.
const LINGER: Duration = Duration::from_secs(2);

/// Tells the workers what became of a commit.
pub(crate) type Tell = Box<dyn Fn(u64, Result<(), NotDurable>) + Send + Sync>;

/// When what the store has answered is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Durable {
    /// It is, or it never will be.
    Now(Result<(), NotDurable>),
    /// When the commit of this number has ended.
    After(u64),
}

/// A store that several workers share. Each call takes it for itself, and none waits for the disk while it has it.
#[derive(Clone)]
pub(crate) struct Vault(Arc<Shared>);

struct Shared {
    inside: Mutex<Inside>,
    pinned: Mutex<Pinned<Bytes>>,
    tell: Tell,
    /// Hears of a panic.
    supervisor: Weak<Supervisor>,
    /// True once the commit thread has panicked: then nothing is durable any more.
    broken: AtomicBool,
    /// The thread that waits for the disk, from the first time on that there is something to wait for.
    clerk: OnceLock<Clerk>,
}

struct Inside {
    store: Box<dyn Store + Send>,
    /// Commits that have begun.
    begun: u64,
    /// Whether the last of them is still being written, and another one is wanted after it.
    writing: bool,
    again: bool,
}

struct Clerk {
    work: Mutex<Option<Sender<Writing>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Vault {
    pub(crate) fn new(store: Box<dyn Store + Send>, supervisor: &Arc<Supervisor>, tell: Tell) -> Self {
        let inside = Mutex::new(Inside { store, begun: 0, writing: false, again: false });
        Self(Arc::new(Shared {
            inside,
            pinned: Mutex::default(),
            tell,
            supervisor: Arc::downgrade(supervisor),
            broken: AtomicBool::new(false),
            clerk: OnceLock::new(),
        }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // After a panic the node ends; until then its other workers are answered, but nothing is durable.
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> MutexGuard<'_, Pinned<Bytes>> {
        self.0.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes durable what the store has answered. While a commit is being written, all that is answered waits for the next.
    pub(crate) fn make_durable(&self) -> Durable {
        if self.0.broken.load(Ordering::Relaxed) || self.0.inside.is_poisoned() {
            return Durable::Now(Err(NotDurable));
        }
        let mut inside = self.inside();
        if inside.writing {
            inside.again = true;
            return Durable::After(inside.begun + 1);
        }
        match inside.begin() {
            Ok(None) => Durable::Now(Ok(())),
            Err(error) => Durable::Now(Err(error)),
            Ok(Some(writing)) => {
                let number = inside.begun;
                drop(inside);
                self.hand_over(writing);
                Durable::After(number)
            }
        }
    }

    /// Has the clerk write, who is hired when there is the first thing to write.
    fn hand_over(&self, writing: Writing) {
        let clerk = self.0.clerk.get_or_init(|| {
            let (work, queue) = channel();
            let shared = Arc::downgrade(&self.0);
            let thread = std::thread::Builder::new().name("kad-commit".into()).spawn(move || keep(&shared, &queue));
            if let Err(error) = &thread {
                tracing::error!(%error, "no thread to write values with");
            }
            Clerk { work: Mutex::new(Some(work)), thread: Mutex::new(thread.ok()) }
        });
        let work = clerk.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = &*work
            && let Err(unsent) = work.send(writing)
        {
            // Without the thread it is written here.
            self.write(unsent.0);
        }
    }

    /// Writes, tells the workers what came of it, and goes on with what was answered meanwhile.
    fn write(&self, first: Writing) {
        let mut writing = Some(first);
        while let Some(write) = writing.take() {
            let written = write();
            let mut inside = self.inside();
            let ended = inside.store.end_commit(written);
            let number = inside.begun;
            inside.writing = false;
            let next = if std::mem::take(&mut inside.again) { Some((number + 1, inside.begin())) } else { None };
            drop(inside);
            (self.0.tell)(number, ended);
            match next {
                Some((_, Ok(Some(more)))) => writing = Some(more),
                Some((number, Ok(None))) => (self.0.tell)(number, Ok(())),
                Some((number, Err(error))) => (self.0.tell)(number, Err(error)),
                None => {}
            }
        }
    }

    /// Waits for the commit thread, which has the store open, to end. For the last worker: then the store is closed when this
    /// vault is dropped, and can be opened again. After a failure it waits only for a while.
    pub(crate) fn close(&self, failed: bool) {
        let Some(clerk) = self.0.clerk.get() else { return };
        clerk.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = clerk.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let until = Clock::now() + LINGER;
        while failed && !thread.is_finished() {
            if Clock::now() >= until {
                tracing::error!("the disk does not answer: its thread is left behind");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Its panics are caught.
        let _ = thread.join();
    }

    /// The commit thread has panicked: nothing more becomes durable, those who wait hear so, and the node ends.
    fn broke(&self, reason: CloseReason) {
        self.0.broken.store(true, Ordering::Relaxed);
        (self.0.tell)(u64::MAX, Err(NotDurable));
        if let Some(supervisor) = self.0.supervisor.upgrade() {
            supervisor.stop(reason);
        }
    }

    pub(crate) fn pin(&self, digest: Digest, bytes: Bytes) {
        self.pins().pin(digest, bytes);
    }

    pub(crate) fn unpin(&self, digest: &Digest) {
        self.pins().unpin(digest);
    }

    /// How many values are pinned.
    pub(crate) fn pinned(&self) -> usize {
        self.pins().len()
    }
}

impl Inside {
    /// Begins the next commit.
    fn begin(&mut self) -> Result<Option<Writing>, NotDurable> {
        self.begun += 1;
        let begun = self.store.begin_commit();
        self.writing = matches!(begun, Ok(Some(_)));
        begun
    }
}

/// The clerk's work, until the vault is closed.
fn keep(shared: &Weak<Shared>, queue: &Receiver<Writing>) {
    while let Ok(writing) = queue.recv() {
        match shared.upgrade() {
            Some(shared) => {
                let vault = Vault(shared);
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| vault.write(writing))) {
                    return vault.broke(CloseReason::panicked(&*payload));
                }
            }
            // Nobody waits for it; it is written for the next start.
            None => drop(writing()),
        }
    }
}

impl Aside for Vault {
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let pinned = self.pins();
        if pinned.is_empty() { None } else { pinned.read(digest, offset, out) }
    }
}

impl Store for Vault {
    fn offer(&mut self, now: Instant, offer: &Offer<'_>) -> Option<Answer> {
        self.inside().store.offer(now, offer)
    }

    fn publish(&mut self, now: Instant, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.inside().store.publish(now, key, header, bytes)
    }

    fn find(&mut self, now: Instant, query: &Query, sink: &mut dyn Sink) -> Page {
        self.inside().store.find(now, query, sink)
    }

    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        self.inside().store.read(now, key, digest, offset, out)
    }

    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.inside().store.forget(key, digest)
    }

    fn expire(&mut self, now: Instant) -> usize {
        self.inside().store.expire(now)
    }

    fn poll_due(&mut self, now: Instant) -> Option<Due> {
        self.inside().store.poll_due(now)
    }

    fn due_near(&mut self, now: Instant, until: Instant, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.inside().store.due_near(now, until, first, bits, take);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.inside().store.next_wake()
    }

    fn next_item(&self, now: Instant, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.inside().store.next_item(now, after)
    }

    fn usage(&self) -> Usage {
        self.inside().store.usage()
    }
}
