//! Calls of handles: each starts operations, waits for a place, or is answered at once.

use kad_store::Store as _;

use kad_core::StartError;
use kad_record::{Command as Operation, Input};
use kad_wire::{Contact, Digest, Instant, ItemStatus, Key, Query, StoreMode};

use super::Worker;
use super::durable::Published;
use super::joining::reachable;
use crate::command::{Call, Command, Publication, Request};
use crate::error::Error;
use crate::report::{Copies, Receipt};
use crate::tasks::{Answer, CallId, Collected, FindCall, StoreCall, Task};

/// Commands that are looked at before the socket gets its turn again.
const COMMANDS: usize = 64;
/// Operations of one store call at a time: many items must not take every place from other calls.
const STORE_WIDTH: usize = 32;
/// How long a batch may take whose caller has been answered already.
const LATE_BATCH_MS: u64 = 30_000;

/// A request that waits for the first join, or for a place.
pub(super) struct Waiting {
    pub(super) deadline: Instant,
    pub(super) request: Request,
}

impl Worker {
    pub(super) fn take_calls(&mut self, first: Call) {
        self.take_call(first);
        for _ in 1..COMMANDS {
            match self.parts.calls.try_recv() {
                Ok(call) => self.take_call(call),
                Err(_) => return,
            }
        }
    }

    fn take_call(&mut self, call: Call) {
        // Whatever the other workers had told before this was called comes first: whom they have met, above all.
        self.take_notes();
        let Call { id, deadline, command } = call;
        match command {
            Command::Network(request) => {
                self.enqueue(id, deadline, request);
            }
            Command::Forget { key, digest, answer } => {
                let forgotten = self.forget(key, digest);
                self.forgotten(answer, forgotten);
            }
            Command::Peers { answer } => answer.send(Ok(self.peers())),
            Command::Held { after, limit, own, answer } => answer.send(Ok(self.held(after, limit, own))),
            Command::Stats { answer } => answer.send(Ok(self.stats())),
            Command::Watch { answer } => {
                self.observe();
                answer.send(Ok(()));
            }
            Command::Joined { answer } => match self.is_settled() {
                true => answer.send(self.joined()),
                false => self.wait_for_join.push(answer),
            },
            Command::Cancel => self.cancel(id),
            Command::Bootstrap { addresses } => self.join_found(addresses),
            Command::SetBootstrap { addresses } => self.set_bootstrap(addresses),
            Command::Moved => self.moved(),
            Command::Close => self.leave(),
        }
    }

    /// Queues a request, unless the own store answers it.
    fn enqueue(&mut self, id: CallId, deadline: Instant, request: Request) {
        if self.upkeep.is_leaving() {
            return request.refuse(Error::Closed);
        }
        let Some(request) = self.answer_here(request) else { return };
        self.tasks.deadlines.insert((deadline, id));
        let waits = request.needs_contacts() && !self.is_settled();
        let queue = if waits { &mut self.unsettled } else { &mut self.waiting };
        queue.insert(id, Waiting { deadline, request });
    }

    /// Starts what waits as far as there are places: in turns the oldest call, and a batch of the oldest large store, so that
    /// neither takes every place.
    pub(super) fn start_waiting(&mut self) {
        if !self.unsettled.is_empty() && self.is_settled() {
            self.waiting.append(&mut self.unsettled);
        }
        loop {
            let mut begun = false;
            while self.has_place() {
                self.stores_first = !self.stores_first;
                let next = match self.stores_first {
                    true => self.start_batch() || self.begin_next(),
                    false => self.begin_next() || self.start_batch(),
                };
                if !next {
                    break;
                }
                begun = true;
            }
            self.settle_published();
            if !begun {
                return;
            }
        }
    }

    /// Returns true if another operation may begin. Stores that are not durable yet will have one each.
    fn has_place(&mut self) -> bool {
        let under_way = self.tasks.len() + self.published.len();
        (!self.waiting.is_empty() || !self.tasks.unfinished.is_empty()) && self.pace.allows(under_way)
    }

    /// Begins the oldest call that waits, and returns true if that was possible.
    fn begin_next(&mut self) -> bool {
        let Some((id, Waiting { deadline, request })) = self.waiting.pop_first() else { return false };
        let is_store = matches!(request, Request::Store { .. });
        if let Some(request) = self.begin(id, deadline, request) {
            self.waiting.insert(id, Waiting { deadline, request });
            return false;
        }
        // A store may wait again, for the disk or for places; everything else has an operation, which ends in time.
        if !is_store {
            self.tasks.deadlines.remove(&(deadline, id));
        }
        true
    }

