//! The operations of a node as data.

use core::net::SocketAddr;
use core::time::Duration;

use kad_core::{FindOptions, Node, OperationId, Slabs, StartError};
use kad_wire::{Contact, Endpoint, Instant, ItemHeader, Key, StoreMode, TypeMask};
use serde::{Deserialize, Serialize};

/// An operation to start: see the methods of [`Node`] with these names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the arguments of the methods")]
pub enum Command {
    Ping { until: Instant, address: Endpoint },
    Join { until: Instant, addresses: Vec<Endpoint> },
    FindNode { until: Instant, target: Key },
    FindValue { until: Instant, key: Key, types: TypeMask, max_age: Option<Duration>, all: bool },
    Store { until: Instant, mode: StoreMode, quorum: u8, items: Vec<(Key, ItemHeader)> },
    StoreAt { until: Instant, mode: StoreMode, items: Vec<(Key, ItemHeader)>, holders: Vec<Contact> },
}

impl Command {
    /// A find with these options.
    pub fn find(until: Instant, key: Key, options: FindOptions) -> Self {
        Self::FindValue { until, key, types: options.types, max_age: options.max_age, all: options.all }
    }

    fn run(&self, node: &mut Node<'_>, now: Instant) -> Result<OperationId, StartError> {
        match self {
            Self::Ping { until, address } => node.ping(now, *until, (*address).into()),
            Self::Join { until, addresses } => {
                let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::from(*address)).collect();
                node.join(now, *until, &addresses)
            }
            Self::FindNode { until, target } => node.find_node(now, *until, *target),
            Self::FindValue { until, key, types, max_age, all } => {
                node.find_value(now, *until, *key, FindOptions { types: *types, max_age: *max_age, all: *all })
            }
            Self::Store { until, mode, quorum, items } => node.store(now, *until, *mode, *quorum, items),
            Self::StoreAt { until, mode, items, holders } => node.store_at(now, *until, *mode, items, holders),
        }
    }
}

/// Starts an operation, with more memory if need be.
///
/// # Errors
/// [`StartError`]; for lack of slots only when the capacity is exhausted.
pub fn start(slabs: &mut Slabs, now: Instant, command: &Command) -> Result<OperationId, StartError> {
    loop {
        match command.run(&mut slabs.node(), now) {
            Err(StartError::NoSlot) if slabs.grow() => {}
            result => return result,
        }
    }
}
