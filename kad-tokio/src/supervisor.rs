//! The end of a node: why it ends, that all of its threads end with it, and when they are gone.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::feed::Feed;
use crate::vault::Vault;
use crate::worker::Worker;

/// Events of the system that a worker takes in at a time.
const EVENTS: usize = 16;

/// Why a node has ended: see [`Dht::closed`](crate::Dht::closed).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was closed, or its last handle was dropped.
    Closed,
    /// A thread of the node panicked: a worker, or the thread that commits what the store has taken. A store of one's own
    /// that panics is one cause.
    Panicked {
        /// Name of the thread.
        thread: String,
        /// The panic's message.
        message: String,
    },
    /// The system no longer serves the socket of a worker.
    Socket {
        /// What kind of error it was.
        kind: io::ErrorKind,
        /// What the system said.
        message: String,
    },
}

impl CloseReason {
    /// Returns true if the node ended although nobody closed it.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    pub(crate) fn socket(error: &io::Error) -> Self {
        Self::Socket { kind: error.kind(), message: error.to_string() }
    }

    /// The reason of a thread that panicked with this.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        Self::Panicked { thread, message }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the node was closed"),
            Self::Panicked { thread, message } => write!(f, "the thread {thread} panicked: {message}"),
            Self::Socket { message, .. } => write!(f, "a socket is broken: {message}"),
        }
    }
}

/// What the threads of a node have in common at its end.
pub(crate) struct Supervisor {
    /// Why the node ends, once it does: then every worker stops.
    reason: watch::Sender<Option<CloseReason>>,
    /// True once all threads are gone and the store is closed.
    gone: watch::Sender<bool>,
    /// Workers that have not ended.
    running: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Closed by the last worker.
    shared: Mutex<Option<(Vault, Arc<Feed>)>>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("reason", &self.reason).field("running", &self.running).finish()
    }
}

impl Supervisor {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            reason: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            running: AtomicUsize::new(workers),
            threads: Mutex::default(),
            shared: Mutex::default(),
        })
    }

    /// Takes what the workers share, to close it after them.
    pub(crate) fn keep(&self, store: Vault, feed: Arc<Feed>) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some((store, feed));
    }

    /// Ends the node, if nothing has ended it yet: the first reason counts.
    pub(crate) fn stop(&self, reason: CloseReason) {
        self.reason.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                if reason.is_failure() {
                    tracing::error!(%reason, "the node ends");
                }
                *known = Some(reason);
            }
            is_first
        });
    }

    /// What a worker listens to: it stops when this changes.
    pub(crate) fn stopping(&self) -> watch::Receiver<Option<CloseReason>> {
        let mut reason = self.reason.subscribe();
        // Another worker may have failed before this one is made: that is news to it too.
        if reason.borrow().is_some() {
            reason.mark_changed();
        }
        reason
    }

    /// Runs a worker on a thread and in a runtime of its own, to its end: a node does not wait for its application, nor the
    /// application for it.
    ///
    /// # Errors
    /// The system gave no thread or no runtime.
    pub(crate) fn spawn(self: &Arc<Self>, index: usize, worker: Worker) -> io::Result<()> {
        let supervisor = self.clone();
        // Boxed, so that it is not copied from frame to frame of the thread's stack, which would have to hold it several
        // times.
        let work = Box::pin(worker.run());
        let (tell, told) = std::sync::mpsc::channel();
        // The runtime is made where it is dropped: a thread of another runtime must not do that.
        let run = move || {
            // One socket, and who wakes the thread: room for a thousand events would be memory for nothing.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = match runtime.enable_all().max_io_events_per_tick(EVENTS).build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(error)),
            };
            drop(tell);
            let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
            // A resolver that hangs must not hold up the end.
            runtime.shutdown_background();
            supervisor.stop(match ended {
                Ok(Ok(())) => CloseReason::Closed,
                Ok(Err(reason)) => reason,
                Err(payload) => CloseReason::panicked(&*payload),
            });
            supervisor.ended();
        };
        let thread = std::thread::Builder::new().name(format!("kad-worker-{index}")).spawn(run)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        // Nothing is said when all is well.
        told.recv().map_or(Ok(()), Err)
    }

    /// A worker is gone. The last one closes the store.
    fn ended(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let failed = self.reason.borrow().as_ref().is_some_and(CloseReason::is_failure);
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((store, feed)) = shared {
            feed.close();
            store.close(failed);
            // A store of one's own may panic here too.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(store))) {
                tracing::error!(reason = %CloseReason::panicked(&*payload), "closing the store");
            }
        }
        self.gone.send_replace(true);
    }

    /// Waits until the node has ended, and returns why.
    pub(crate) async fn gone(&self) -> CloseReason {
        // The sender is here, so it is not gone.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
        // They have nothing left to do: this waits for no more than the system's part of their end.
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
        self.reason.borrow().clone().unwrap_or(CloseReason::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_made_after_the_end_hears_of_it() {
        let supervisor = Supervisor::new(2);
        let mut before = supervisor.stopping();
        supervisor.stop(CloseReason::Closed);
        let mut after = supervisor.stopping();
        for hears in [&mut before, &mut after] {
            tokio::time::timeout(std::time::Duration::from_secs(10), hears.changed()).await.unwrap().unwrap();
        }
    }
}