    /// When the first of those that wait runs out of time.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.tasks.deadlines.first().map(|(at, _)| *at)
    }

    /// Answers those who have waited until their deadline.
    pub(super) fn expire_waiting(&mut self) {
        if self.tasks.deadlines.is_empty() {
            return;
        }
        let now = self.now();
        while self.next_expiry().is_some_and(|at| at <= now) {
            let Some((_, call)) = self.tasks.deadlines.pop_first() else { return };
            if let Some(waiting) = self.waiting.remove(&call) {
                waiting.request.refuse(Error::Busy);
            } else if let Some(waiting) = self.unsettled.remove(&call) {
                waiting.request.refuse(Error::Timeout);
            } else if let Some(store) = self.tasks.stores.get_mut(&call) {
                store.expire();
            }
        }
    }

    /// Starts the operations of a call. Gives the request back when no place is free.
    fn begin(&mut self, call: CallId, deadline: Instant, request: Request) -> Option<Request> {
        let until = deadline;
        match request {
            Request::Store { items, copies, answer } => self.store(call, deadline, &items, copies, answer),
            Request::Find(find) => {
                let (key, options) = (find.key, find.options);
                match self.start(Operation::find(until, key, options)) {
                    Ok(operation) => {
                        self.tasks.begin(operation, Task::Find { call });
                        self.tasks.finds.insert(call, *find);
                    }
                    Err(_) => return Some(Request::Find(find)),
                }
            }
            Request::Lookup { target, answer } => match self.start(Operation::FindNode { until, target }) {
                Ok(operation) => self.tasks.begin(operation, Task::Lookup { call, answer }),
                Err(_) => return Some(Request::Lookup { target, answer }),
            },
            Request::Ping { address, answer } => {
                match self.start(Operation::Ping { until, address: reachable(address).into() }) {
                    Ok(operation) => self.tasks.begin(operation, Task::Ping { call, answer }),
                    Err(_) => return Some(Request::Ping { address, answer }),
                }
            }
        }
        None
    }

    /// Publishes values: in the own store first, which must serve them. They go to the network when they are durable here.
    fn store(
        &mut self,
        id: CallId,
        deadline: Instant,
        items: &[Publication],
        copies: Copies,
        answer: Answer<Vec<Receipt>>,
    ) {
        let now = self.now();
        let headers = items.iter().map(|item| (item.key, item.header)).collect();
        let call = StoreCall::new(headers, self.parts.serves, copies, now, deadline, answer);
        let statuses = items.iter().map(|item| self.publish(now, item)).collect();
        self.tasks.stores.insert(id, call);
        self.published.push(Published { id, statuses });
    }

    /// Publishes a value in the own store.
    fn publish(&mut self, now: Instant, item: &Publication) -> ItemStatus {
        let Publication { key, header, bytes } = item;
        let status = self.parts.store.publish(now, key, header, bytes).status;
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.said(status as u32);
            recorder.note(now, Input::Publish { key: *key, header: *header, bytes: bytes.to_vec() });
        }
        status
    }

    fn forget(&mut self, key: Key, digest: Option<Digest>) -> usize {
        let (now, forgotten) = (self.now(), self.parts.store.forget(&key, digest.as_ref()));
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.said(forgotten as u32);
            recorder.note(now, Input::Forget { key, digest });
        }
        forgotten
    }

    /// Starts a batch of the oldest store that has one to start, and returns true if that was possible.
    fn start_batch(&mut self) -> bool {
        while let Some(&call) = self.tasks.unfinished.first() {
            let begun = self.begin_batch(call);
            let may_go_on = |store: &StoreCall| store.has_batches() && store.under_way() < STORE_WIDTH;
            if begun != Some(false) && !self.tasks.stores.get(&call).is_some_and(may_go_on) {
                self.tasks.unfinished.remove(&call);
            }
            if let Some(begun) = begun {
                return begun;
            }
        }
        false
    }

    /// Starts the next batch of a store. `None`: it has none to start. `false`: there is no place.
    fn begin_batch(&mut self, call: CallId) -> Option<bool> {
        let now = self.now();
        let pending = self.tasks.stores.get(&call).filter(|pending| pending.under_way() < STORE_WIDTH)?;
        let batch = pending.next_batch(now)?;
        let late = if pending.is_answered() { now.plus_millis(LATE_BATCH_MS) } else { now };
        let (quorum, until) = (pending.quorum(), pending.deadline.max(late));
        let started = self.start(Operation::Store { until, mode: StoreMode::Publish, quorum, items: batch });
        let pending = self.tasks.stores.get_mut(&call)?;
        match started {
            Ok(operation) => {
                let places = pending.take_batch(true);
                self.tasks.begin(operation, Task::Store { call, places });
            }
            Err(StartError::NoSlot) => return Some(false),
            // Its lifetime has passed while it waited: there is nothing left to store.
            Err(error) => {
                tracing::debug!(%error, "a batch was not stored");
                let places = pending.take_batch(false);
                pending.enough(&places);
                if pending.is_over() {
                    self.tasks.end_store(call);
                }
            }
        }
        Some(true)
    }

    /// Looks into the own store for a find. Gives it back if that is not enough.
    fn answer_here(&mut self, request: Request) -> Option<Request> {
        let Request::Find(mut find) = request else { return Some(request) };
        self.find_here(&mut find);
        if !find.has_enough() {
            return Some(Request::Find(find));
        }
        find.end(Ok(()));
        None
    }

    fn find_here(&mut self, find: &mut FindCall) {
        let now = self.now();
        let query = Query { types: find.options.types, max_age: find.options.max_age, ..Query::all(find.key) };
        let mut collected = Collected::default();
        self.parts.store.find(now, &query, &mut collected);
        let own = self.own_contact();
        for (header, bytes) in collected.items {
            find.hand_out(&header, bytes.into(), &own);
        }
    }

    pub(super) fn own_contact(&mut self) -> Contact {
        Contact { id: self.node().id(), endpoint: self.parts.listen[0].into() }
    }

    fn cancel(&mut self, call: CallId) {
        for queue in [&mut self.waiting, &mut self.unsettled] {
            if let Some(Waiting { deadline, .. }) = queue.remove(&call) {
                self.tasks.deadlines.remove(&(deadline, call));
            }
        }
        if let Some(operation) = self.tasks.forget(call) {
            self.cancel_operation(operation);
        }
    }
}
