//! A node's memory in vectors, for homes with an allocator.

use alloc::vec;
use alloc::vec::Vec;

use kad_wire::NodeId;

use crate::bucket::ContactSlot;
use crate::config::{Config, ConfigError};
use crate::memory::{CELLS, Head, Memory};
use crate::node::Node;
use crate::operation::{Candidate, ItemSlot, Operation};
use crate::probe::Probes;
use crate::table::Row;
use crate::transfer::Transfer;

/// How much a node in [`Slabs`] can do at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Rows of the routing table.
    pub rows: usize,
    /// Spares per row, besides the k contacts.
    pub spares: usize,
    /// Operations at a time, to begin with.
    pub operations: usize,
    /// Operations at a time, at the most: see [`Slabs::grow`].
    pub operations_max: usize,
    /// Places of one shortlist; at least k, better half as many again.
    pub candidates: usize,
    /// Items that one operation handles; at most 32.
    pub items: usize,
    /// Values that are pulled or wait to be.
    pub transfers: usize,
    /// Values that are pulled at a time; at most 64.
    pub arena_rows: usize,
}

impl Capacity {
    /// For a server: lookups as short as with a full table up to millions of nodes, hundreds of operations at a time.
    pub const SERVER: Self = Self {
        rows: 24,
        spares: 4,
        operations: 2,
        operations_max: 1024,
        candidates: 32,
        items: 32,
        transfers: 64,
        arena_rows: 32,
    };

    /// For a member that does a few things at a time: a desktop program, one of many nodes in a process.
    pub const SMALL: Self = Self {
        rows: 16,
        spares: 2,
        operations: 4,
        operations_max: 64,
        candidates: 32,
        items: 16,
        transfers: 16,
        arena_rows: 4,
    };
}

/// A node that owns its memory. [`node`](Self::node) is the node, as often as it is needed.
///
/// ```
/// # use kad_core::{Capacity, Config, Instant, Key, NodeId, Slabs};
/// let id = NodeId::from_bytes([7; 32]);
/// let mut slabs = Slabs::new(id, &Config::default(), &[1; 32], Capacity::SMALL)?;
/// let now = Instant::ZERO;
/// slabs.node().find_node(now, now.plus_millis(5000), Key::hash("somebody"))?;
/// assert!(slabs.node().poll_event().is_some(), "nobody is known: the lookup is over");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Slabs {
    head: Head,
    rows: Vec<Row>,
    contacts: Vec<ContactSlot>,
    operations: Vec<Operation>,
    candidates: Vec<Candidate>,
    items: Vec<ItemSlot>,
    transfers: Vec<Transfer>,
    arena: Vec<u8>,
    capacity: Capacity,
}

impl Slabs {
    /// Makes a node with this capacity.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting makes no sense or does not fit the capacity.
    pub fn new(id: NodeId, config: &Config, seed: &[u8; 32], capacity: Capacity) -> Result<Self, ConfigError> {
        let width = usize::from(config.k) + capacity.spares;
        let cells = CELLS - Probes::CELLS - capacity.transfers.min(CELLS / 2);
        let mut slabs = Self {
            head: Head::EMPTY,
            rows: vec![Row::EMPTY; capacity.rows],
            contacts: vec![ContactSlot::EMPTY; capacity.rows * width],
            operations: vec![Operation::EMPTY; capacity.operations],
            candidates: vec![Candidate::EMPTY; capacity.operations * capacity.candidates],
            items: vec![ItemSlot::EMPTY; capacity.operations * capacity.items],
            transfers: vec![Transfer::EMPTY; capacity.transfers],
            // Zeroed pages that nobody touches cost nothing.
            arena: vec![0; capacity.arena_rows * config.value_max as usize],
            capacity: Capacity {
                operations_max: capacity.operations_max.min(cells / capacity.candidates.max(1)),
                ..capacity
            },
        };
        Node::new(id, config, seed, slabs.memory())?;
        Ok(slabs)
    }

    fn memory(&mut self) -> Memory<'_> {
        Memory {
            head: &mut self.head,
            rows: &mut self.rows,
            contacts: &mut self.contacts,
            operations: &mut self.operations,
            candidates: &mut self.candidates,
            items: &mut self.items,
            transfers: &mut self.transfers,
            arena: &mut self.arena,
        }
    }

    /// The node.
    pub fn node(&mut self) -> Node<'_> {
        Node::over(self.memory())
    }

    /// Doubles the places for operations, up to the capacity's maximum. Answers whether there are more now. What is under
    /// way is not disturbed. Only the owner's own operations need places, so no peer can make a node grow.
    pub fn grow(&mut self) -> bool {
        let (before, after) = (self.operations.len(), (self.operations.len() * 2).min(self.capacity.operations_max));
        if after <= before {
            return false;
        }
        let (candidates, items) = (self.candidates.len() / before, self.items.len() / before);
        self.operations.resize(after, Operation::EMPTY);
        self.candidates.resize(after * candidates, Candidate::EMPTY);
        self.items.resize(after * items, ItemSlot::EMPTY);
        Node::resume(self.memory()).is_some()
    }

    /// Bytes that this node uses, without pages of the arena that nothing was ever written to.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&self.rows[..])
            + size_of_val(&self.contacts[..])
            + size_of_val(&self.operations[..])
            + size_of_val(&self.candidates[..])
            + size_of_val(&self.items[..])
            + size_of_val(&self.transfers[..])
    }
}
