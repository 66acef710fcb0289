//! Tells those who watch how operations go and who comes and goes. Without watchers it does nothing.

use std::collections::HashMap;
use std::sync::Arc;

use kad_core::{Event, Held, Node, OperationId, Receipt, Step, Trace, Walk};
use kad_wire::{Contact, Instant, Key, NodeId};

use crate::feed::{Copied, Feed, NodeEvent, Purpose};
use crate::report::Peer;
use crate::tasks::{Task, Tasks, lookup_of};

/// See the [module](self).
pub(crate) struct Observer {
    feed: Arc<Feed>,
    /// Whether this worker's table is the one that is told of: each has one, and tells the others whom it meets.
    tells_contacts: bool,
    /// True if somebody watched when this was last asked.
    watched: bool,
    /// What was told of each operation that is under way.
    told: HashMap<OperationId, Told>,
    /// Who was in the table when it was last looked at; `None` while nobody watches.
    contacts: Option<HashMap<NodeId, Contact>>,
    /// The counters of the table at that time.
    changes: [u64; 4],
    /// Operations that have changed.
    changed: Vec<OperationId>,
    /// What is to be said at the end of this turn.
    news: Vec<NodeEvent>,
}

struct Told {
    number: u64,
    purpose: Purpose,
    key: Key,
    /// How far it is with each that it has asked, in that order.
    states: Vec<Walk>,
}

impl Told {
    /// Notes how far the operation is with a node, and returns true if that is new.
    fn is_new(&mut self, step: &Step) -> bool {
        let Some(place) = usize::from(step.order).checked_sub(1) else { return false };
        if place >= self.states.len() {
            self.states.resize(place + 1, Walk::Unasked);
        }
        std::mem::replace(&mut self.states[place], step.state) != step.state
    }
}

impl Observer {
    pub(crate) fn new(feed: Arc<Feed>, tells_contacts: bool) -> Self {
        Self {
            feed,
            tells_contacts,
            watched: false,
            told: HashMap::new(),
            contacts: None,
            changes: [0; 4],
            changed: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Looks at what has changed, and says what is new.
    pub(super) fn look(&mut self, now: Instant, node: &mut Node<'_>, tasks: &mut Tasks) {
        let was_watched = std::mem::replace(&mut self.watched, self.feed.is_watched());
        if !self.watched {
            tasks.cancelled.clear();
            self.news.clear();
            if was_watched {
                self.told.clear();
                self.contacts = None;
                self.feed.forget();
            }
            return;
        }
        if self.tells_contacts {
            self.look_at_contacts(now, node);
        }
        self.say_who_was_cancelled(tasks);
        self.changed.extend(std::iter::from_fn(|| node.poll_changed()));
        if !was_watched {
            // Of these nothing was told yet, whether or not they have changed.
            self.changed.extend(tasks.under_way().map(|(operation, _)| operation));
        }
        while let Some(operation) = self.changed.pop() {
            if let (Some(task), Some(trace)) = (tasks.get(operation), node.progress(operation)) {
                self.look_at_operation(now, operation, task, &trace);
            }
        }
        self.feed.say(&mut self.news);
    }

    fn look_at_operation(&mut self, now: Instant, operation: OperationId, task: &Task, trace: &Trace<'_>) {
        let told = begun(&mut self.told, &mut self.news, &self.feed, operation, task, trace);
        for step in trace.steps().filter(|step| step.state != Walk::Unasked) {
            if told.is_new(&step) {
                self.news.push(progress(told, step, trace, now));
            }
        }
    }

    /// An operation has ended: says how it went.
    pub(super) fn ended(&mut self, now: Instant, event: &Event<'_>, tasks: &Tasks) {
        if !self.feed.is_watched() {
            return;
        }
        let operation = event.operation();
        let (trace, receipt) = match event {
            Event::FoundNodes { trace, .. } | Event::FoundValues { trace, .. } => (*trace, None),
            Event::Stored { receipt, .. } => (receipt.trace(), Some(receipt)),
            Event::Joined { answered, .. } => {
                self.told.remove(&operation);
                return self.news.push(NodeEvent::Joined { answered: *answered });
            }
            Event::Pinged { .. } => return drop(self.told.remove(&operation)),
            // A quorum is not an end; leaving has no task.
            Event::Quorum { .. } | Event::Left { .. } => return,
        };
        let Some(task) = tasks.get(operation) else { return };
        begun(&mut self.told, &mut self.news, &self.feed, operation, task, &trace);
        let Some(Told { number, purpose, .. }) = self.told.remove(&operation) else { return };
        let (lookup, stored) = (lookup_of(&trace, now), receipt.map(copies_of).unwrap_or_default());
        self.news.push(NodeEvent::Ended { operation: number, purpose, lookup, stored });
    }

    fn say_who_was_cancelled(&mut self, tasks: &mut Tasks) {
        for operation in tasks.cancelled.drain(..) {
            let Some(Told { number: operation, purpose, key, .. }) = self.told.remove(&operation) else { continue };
            self.news.push(NodeEvent::Cancelled { operation, purpose, key });
        }
    }

    /// Compares the routing table with what it was, if it may have changed.
    fn look_at_contacts(&mut self, now: Instant, node: &Node<'_>) {
        let stats = node.stats();
        let changes = [stats.contacts_added, stats.contacts_lost, stats.contacts_moved, stats.identities_changed];
        if self.contacts.is_some() && self.changes == changes {
            return;
        }
        self.changes = changes;
        let present: HashMap<_, _> = node.contacts().map(|known| (known.contact.id, known.contact)).collect();
        let Some(before) = self.contacts.replace(present) else { return };
        let Some(present) = &self.contacts else { return };
        // One that has moved is lost at one address and comes at another.
        for lost in before.values().filter(|contact| present.get(&contact.id) != Some(contact)) {
            self.news.push(NodeEvent::ContactLost(*lost));
        }
        for known in node.contacts().filter(|known| before.get(&known.contact.id) != Some(&known.contact)) {
            self.news.push(NodeEvent::ContactAdded(Peer::new(&known, now)));
        }
    }
}

/// What was told of an operation. If that is nothing, that it has begun.
fn begun<'t>(
    told: &'t mut HashMap<OperationId, Told>,
    news: &mut Vec<NodeEvent>,
    feed: &Feed,
    operation: OperationId,
    task: &Task,
    trace: &Trace<'_>,
) -> &'t mut Told {
    told.entry(operation).or_insert_with(|| {
        let (number, purpose, key) = (feed.number(), task.purpose(), *trace.target());
        news.push(NodeEvent::Began { operation: number, purpose, key });
        Told { number, purpose, key, states: Vec::new() }
    })
}

fn progress(told: &Told, step: Step, trace: &Trace<'_>, now: Instant) -> NodeEvent {
    NodeEvent::Step { operation: told.number, key: told.key, step, after: trace.duration(now) }
}

fn copies_of(receipt: &Receipt<'_>) -> Vec<Copied> {
    let count = |item: kad_core::ItemReceipt<'_>| {
        let mut copied = Copied { key: item.key, digest: item.digest, elsewhere: item.copies, refused: 0, silent: 0 };
        for (_, held) in item.holders() {
            copied.refused += usize::from(matches!(held, Held::Refused(_)));
            copied.silent += usize::from(matches!(held, Held::Silent | Held::Asked));
        }
        copied
    };
    receipt.items().map(count).collect()
}
