//! What the core says of operations, brought to whoever waits for it.

use kad_core::{Event, Trace, Walk};
use kad_wire::{Contact, Instant, ItemHeader, Key, StoreMode, item_flags};

use super::Worker;
use crate::error::Error;
use crate::report::Pong;
use crate::tasks::{Task, Tasks, lookup_of, note_item};

/// How long leaving a copy may take.
const CACHE_LIMIT_MS: u64 = 5_000;

/// A value that was found, and the closest node that did not have it.
struct CopyFor {
    holder: Contact,
    key: Key,
    header: ItemHeader,
}

/// What follows from an event beyond its answer.
enum Next {
    Nothing,
    Joined(usize),
    Copy(CopyFor),
}

impl Worker {
    /// Takes in everything that has ended, and says whether anything has.
    pub(super) fn take_events(&mut self) -> bool {
        let mut ended = false;
        loop {
            let now = self.now();
            let mut node = self.parts.slabs.node();
            let Some(event) = node.poll_event() else { break };
            let next = match self.upkeep.ended(event.operation()) {
                true => Next::Nothing,
                false => self.tasks.take(now, &event),
            };
            ended = true;
            match next {
                Next::Nothing => {}
                Next::Joined(answered) => self.join_ended(answered),
                Next::Copy(copy) if self.parts.cache_found => self.leave_copy(copy),
                Next::Copy(copy) => drop(self.tasks.pinned.remove(&copy.header.digest)),
            }
        }
        if ended {
            self.take_waiting_calls();
        }
        ended
    }

    /// Leaves a copy at the closest node that did not have the value (paper, section 2.3).
    fn leave_copy(&mut self, copy: CopyFor) {
        let CopyFor { holder, key, header } = copy;
        let items = [(key, header)];
        let started = self.start(|node, now| {
            node.store_at(now, now.plus_millis(CACHE_LIMIT_MS), StoreMode::Cache, &items, &[holder])
        });
        match started {
            Ok(operation) => {
                self.tasks.by_operation.insert(operation, Task::Cache { digest: header.digest });
            }
            Err(_) => drop(self.tasks.pinned.remove(&header.digest)),
        }
    }
}

impl Tasks {
    /// Brings an event to its task.
    fn take(&mut self, now: Instant, event: &Event<'_>) -> Next {
        let operation = event.operation();
        if let Event::Quorum { copies, .. } = event {
            self.quorum(operation, *copies);
            return Next::Nothing;
        }
        let Some(task) = self.by_operation.remove(&operation) else { return Next::Nothing };
        match (task, event) {
            (Task::Ping { answer, .. }, Event::Pinged { answer: pong, .. }) => {
                let pong = pong.map(|(contact, rtt)| Pong { contact, rtt });
                let _ = answer.send(pong.ok_or(Error::Unreachable));
            }
            (Task::Lookup { answer, .. }, Event::FoundNodes { trace, .. }) => {
                let _ = answer.send(Ok(lookup_of(trace, now)));
            }
            (Task::Find { call }, Event::FoundValues { trace, .. }) => return self.found(call, trace),
            (Task::Store { call, places }, Event::Stored { receipt, .. }) => {
                let Some(pending) = self.stores.get_mut(&call) else { return Next::Nothing };
                pending.progress(&places, |item| {
                    note_item(item, receipt, now);
                    item.complete = !receipt.trace().timed_out();
                });
                pending.enough(&places);
                if pending.is_answered() {
                    self.stores.remove(&call);
                }
            }
            (Task::Cache { digest }, _) => drop(self.pinned.remove(&digest)),
            (Task::Join, Event::Joined { answered, .. }) => return Next::Joined(*answered),
            _ => {}
        }
        Next::Nothing
    }

    fn quorum(&mut self, operation: kad_core::OperationId, copies: usize) {
        let Some(Task::Store { call, places }) = self.by_operation.get(&operation) else { return };
        let Some(pending) = self.stores.get_mut(call) else { return };
        pending.progress(places, |item| {
            let local = item.copies - item.elsewhere;
            (item.elsewhere, item.copies) = (copies, copies + local);
        });
        pending.enough(places);
        if pending.is_answered() {
            self.stores.remove(call);
        }
    }

    /// A find has ended: the stream of its values ends, with an error if nobody could say anything.
    fn found(&mut self, call: crate::command::CallId, trace: &Trace<'_>) -> Next {
        let Some(find) = self.finds.remove(&call) else { return Next::Nothing };
        if find.found() == 0 {
            let error = match (trace.timed_out(), trace.requests() > 0 && trace.closest().next().is_none()) {
                (true, _) => Some(Error::Timeout),
                (_, true) => Some(Error::Unreachable),
                _ => None,
            };
            if let Some(error) = error {
                let _ = find.values.send(Err(error));
            }
            return Next::Nothing;
        }
        let Some((header, bytes)) = find.first else { return Next::Nothing };
        let lacked = trace.steps().find(|step| step.state == Walk::Answered && !step.had_value);
        match lacked {
            Some(step) if !find.options.all && header.ttl_ms > 0 => {
                self.pinned.insert(header.digest, bytes);
                let header = ItemHeader { flags: header.flags | item_flags::CACHED, inline_len: 0, ..header };
                Next::Copy(CopyFor { holder: step.contact, key: find.key, header })
            }
            _ => Next::Nothing,
        }
    }
}
