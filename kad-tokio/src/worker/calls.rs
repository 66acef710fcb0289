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
    deadline: Instant,
    request: Request,
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
                self.waiting.insert(id, Waiting { deadline, request });
            }
            Command::Forget { key, digest, answer } => {
                let forgotten = self.forget(key, digest);
                self.forgotten(answer, forgotten);
            }
            Command::Peers { answer } => drop(answer.send(Ok(self.peers()))),
            Command::Held { after, limit, own, answer } => drop(answer.send(Ok(self.held(after, limit, own)))),
            Command::Stats { answer } => drop(answer.send(Ok(self.stats()))),
            Command::Watch { answer } => {
                self.observe();
                let _ = answer.send(Ok(()));
            }
            Command::Joined { answer } => match self.is_settled() {
                true => drop(answer.send(self.joined())),
                false => self.wait_for_join.push(answer),
            },
            Command::Cancel => self.cancel(id),
            Command::Bootstrap { addresses } => self.join_found(addresses),
            Command::SetBootstrap { addresses } => self.set_bootstrap(addresses),
            Command::Moved => self.moved(),
            Command::Close { answer } => self.leave(answer),
        }
    }

    /// Starts what waits, oldest first, as far as there are places; then the rest of large stores.
    pub(super) fn start_waiting(&mut self) {
        let has_places = self.begin_waiting();
        self.settle_published();
        if !has_places {
            return;
        }
        let mut next = 0;
        while let Some(&call) = self.tasks.unfinished.range(next..).next() {
            next = call + 1;
            if !self.start_batches(call) {
                return;
            }
        }
    }

    /// Begins what waits, and says whether there was a place for each.
    fn begin_waiting(&mut self) -> bool {
        let mut next = 0;
        while let Some((&id, _)) = self.waiting.range(next..).next() {
            next = id + 1;
            let Some(Waiting { deadline, request }) = self.waiting.remove(&id) else { return true };
            if self.upkeep.is_leaving() {
                request.refuse(Error::Closed);
            } else if request.needs_contacts() && !self.is_settled() {
                if let Some(request) = self.answer_here(request) {
                    self.waiting.insert(id, Waiting { deadline, request });
                }
            } else if let Some(request) = self.begin(id, deadline, request) {
                self.waiting.insert(id, Waiting { deadline, request });
                return false;
            }
        }
        true
    }

    /// When the first of those that wait runs out of time.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let unfinished = self.tasks.unfinished.iter().filter_map(|call| self.tasks.stores.get(call));
        let unstarted = unfinished.filter(|call| !call.is_answered());
        let waiting = self.waiting.values().map(|waiting| waiting.deadline);
        waiting.chain(unstarted.map(|call| call.deadline)).min()
    }

    /// Who waits past its deadline is answered.
    pub(super) fn expire_waiting(&mut self) {
        if self.waiting.is_empty() && self.tasks.unfinished.is_empty() {
            return;
        }
        let now = self.now();
        for (_, waiting) in self.waiting.extract_if(.., |_, waiting| waiting.deadline <= now) {
            waiting.request.refuse(Error::Timeout);
        }
        for call in &self.tasks.unfinished {
            if let Some(call) = self.tasks.stores.get_mut(call).filter(|call| call.deadline <= now) {
                call.answer_now();
            }
        }
    }

    /// Starts the operations of a call. Gives the request back when no place is free.
    fn begin(&mut self, call: CallId, deadline: Instant, request: Request) -> Option<Request> {
        let until = deadline;
        match request {
            Request::Store { items, copies, answer } => self.store(call, deadline, &items, copies, answer),
            find @ Request::Find(_) => {
                let find = match self.answer_here(find)? {
                    Request::Find(find) => find,
                    other => return Some(other),
                };
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
        self.published.push(Published { id, call, statuses });
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

    /// Starts batches of a store call, as many as may be under way. Answers whether there was a place for each.
    pub(super) fn start_batches(&mut self, call: CallId) -> bool {
        let has_places = self.start_more_batches(call);
        match self.tasks.stores.get(&call).is_some_and(StoreCall::has_batches) {
            true => self.tasks.unfinished.insert(call),
            false => self.tasks.unfinished.remove(&call),
        };
        has_places
    }

    fn start_more_batches(&mut self, call: CallId) -> bool {
        loop {
            let now = self.now();
            let Some(pending) = self.tasks.stores.get(&call) else { return true };
            if pending.under_way() >= STORE_WIDTH {
                return true;
            }
            let Some(batch) = pending.next_batch(now) else { return true };
            let late = if pending.is_answered() { now.plus_millis(LATE_BATCH_MS) } else { now };
            let (quorum, until) = (pending.quorum(), pending.deadline.max(late));
            let started = self.start(Operation::Store { until, mode: StoreMode::Publish, quorum, items: batch });
            let Some(pending) = self.tasks.stores.get_mut(&call) else { return true };
            match started {
                Ok(operation) => {
                    let places = pending.take_batch(true);
                    self.tasks.begin(operation, Task::Store { call, places });
                }
                Err(StartError::NoSlot) => return false,
                // Its lifetime has passed while it waited: there is nothing left to store.
                Err(error) => {
                    tracing::debug!(%error, "a batch was not stored");
                    let places = pending.take_batch(false);
                    pending.enough(&places);
                    if pending.is_over() {
                        self.tasks.stores.remove(&call);
                    }
                }
            }
        }
    }

    /// Looks into the own store for a find. Gives it back if that is not enough.
    fn answer_here(&mut self, request: Request) -> Option<Request> {
        let Request::Find(mut find) = request else { return Some(request) };
        if !find.looked_here {
            find.looked_here = true;
            self.find_here(&mut find);
        }
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
        self.waiting.remove(&call);
        if let Some(operation) = self.tasks.forget(call) {
            self.cancel_operation(operation);
        }
    }
}
