//! What the core says of operations, brought to whoever waits for it.

use bytes::Bytes;
use kad_core::{Event, FindEnd, OperationId, Receipt, Trace, Walk};
use kad_wire::{Contact, Digest, Instant, ItemHeader, Key, StoreMode, item_flags};

use kad_record::{Command, Input};

use super::{Parts, Worker};
use crate::error::{Error, Gap};
use crate::report::Pong;
use crate::tasks::{CallId, Task, Tasks, lookup_of, note_item};

/// How long leaving a copy may take.
const CACHE_LIMIT_MS: u64 = 5_000;
/// Copies that are left at a time: they are a courtesy, and what the owner asks for comes first.
const CACHE_WIDTH: usize = 4;

/// A value that was found, and the closest node that did not have it.
struct CopyFor {
    holder: Contact,
    key: Key,
    header: ItemHeader,
    bytes: Bytes,
}

/// What follows from an event beyond its answer.
enum Next {
    Nothing,
    Joined(usize),
    Copy(CopyFor),
    Unpin(Digest),
}

impl Worker {
    /// Takes in everything that has ended, and says whether anything has.
    pub(super) fn take_events(&mut self) -> bool {
        let mut ended = false;
        loop {
            let (now, has_network) = (self.now(), self.parts.reach.has_network());
            let Parts { slabs, recorder, .. } = &mut self.parts;
            let mut node = slabs.node();
            let Some(event) = node.poll_event() else { break };
            if let Some(recorder) = recorder {
                recorder.said(event.operation().to_bits());
                recorder.note(now, Input::Event);
            }
            self.observer.ended(now, &event, &self.tasks);
            let is_end = !matches!(event, Event::Quorum { .. });
            let next = match self.upkeep.ended(event.operation()) {
                true => Next::Nothing,
                false => self.tasks.take(now, &event, has_network),
            };
            if is_end {
                self.pace.ended(self.parts.slabs.node().stats());
            }
            ended = true;
            match next {
                Next::Nothing => {}
                Next::Joined(answered) => self.join_ended(answered),
                Next::Copy(copy) if self.parts.cache_found => self.leave_copy(copy),
                Next::Copy(_) => {}
                Next::Unpin(digest) => self.unpin(digest),
            }
        }
        ended
    }

    /// Leaves a copy at the closest node that did not have the value (paper, section 2.3).
    fn leave_copy(&mut self, copy: CopyFor) {
        let CopyFor { holder, key, header, bytes } = copy;
        if self.parts.store.pinned() >= CACHE_WIDTH {
            return;
        }
        let items = [(key, header)];
        let until = self.now().plus_millis(CACHE_LIMIT_MS);
        let store = Command::StoreAt { until, mode: StoreMode::Cache, items: items.into(), holders: vec![holder] };
        let started = self.start(store);
        // Without a place there is no copy.
        if let Ok(operation) = started {
            self.pin(header.digest, bytes);
            self.tasks.begin(operation, Task::Cache { digest: header.digest });
        }
    }
}

impl Tasks {
    /// Brings an event to its task. Whether there is somebody to reach at all is for the worker to know.
    fn take(&mut self, now: Instant, event: &Event<'_>, has_network: bool) -> Next {
        let operation = event.operation();
        if let Event::Quorum { receipt, .. } = event {
            self.quorum(now, operation, receipt);
            return Next::Nothing;
        }
        let Some(task) = self.end(operation) else { return Next::Nothing };
        match (task, event) {
            (Task::Ping { answer, .. }, Event::Pinged { answer: pong, .. }) => {
                let pong = pong.map(|(contact, rtt)| Pong { contact, rtt });
                answer.send(pong.ok_or(Error::Unreachable));
            }
            (Task::Lookup { answer, .. }, Event::FoundNodes { trace, .. }) => {
                let lookup = lookup_of(trace, now);
                let is_alone = trace.coverage().nearest == 0 && !has_network;
                let nobody = lookup.closest().next().is_none() && !is_alone;
                answer.send(if nobody { Err(Error::Unreachable) } else { Ok(lookup) });
            }
            (Task::Find { call }, Event::FoundValues { trace, end, holders, .. }) => {
                if let Some(find) = self.finds.get_mut(&call) {
                    find.holders = holders.counts().collect();
                }
                return self.found(call, trace, *end, has_network);
            }
            (Task::Store { call, places }, Event::Stored { receipt, .. }) => {
                let Some(pending) = self.stores.get_mut(&call) else { return Next::Nothing };
                pending.batch_ended();
                pending.progress(&places, |item| note_item(item, receipt, now, Some(has_network)));
                pending.enough(&places);
                match (pending.is_over(), pending.has_batches()) {
                    (true, _) => self.end_store(call),
                    (_, true) => drop(self.unfinished.insert(call)),
                    _ => {}
                }
            }
            (Task::Cache { digest }, _) => return Next::Unpin(digest),
            (Task::Join, Event::Joined { answered, .. }) => return Next::Joined(*answered),
            _ => {}
        }
        Next::Nothing
    }

    fn quorum(&mut self, now: Instant, operation: OperationId, receipt: &Receipt<'_>) {
        let Some(Task::Store { call, places }) = self.get(operation) else { return };
        let (call, places) = (*call, places.clone());
        let Some(pending) = self.stores.get_mut(&call) else { return };
        pending.progress(&places, |item| note_item(item, receipt, now, None));
        pending.enough(&places);
    }

    /// A find has ended, and so does the stream of its values: with an error if there may be more.
    fn found(&mut self, call: CallId, trace: &Trace<'_>, end: FindEnd, has_network: bool) -> Next {
        let Some(find) = self.finds.remove(&call) else { return Next::Nothing };
        find.end(match end {
            _ if find.has_enough() => Ok(()),
            FindEnd::Alone if has_network => Err(Error::Unreachable),
            FindEnd::Complete | FindEnd::Alone => Ok(()),
            FindEnd::Unreachable => Err(Error::Unreachable),
            FindEnd::Unfetched(unfetched) => Err(Error::Incomplete(gap(trace, unfetched))),
            FindEnd::TooFewAnswered => Err(Error::Incomplete(gap(trace, 0))),
            FindEnd::Truncated => Err(Error::Truncated),
            FindEnd::TimedOut => Err(Error::Timeout),
        });
        let Some((header, bytes)) = find.first else { return Next::Nothing };
        let lacked = trace.steps().find(|step| step.state == Walk::Answered && !step.had_value);
        match lacked {
            Some(step) if !find.options.all && header.ttl_ms > 0 => {
                let header = ItemHeader { flags: header.flags | item_flags::CACHED, inline_len: 0, ..header };
                Next::Copy(CopyFor { holder: step.contact, key: find.key, header, bytes })
            }
            _ => Next::Nothing,
        }
    }
}

fn gap(trace: &Trace<'_>, unfetched: usize) -> Gap {
    let coverage = trace.coverage();
    Gap { nearest: coverage.nearest.into(), answered: coverage.answered.into(), unfetched }
}
