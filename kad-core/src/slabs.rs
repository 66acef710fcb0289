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

/// A full row splits once more for the same contact if its k contacts and the new one share the next bit too, which happens
/// once in 2^k. So many of these bits in a row are not to be expected.
const SPLITS: usize = 16;

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
    /// Rows of the table that are open beyond those in use: as many as may be split off for one contact.
    ahead: usize,
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
        let (mut rows, mut contacts) =
            (Vec::with_capacity(capacity.rows), Vec::with_capacity(capacity.rows.saturating_mul(width)));
        let ahead = (SPLITS / usize::from(config.k.max(1))).max(1);
        let first = (1 + ahead).min(capacity.rows);
        rows.resize(first, Row::EMPTY);
        contacts.resize(first * width, ContactSlot::EMPTY);
        let mut slabs = Self {
            head: Head::EMPTY,
            rows,
            contacts,
            operations: vec![Operation::EMPTY; capacity.operations],
            candidates: vec![Candidate::EMPTY; capacity.operations * capacity.candidates],
            items: vec![ItemSlot::EMPTY; capacity.operations * capacity.items],
            transfers: vec![Transfer::EMPTY; capacity.transfers],
            // Zeroed pages that nobody touches cost nothing.
            arena: vec![0; capacity.arena_rows * config.value_max as usize],
            ahead,
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
        let wanted = (usize::from(self.head.depth) + self.ahead).min(self.capacity.rows);
        if self.rows.len() < wanted {
            self.open_rows(wanted);
        }
        Node::over(self.memory())
    }

    /// Opens rows of the table, in memory that is there since the node was made: most tables never need all, and pages that
    /// nobody touches cost nothing.
    #[cold]
    fn open_rows(&mut self, wanted: usize) {
        let width = self.contacts.len() / self.rows.len();
        self.rows.resize(wanted, Row::EMPTY);
        self.contacts.resize(wanted * width, ContactSlot::EMPTY);
        let _same = Node::resume(self.memory());
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

    /// Bytes that this node uses, without rows of the table and of the arena that were never needed.
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

#[cfg(test)]
mod tests {
    use kad_wire::{Contact, Instant, Key};

    use super::*;

    #[test]
    fn the_table_opens_as_many_rows_as_it_needs_in_memory_that_was_there() {
        let id = NodeId::from_bytes([0; 32]);
        let mut slabs = Slabs::new(id, &Config::default(), &[1; 32], Capacity::SERVER).unwrap();
        let (idle, place, room) = (slabs.size(), slabs.contacts.as_ptr(), slabs.contacts.capacity());
        let width = room / Capacity::SERVER.rows;
        for number in 0..20_000u64 {
            let id = NodeId::from_bytes(*Key::hash_int(number).as_bytes());
            let endpoint = std::net::SocketAddr::from(([10, 0, 0, 1], 1 + (number % 60_000) as u16)).into();
            slabs.node().introduce(Instant::from_micros(1 + number), &Contact { id, endpoint }, crate::Via::ANY, None);
        }
        slabs.node().check();
        // log2(20,000 / 20) rows are about ten.
        assert!((9..14).contains(&slabs.rows.len()), "{} rows", slabs.rows.len());
        assert_eq!((slabs.contacts.as_ptr(), slabs.contacts.capacity()), (place, room), "nothing was asked for");
        let row = width * size_of::<ContactSlot>() + size_of::<Row>();
        assert_eq!(slabs.size() - idle, (slabs.rows.len() - 2) * row, "one was used, and one was for it to split into");
    }

    /// The same contacts to a node whose rows are all open from the start: the same table.
    #[test]
    fn a_row_that_splits_several_times_for_one_contact_finds_rows_to_split_into() {
        for k in [1u8, 2, 4, 20] {
            let id = NodeId::from_bytes([0; 32]);
            let config = Config { k, ..Config::default() };
            let depth = |opened: bool| {
                let mut slabs = Slabs::new(id, &config, &[1; 32], Capacity::SERVER).unwrap();
                if opened {
                    slabs.ahead = Capacity::SERVER.rows;
                }
                for number in 0..4_000u64 {
                    // Mostly near, so that rows split.
                    let mut bytes = *Key::hash_int(number).as_bytes();
                    bytes[0] = bytes[0].checked_shr(number as u32 % 9).unwrap_or(0);
                    let id = NodeId::from_bytes(bytes);
                    let endpoint = std::net::SocketAddr::from(([10, 0, 0, 1], 1 + number as u16)).into();
                    slabs.node().introduce(
                        Instant::from_micros(1 + number),
                        &Contact { id, endpoint },
                        crate::Via::ANY,
                        None,
                    );
                }
                let known: Vec<_> = slabs.node().contacts().map(|known| known.contact).collect();
                (slabs.head.depth, known)
            };
            assert_eq!(depth(false), depth(true), "k = {k}");
        }
    }

    #[test]
    fn operations_that_have_changed_are_told_once() {
        let id = NodeId::from_bytes([0; 32]);
        let mut slabs = Slabs::new(id, &Config::default(), &[1; 32], Capacity::SMALL).unwrap();
        let (now, mut buffer) = (Instant::from_micros(1), [0; 2048]);
        let endpoint = std::net::SocketAddr::from(([10, 0, 0, 1], 9000)).into();
        slabs.node().introduce(now, &Contact { id: NodeId::from_bytes([1; 32]), endpoint }, crate::Via::ANY, None);
        let changed = |slabs: &mut Slabs| {
            slabs.node().check();
            let mut changed: Vec<_> = core::iter::from_fn(|| slabs.node().poll_changed()).collect();
            changed.sort_unstable();
            changed
        };
        let start = |slabs: &mut Slabs, number| {
            slabs.node().find_node(now, now.plus_millis(5000), Key::hash_int(number)).unwrap()
        };
        let begun = [start(&mut slabs, 1), start(&mut slabs, 2)];
        assert_eq!(changed(&mut slabs), begun);
        assert_eq!(changed(&mut slabs), []);
        assert!(slabs.node().poll_transmit(now, &mut buffer).is_some());
        assert_eq!(changed(&mut slabs).len(), 1, "one of them has asked somebody");
        // A place that is used again is told as what it is now, and growth forgets nothing.
        slabs.node().cancel(now, begun[0]);
        let third = start(&mut slabs, 3);
        assert!(slabs.grow());
        assert_eq!(changed(&mut slabs), [third]);
    }

    #[test]
    fn the_table_opens_no_more_rows_than_there_are() {
        let id = NodeId::from_bytes([0; 32]);
        let capacity = Capacity { rows: 3, ..Capacity::SMALL };
        let mut slabs = Slabs::new(id, &Config::default(), &[1; 32], capacity).unwrap();
        for number in 0..2_000u64 {
            let id = NodeId::from_bytes(*Key::hash_int(number).as_bytes());
            let endpoint = std::net::SocketAddr::from(([10, 0, 0, 1], 1 + number as u16)).into();
            slabs.node().introduce(Instant::from_micros(1 + number), &Contact { id, endpoint }, crate::Via::ANY, None);
        }
        slabs.node().check();
        assert_eq!(slabs.rows.len(), 3);
    }
}
