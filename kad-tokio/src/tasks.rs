//! What the worker remembers of calls and of its own undertakings, until the core says what became of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use kad_core::{FindOptions, Held, OperationId};
use kad_wire::{Contact, Digest, ItemHeader, Key, Sink};
use tokio::sync::mpsc;

use crate::command::{Answer, CallId};
use crate::error::Error;
use crate::report::{Lookup, Pong, Receipt, Refused, Step, Value};

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

/// A store call.
pub(crate) struct StoreCall {
    answer: Option<Answer<Vec<Receipt>>>,
    receipts: Vec<Receipt>,
    /// Items whose operation has neither its quorum nor its end, by place.
    open: Vec<bool>,
}

impl StoreCall {
    pub(crate) fn new(items: &[(Key, Digest)], local: bool, answer: Answer<Vec<Receipt>>) -> Self {
        let receipt = |(key, digest): &(Key, Digest)| Receipt {
            key: *key,
            digest: *digest,
            copies: usize::from(local),
            elsewhere: 0,
            refused: Vec::new(),
            silent: Vec::new(),
            complete: false,
            requests: 0,
            duration: Duration::ZERO,
        };
        Self { answer: Some(answer), receipts: items.iter().map(receipt).collect(), open: vec![true; items.len()] }
    }

    /// Notes what is known of some of the items.
    pub(crate) fn progress(&mut self, places: &[usize], update: impl Fn(&mut Receipt)) {
        for &place in places {
            if let Some(receipt) = self.receipts.get_mut(place) {
                update(receipt);
            }
        }
    }

    /// These items have what was waited for; when all have, the call is answered.
    pub(crate) fn enough(&mut self, places: &[usize]) {
        for &place in places {
            if let Some(open) = self.open.get_mut(place) {
                *open = false;
            }
        }
        if !self.open.contains(&true)
            && let Some(answer) = self.answer.take()
        {
            // A caller that has gone away does not want it.
            let _ = answer.send(Ok(std::mem::take(&mut self.receipts)));
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_none()
    }
}

/// A find call.
pub(crate) struct FindCall {
    pub(crate) key: Key,
    pub(crate) options: FindOptions,
    pub(crate) values: mpsc::UnboundedSender<Result<Value, Error>>,
    /// What was handed out, so that the own store's values do not come twice.
    seen: HashSet<Digest>,
    /// The first value, for a copy at the closest node that did not have it.
    pub(crate) first: Option<(ItemHeader, Bytes)>,
}

impl FindCall {
    pub(crate) fn new(key: Key, options: FindOptions, values: mpsc::UnboundedSender<Result<Value, Error>>) -> Self {
        Self { key, options, values, seen: HashSet::new(), first: None }
    }

    /// Hands a value out, unless it came before or the first was enough.
    pub(crate) fn hand_out(&mut self, header: &ItemHeader, bytes: Bytes, origin: &Contact) {
        if (!self.options.all && !self.seen.is_empty()) || !self.seen.insert(header.digest) {
            return;
        }
        self.first.get_or_insert_with(|| (*header, bytes.clone()));
        let value = Value {
            bytes,
            origin: origin.id,
            item_type: header.item_type,
            digest: header.digest,
            age: Duration::from_millis(header.age_ms.into()),
            ttl: Duration::from_millis(header.ttl_ms.into()),
        };
        // A caller that has gone away does not want it.
        let _ = self.values.send(Ok(value));
    }

    pub(crate) fn found(&self) -> usize {
        self.seen.len()
    }
}

/// Everything that is under way.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) by_operation: HashMap<OperationId, Task>,
    pub(crate) stores: HashMap<CallId, StoreCall>,
    pub(crate) finds: HashMap<CallId, FindCall>,
    /// Bytes that are not in the store and that operations still need.
    pub(crate) pinned: HashMap<Digest, Bytes>,
}

impl Tasks {
    /// Operations that run for a call.
    pub(crate) fn operations_of(&self, call: CallId) -> Vec<OperationId> {
        let of_call = |task: &Task| match task {
            Task::Store { call: of, .. }
            | Task::Find { call: of }
            | Task::Ping { call: of, .. }
            | Task::Lookup { call: of, .. } => *of == call,
            _ => false,
        };
        self.by_operation.iter().filter(|(_, task)| of_call(task)).map(|(operation, _)| *operation).collect()
    }

    /// Ends every call with [`Error::Closed`]. Answers with their operations.
    pub(crate) fn drop_calls(&mut self) -> Vec<OperationId> {
        for (_, find) in self.finds.drain() {
            let _ = find.values.send(Err(Error::Closed));
        }
        // Whoever waits for one of these sees that nobody will answer any more.
        self.stores.clear();
        let is_call = |task: &Task| {
            matches!(task, Task::Store { .. } | Task::Find { .. } | Task::Ping { .. } | Task::Lookup { .. })
        };
        self.by_operation.extract_if(|_, task| is_call(task)).map(|(operation, _)| operation).collect()
    }
}

/// Collects what a find in the own store hands out.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) items: Vec<(ItemHeader, Vec<u8>)>,
}

impl Sink for Collected {
    fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        self.items.push((*header, vec![0; header.total_len as usize]));
        self.items.last_mut().map(|(_, bytes)| &mut bytes[..])
    }
}

/// A lookup as callers see it.
pub(crate) fn lookup_of(trace: &kad_core::Trace<'_>, now: kad_wire::Instant) -> Lookup {
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

/// What a store says of one of its items.
pub(crate) fn note_item(receipt: &mut Receipt, of_operation: &kad_core::Receipt<'_>, now: kad_wire::Instant) {
    let of_item = of_operation.items().find(|item| item.key == receipt.key && item.digest == receipt.digest);
    let Some(of_item) = of_item else { return };
    let local = receipt.copies - receipt.elsewhere;
    (receipt.elsewhere, receipt.copies) = (of_item.copies, of_item.copies + local);
    receipt.refused.clear();
    receipt.silent.clear();
    for (contact, held) in of_item.holders() {
        match held {
            Held::Refused(status) => receipt.refused.push(Refused { contact, status }),
            Held::Silent => receipt.silent.push(contact),
            Held::Yes | Held::NotAsked => {}
        }
    }
    receipt.requests = of_operation.trace().requests();
    receipt.duration = of_operation.trace().duration(now);
}
