//! Finds.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use kad_core::FindOptions;
use kad_wire::{Contact, Digest, ItemHeader, Key, Sink};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::places::Place;
use crate::report::Value;

/// What a find tells its caller: values, and how it ended. A channel that closes without an end means that the node is
/// gone.
#[derive(Debug)]
pub(crate) enum Found {
    Value(Value),
    /// How it ended, and how many other nodes had which value.
    End(Result<(), Error>, Vec<(Digest, usize)>),
}

/// A find call.
#[derive(Debug)]
pub(crate) struct FindCall {
    pub(crate) key: Key,
    pub(crate) options: FindOptions,
    caller: mpsc::UnboundedSender<Found>,
    _place: Place,
    /// What was handed out, so that the own store's values do not come twice.
    seen: HashSet<Digest>,
    /// The first value, for a copy at the closest node that did not have it.
    pub(crate) first: Option<(ItemHeader, Bytes)>,
    /// How many of the nodes that answered had which value.
    pub(crate) holders: Vec<(Digest, usize)>,
}

impl FindCall {
    pub(crate) fn new(key: Key, options: FindOptions, caller: mpsc::UnboundedSender<Found>, place: Place) -> Self {
        Self { key, options, caller, _place: place, seen: HashSet::new(), first: None, holders: Vec::new() }
    }

    /// Hands a value out, unless it came before or the first was enough.
    pub(crate) fn hand_out(&mut self, header: &ItemHeader, bytes: Bytes, origin: &Contact) {
        if self.has_enough() || !self.seen.insert(header.digest) {
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
        let _ = self.caller.send(Found::Value(value));
    }

    /// Whether the caller has what it asked for.
    pub(crate) fn has_enough(&self) -> bool {
        !self.options.all && !self.seen.is_empty()
    }

    /// Tells the caller that nothing more will come.
    pub(crate) fn end(&self, how: Result<(), Error>) {
        let _ = self.caller.send(Found::End(how, self.holders.clone()));
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
