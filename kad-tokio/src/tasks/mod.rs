//! What the worker remembers of calls and of its own undertakings, until the core says what became of them.

mod find;
mod store;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kad_core::OperationId;
use kad_wire::{Digest, Instant};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::feed::Purpose;
use crate::places::Place;
use crate::report::{Lookup, Pong, Step};

pub(crate) use find::{Collected, FindCall, Found};
pub(crate) use store::{StoreCall, note_item};

/// Names a call, so that its caller can take it back. Later calls have larger ones.
pub(crate) type CallId = u64;

/// Where the answer of a call goes.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    to: oneshot::Sender<Result<T, Error>>,
    /// The call's place, if it needs one, which is free when this is gone.
    place: Option<Place>,
}

impl<T> Answer<T> {
    pub(crate) const fn new(to: oneshot::Sender<Result<T, Error>>, place: Option<Place>) -> Self {
        Self { to, place }
    }

    /// Answers the call, which is over.
    pub(crate) fn send(self, result: Result<T, Error>) {
        // A caller that has gone away does not want it.
        let _ = self.to.send(result);
    }

    /// For a call that goes on after its answer.
    pub(crate) fn split(self) -> (oneshot::Sender<Result<T, Error>>, Option<Place>) {
        (self.to, self.place)
    }
}

/// What an operation of the core is for.
pub(crate) enum Task {
    /// The items of a store call, by their places in it.
    Store {
        call: CallId,
        places: Vec<usize>,
    },
    Find {
        call: CallId,
    },
    Ping {
        call: CallId,
        answer: Answer<Pong>,
    },
    Lookup {
        call: CallId,
        answer: Answer<Lookup>,
    },
    Join,
    /// A copy for the closest node that did not have the value.
    Cache {
        digest: Digest,
    },
}

impl Task {
    pub(crate) const fn purpose(&self) -> Purpose {
        match self {
            Self::Store { .. } => Purpose::Store,
            Self::Find { .. } => Purpose::Find,
            Self::Ping { .. } => Purpose::Ping,
            Self::Lookup { .. } => Purpose::Lookup,
            Self::Join => Purpose::Join,
            Self::Cache { .. } => Purpose::Cache,
        }
    }

    /// The call whose only operation this is: it ends when its caller goes away.
    const fn only_of(&self) -> Option<CallId> {
        match self {
            Self::Find { call } | Self::Ping { call, .. } | Self::Lookup { call, .. } => Some(*call),
            Self::Store { .. } | Self::Join | Self::Cache { .. } => None,
        }
    }
}

/// Everything that is under way.
#[derive(Default)]
pub(crate) struct Tasks {
    by_operation: HashMap<OperationId, Task>,
    by_call: HashMap<CallId, OperationId>,
    /// Store calls, oldest first.
    pub(crate) stores: BTreeMap<CallId, StoreCall>,
    /// Those of them with batches that may be started.
    pub(crate) unfinished: BTreeSet<CallId>,
    /// When calls that wait for something run out of time, the next one first.
    pub(crate) deadlines: BTreeSet<(Instant, CallId)>,
    /// Operations that were given up since watchers were last told.
    pub(crate) cancelled: Vec<OperationId>,
    pub(crate) finds: HashMap<CallId, FindCall>,
}

impl Tasks {
    pub(crate) fn begin(&mut self, operation: OperationId, task: Task) {
        if let Some(call) = task.only_of() {
            self.by_call.insert(call, operation);
        }
        self.by_operation.insert(operation, task);
    }

    pub(crate) fn get(&self, operation: OperationId) -> Option<&Task> {
        self.by_operation.get(&operation)
    }

    /// How many operations are under way.
    pub(crate) fn len(&self) -> usize {
        self.by_operation.len()
    }

    /// Nothing is left to do for a store call.
    pub(crate) fn end_store(&mut self, call: CallId) {
        self.unfinished.remove(&call);
        if let Some(store) = self.stores.remove(&call) {
            self.deadlines.remove(&(store.deadline, call));
        }
    }

    /// Every operation with what it is for.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = (OperationId, &Task)> {
        self.by_operation.iter().map(|(operation, task)| (*operation, task))
    }

    pub(crate) fn end(&mut self, operation: OperationId) -> Option<Task> {
        let task = self.by_operation.remove(&operation)?;
        if let Some(call) = task.only_of() {
            self.by_call.remove(&call);
        }
        Some(task)
    }

    /// Forgets a call whose caller has gone away. Answers with the operation that ran for it alone.
    pub(crate) fn forget(&mut self, call: CallId) -> Option<OperationId> {
        self.finds.remove(&call);
        if let Some(store) = self.stores.get_mut(&call) {
            store.forget_caller();
        }
        let operation = self.by_call.remove(&call)?;
        self.by_operation.remove(&operation);
        self.cancelled.push(operation);
        Some(operation)
    }

    /// Ends every call with [`Error::Closed`]. Answers with their operations.
    pub(crate) fn drop_calls(&mut self) -> Vec<OperationId> {
        for (_, find) in self.finds.drain() {
            find.end(Err(Error::Closed));
        }
        // Whoever waits for one of these sees that nobody will answer any more.
        self.stores.clear();
        self.unfinished.clear();
        self.deadlines.clear();
        self.by_call.clear();
        let is_call = |task: &Task| task.only_of().is_some() || matches!(task, Task::Store { .. });
        let operations: Vec<_> = self.by_operation.extract_if(|_, task| is_call(task)).map(|(id, _)| id).collect();
        self.cancelled.extend(&operations);
        operations
    }
}

/// A lookup as callers see it.
pub(crate) fn lookup_of(trace: &kad_core::Trace<'_>, now: Instant) -> Lookup {
    let steps: Vec<Step> = trace.steps().collect();
    Lookup {
        target: *trace.target(),
        steps,
        requests: trace.requests(),
        hops: trace.hops().into(),
        duration: trace.duration(now),
        timed_out: trace.timed_out(),
    }
}
