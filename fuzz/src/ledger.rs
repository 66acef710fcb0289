//! What a node has promised its owner: each operation that was started ends with one event of its kind, unless it is cancelled,
//! and values come only to whom asked for them.

use kad_core::{Event, OperationId, Values};
use kad_wire::{Digest, Endpoint, Key};

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Ping,
    Join,
    FindNode,
    FindValue { key: Key, all: bool },
    Store { quorum: u8, items: usize },
    Leave,
}

#[derive(Debug)]
struct Promise {
    operation: OperationId,
    asked: Asked,
    /// Values that came, none of them twice.
    values: Vec<Digest>,
    quorum_told: bool,
}

/// The operations of one node's owner that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: Vec<Promise>,
}

impl Ledger {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes an operation that was started.
    pub(crate) fn started(&mut self, operation: OperationId, asked: Asked) {
        assert!(self.position(operation).is_none(), "two operations have one name");
        self.open.push(Promise { operation, asked, values: Vec::new(), quorum_told: false });
    }

    fn position(&self, operation: OperationId) -> Option<usize> {
        self.open.iter().position(|promise| promise.operation == operation)
    }

    /// The n-th operation that is open, if there is any.
    pub(crate) fn nth(&self, number: u8) -> Option<OperationId> {
        let count = self.open.len().max(1);
        self.open.get(usize::from(number) % count).map(|promise| promise.operation)
    }

    /// Forgets an operation: nothing more may be heard of it.
    pub(crate) fn cancelled(&mut self, operation: OperationId) {
        self.open.retain(|promise| promise.operation != operation);
    }

    /// Holds an event against what was asked for. Answers `false` when the operation is none of the owner's.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> bool {
        let Some(at) = self.position(event.operation()) else { return false };
        if let Event::Quorum { receipt, .. } = event {
            let promise = &mut self.open[at];
            let Asked::Store { quorum, .. } = promise.asked else { panic!("a quorum of {promise:?}") };
            assert!(quorum > 0 && receipt.copies() >= quorum.into(), "a quorum that is none");
            assert!(!std::mem::replace(&mut promise.quorum_told, true), "a quorum is told once");
            return true;
        }
        let promise = self.open.swap_remove(at);
        match (promise.asked, event) {
            (Asked::Ping, Event::Pinged { .. })
            | (Asked::Join, Event::Joined { .. })
            | (Asked::FindNode, Event::FoundNodes { .. })
            | (Asked::Leave, Event::Left { .. }) => {}
            (Asked::FindValue { .. }, Event::FoundValues { values, .. }) => {
                assert_eq!(*values, promise.values.len(), "as many values are counted as came");
            }
            (Asked::Store { items, .. }, Event::Stored { receipt, .. }) => {
                assert_eq!(receipt.items().count(), items, "a receipt tells of each item");
                for item in receipt.items() {
                    let held = item.holders().filter(|(_, held)| *held == kad_core::Held::Yes).count();
                    assert_eq!(item.copies, held, "as many copies are counted as holders say that they have it");
                }
            }
            (asked, event) => panic!("{asked:?} ended with {event:?}"),
        }
        true
    }

    /// What an operation looks for.
    pub(crate) fn key_of(&self, operation: OperationId) -> Key {
        match self.position(operation).map(|at| self.open[at].asked) {
            Some(Asked::FindValue { key, .. }) => key,
            other => panic!("{other:?} looks for no value"),
        }
    }

    /// Holds values against what was asked for.
    pub(crate) fn values(&mut self, from: &Endpoint, values: &Values<'_, '_>) {
        let at = self.position(values.operation);
        let promise = &mut self.open[at.expect("values come to an operation that is under way")];
        let Asked::FindValue { key, all } = promise.asked else { panic!("values for {promise:?}") };
        assert_eq!(values.origin.endpoint, *from, "values come from whoever sent them");
        for (header, bytes) in values.iter() {
            assert_eq!(header.verify(&key, bytes), Ok(()), "a value is what its key and digest say");
            assert!(!promise.values.contains(&header.digest), "a value comes once");
            promise.values.push(header.digest);
        }
        assert!(all || promise.values.len() <= 1, "the first value is one value");
    }
}
