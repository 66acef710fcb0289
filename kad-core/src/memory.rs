//! A node's memory: everything it will ever use, handed in by its owner.

use kad_wire::{Contact, Instant, Key, NodeId};

use crate::arena::ArenaHead;
use crate::bucket::ContactSlot;
use crate::config::{ConfigError, Families, Settings};
use crate::estimate::Rtt;
use crate::lookup::Lookup;
use crate::node::Duplicates;
use crate::observed::Observed;
use crate::operation::{Candidate, ItemSlot, Operation};
use crate::probe::Probes;
use crate::schedule::{Schedule, ScheduleHead, Slot};
use crate::silence::Silences;
use crate::stats::Stats;
use crate::table::{Row, Table};
use crate::token::{Random, TokenKey};
use crate::transfer::Transfer;
use crate::wake::{Link, Wake};

/// Says that a head has been initialised: "kad", and a number that changes with the layout.
const MAGIC: u32 = u32::from_le_bytes(*b"kad\x01");

/// What a node keeps besides the rows of its slices. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
#[derive(Clone)]
pub struct Head {
    magic: u32,
    shape: Shape,
    pub(crate) id: NodeId,
    pub(crate) settings: Settings,
    pub(crate) tokens: TokenKey,
    pub(crate) random: Random,
    pub(crate) stats: Stats,
    pub(crate) depth: u16,
    pub(crate) schedule: ScheduleHead,
    pub(crate) upkeep: Wake,
    pub(crate) arena: ArenaHead,
    pub(crate) probes: Probes,
    pub(crate) silences: Silences,
    pub(crate) free_operations: FreeList,
    pub(crate) free_transfers: FreeList,
    pub(crate) first_event: Link,
    pub(crate) last_event: Link,
    pub(crate) first_changed: Link,
    /// Over all contacts: for those of whom nothing is known.
    pub(crate) rtt: Rtt,
    /// From STORE to STORED: a disk's commit is no part of a path's round trip.
    pub(crate) store_rtt: Rtt,
    /// From an offer to its bytes: how soon a place for another one is likely to be free.
    pub(crate) pull_time: Rtt,
    /// Chunks that were asked for and have not come.
    pub(crate) granted: u32,
    /// Whether an operation waits for a transfer's place.
    pub(crate) starved: bool,
    /// Whether a contact may be doubted or silent: saves looking at all of them.
    pub(crate) doubts: bool,
    /// Whether a bucket is being refreshed.
    pub(crate) refreshing: bool,
    /// Whether the last row must be looked at: it is new, or the node has just joined.
    pub(crate) survey: bool,
    /// Whether a contact may have come near that has not been told yet.
    pub(crate) newcomers: bool,
    /// Small paths that were found in a row. If they are several, unknown paths are tried with large and small datagrams at once.
    pub(crate) narrow: u8,
    /// Whether a path may have become small that has not been told yet.
    pub(crate) path_news: bool,
    /// Where the nodes that answered last saw this one.
    pub(crate) observed: Observed,
    /// Other nodes with this node's id.
    pub(crate) duplicates: Duplicates,
}

impl Head {
    /// A head that no node has used yet. All zero bits, so that a `static` costs no flash.
    pub const EMPTY: Self = Self {
        magic: 0,
        shape: Shape::EMPTY,
        id: NodeId::from_bytes([0; 32]),
        settings: Settings::EMPTY,
        tokens: TokenKey([0; 16]),
        random: Random { key: [0; 16], counter: 0 },
        stats: Stats::EMPTY,
        depth: 0,
        schedule: ScheduleHead::EMPTY,
        upkeep: Wake::EMPTY,
        arena: ArenaHead::EMPTY,
        probes: Probes::EMPTY,
        silences: Silences::EMPTY,
        free_operations: FreeList::EMPTY,
        free_transfers: FreeList::EMPTY,
        first_event: Link::NONE,
        last_event: Link::NONE,
        first_changed: Link::NONE,
        rtt: Rtt::UNKNOWN,
        store_rtt: Rtt::UNKNOWN,
        pull_time: Rtt::UNKNOWN,
        granted: 0,
        starved: false,
        doubts: false,
        refreshing: false,
        survey: false,
        newcomers: false,
        narrow: 0,
        path_news: false,
        observed: Observed::NOTHING,
        duplicates: Duplicates::EMPTY,
    };
}

/// Lengths of the slices, to recognise the memory of another node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    rows: u32,
    contacts: u32,
    operations: u32,
    candidates: u32,
    items: u32,
    transfers: u32,
    arena: u32,
}

impl Shape {
    const EMPTY: Self = Self { rows: 0, contacts: 0, operations: 0, candidates: 0, items: 0, transfers: 0, arena: 0 };
}

/// Whether there are no fewer rows than before, with as many places each.
fn is_grown((rows_before, rows): (u32, u32), (before, after): (u32, u32)) -> bool {
    rows >= rows_before && after.checked_div(rows) == before.checked_div(rows_before)
}

/// Places that were used and freed, last in first out; behind them, those that were never used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FreeList {
    pub(crate) first: Link,
    pub(crate) fresh: u16,
}

impl FreeList {
    pub(crate) const EMPTY: Self = Self { first: Link::NONE, fresh: 0 };
}

/// Everything a node will ever use, borrowed from its owner: the slices of a `static` [`block!`](crate::block) on a board,
/// of vectors on a server.
///
/// The lengths are the node's limits. A row of the table is `contacts.len() / rows.len()` slots: k, and the rest for
/// spares. An operation's shortlist is `candidates.len() / operations.len()` places, and it handles
/// `items.len() / operations.len()` items (at most 32). The arena is cut into rows of [`Config::value_max`] bytes, of which
/// at most 64 are used; at least one of them is kept for this node's own finds.
///
/// [`Config::value_max`]: crate::Config::value_max
pub struct Memory<'m> {
    /// The head.
    pub head: &'m mut Head,
    /// One per row of the routing table. About log2(N / k) + 2 rows keep lookups as short as a full table's 256.
    pub rows: &'m mut [Row],
    /// The contacts, a whole number per row.
    pub contacts: &'m mut [ContactSlot],
    /// Operations at a time: own ones, and one for the upkeep of the table.
    pub operations: &'m mut [Operation],
    /// The shortlists, a whole number of places per operation: at least k, better half as many again.
    pub candidates: &'m mut [Candidate],
    /// The items of operations, a whole number per operation.
    pub items: &'m mut [ItemSlot],
    /// Values that are pulled or wait to be.
    pub transfers: &'m mut [Transfer],
    /// Where pulled values are put together.
    pub arena: &'m mut [u8],
}

/// Everything of a node but its slices' contents fits here; candidates are named by a 16-bit cell.
pub(crate) const CELLS: usize = 1 << 16;

impl Memory<'_> {
    fn shape(&self) -> Shape {
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Shape {
            rows: len(self.rows.len()),
            contacts: len(self.contacts.len()),
            operations: len(self.operations.len()),
            candidates: len(self.candidates.len()),
            items: len(self.items.len()),
            transfers: len(self.transfers.len()),
            arena: len(self.arena.len()),
        }
    }

    /// Places of one shortlist.
    pub(crate) fn shortlist(&self) -> usize {
        self.candidates.len().checked_div(self.operations.len()).unwrap_or(0)
    }

    /// Checks that the slices are whole rows and hold what the settings ask for.
    pub(crate) fn accepts(&self, settings: &Settings) -> Result<(), ConfigError> {
        let whole = |len: usize, rows: usize| rows > 0 && len >= rows && len.is_multiple_of(rows);
        let shape_fits = whole(self.contacts.len(), self.rows.len())
            && whole(self.candidates.len(), self.operations.len())
            && whole(self.items.len(), self.operations.len())
            && self.items.len() / self.operations.len().max(1) <= 32
            && !self.transfers.is_empty();
        let (k, shortlist) = (usize::from(settings.k), self.shortlist());
        let cells = Probes::CELLS.saturating_add(self.transfers.len()).saturating_add(self.candidates.len());
        if !shape_fits {
            Err(ConfigError::Shape)
        } else if k > self.contacts.len() / self.rows.len().max(1) || k > shortlist {
            Err(ConfigError::K)
        } else if usize::from(settings.alpha) > shortlist {
            Err(ConfigError::Alpha)
        } else if settings.value_max == 0 || self.arena.len() < settings.value_max as usize {
            Err(ConfigError::ValueMax)
        } else if cells > CELLS || self.operations.len() > usize::from(u16::MAX) {
            Err(ConfigError::TooManyCells)
        } else {
            Ok(())
        }
    }

    /// Empties everything but the arena and marks the head as initialised.
    pub(crate) fn initialise(&mut self, id: NodeId, settings: Settings, tokens: TokenKey, random: Random) {
        self.rows.fill(Row::EMPTY);
        self.contacts.fill(ContactSlot::EMPTY);
        self.operations.fill(Operation::EMPTY);
        self.candidates.fill(Candidate::EMPTY);
        self.items.fill(ItemSlot::EMPTY);
        self.transfers.fill(Transfer::EMPTY);
        let shape = self.shape();
        let head = &mut *self.head;
        *head = Head::EMPTY;
        (head.magic, head.shape) = (MAGIC, shape);
        (head.id, head.settings, head.tokens, head.random) = (id, settings, tokens, random);
        head.arena = ArenaHead::new(self.arena.len(), settings.value_max);
        head.depth = 1;
    }

    /// Whether a node was made in this memory and the slices are the same, but for operations and rows of the table that
    /// were added at the end.
    pub(crate) fn is_initialised(&mut self) -> bool {
        let shape = self.shape();
        if self.head.magic != MAGIC {
            return false;
        }
        if self.head.shape == shape {
            return true;
        }
        let before = self.head.shape;
        let Shape { transfers, arena, .. } = before;
        let grown = Shape { transfers, arena, ..shape } == shape
            && is_grown((before.rows, shape.rows), (before.contacts, shape.contacts))
            && is_grown((before.operations, shape.operations), (before.candidates, shape.candidates))
            && is_grown((before.operations, shape.operations), (before.items, shape.items))
            && self.accepts(&self.head.settings).is_ok();
        if grown {
            self.head.shape = shape;
        }
        grown
    }

    #[inline(never)]
    pub(crate) fn table(&mut self) -> Table<'_> {
        Table {
            own: &self.head.id,
            k: self.head.settings.k.into(),
            depth: &mut self.head.depth,
            rows: self.rows,
            slots: self.contacts,
        }
    }

    /// Writes the slots of the contacts nearest to `target` to `out`, nearest first, and returns those: contacts that `asker`
    /// may be told of, in these families, and not itself at its address.
    pub(crate) fn nearest<'o>(
        &mut self,
        target: &Key,
        asker: &Contact,
        families: Families,
        out: &'o mut [u16],
    ) -> &'o [u16] {
        let audience = asker.endpoint.audience();
        let wanted = |slot: &ContactSlot| {
            let Contact { id, endpoint } = &slot.contact;
            let is_asker = *id == asker.id && *endpoint == asker.endpoint;
            slot.is_good() && !is_asker && families.reach(endpoint) && audience.may_know(endpoint)
        };
        let found = self.table().closest(target, wanted, out);
        out.get(..found).unwrap_or_default()
    }

    /// The same of everybody: this node itself is not in its table.
    pub(crate) fn nearest_of_all<'o>(&mut self, target: &Key, out: &'o mut [u16]) -> &'o [u16] {
        let own = self.head.id;
        self.nearest_but(target, &own, out)
    }

    /// The same of everybody but one node, wherever that is.
    pub(crate) fn nearest_but<'o>(&mut self, target: &Key, except: &NodeId, out: &'o mut [u16]) -> &'o [u16] {
        let found = self.table().closest(target, |slot| slot.is_good() && slot.contact.id != *except, out);
        out.get(..found).unwrap_or_default()
    }

    /// Writes the slots of the live contacts nearest to `target` that do not answer to `out`, and answers with those.
    pub(crate) fn nearest_silent<'o>(&mut self, target: &Key, out: &'o mut [u16]) -> &'o [u16] {
        let found = self.table().closest(target, |slot| slot.is_live() && !slot.is_good(), out);
        out.get(..found).unwrap_or_default()
    }

    /// The slot of an id in the table.
    pub(crate) fn find(&mut self, id: &NodeId) -> Option<&mut ContactSlot> {
        let slot = self.table().position(id)?;
        self.contacts.get_mut(slot)
    }

    /// The slot of a contact, if it is known by the same address.
    pub(crate) fn find_at(&mut self, contact: &Contact) -> Option<&mut ContactSlot> {
        self.find(&contact.id).filter(|slot| slot.contact.endpoint == contact.endpoint)
    }

    /// The contact in a slot of the table.
    pub(crate) fn contact(&self, slot: u16) -> Option<&Contact> {
        self.contacts.get(usize::from(slot)).map(|slot| &slot.contact)
    }

    pub(crate) fn schedule(&mut self) -> Schedule<'_> {
        Schedule {
            head: &mut self.head.schedule,
            upkeep: &mut self.head.upkeep,
            transfers: self.transfers,
            operations: self.operations,
        }
    }

    /// Puts a slot's readiness and deadline into the schedule.
    pub(crate) fn reschedule(&mut self, slot: Slot, ready: bool, deadline: Option<Instant>) {
        let mut schedule = self.schedule();
        schedule.set_ready(slot, ready);
        schedule.set_deadline(slot, deadline);
    }

    pub(crate) fn lookup(&mut self, operation: usize) -> Option<Lookup<'_>> {
        let (shortlist, items) = (self.shortlist(), self.items.len().checked_div(self.operations.len())?);
        let candidates = operation.checked_mul(shortlist)?;
        let first_item = operation.checked_mul(items)?;
        Some(Lookup {
            operation: self.operations.get_mut(operation)?,
            candidates: self.candidates.get_mut(candidates..candidates.checked_add(shortlist)?)?,
            items: self.items.get_mut(first_item..first_item.checked_add(items)?)?,
        })
    }

    /// A candidate, with its operation.
    #[inline(never)]
    pub(crate) fn candidate(&mut self, operation: usize, place: usize) -> Option<(&mut Operation, &mut Candidate)> {
        let Lookup { operation, candidates, .. } = self.lookup(operation)?;
        Some((operation, candidates.get_mut(place)?))
    }

    /// The shortlist of an operation.
    #[inline(never)]
    pub(crate) fn candidates_of(&self, operation: usize) -> &[Candidate] {
        let shortlist = self.shortlist();
        let start = operation.saturating_mul(shortlist);
        self.candidates.get(start..start.saturating_add(shortlist)).unwrap_or_default()
    }

    /// The items of an operation.
    pub(crate) fn items_of(&self, operation: usize) -> &[ItemSlot] {
        let width = self.items.len().checked_div(self.operations.len()).unwrap_or(0);
        let start = operation.saturating_mul(width);
        self.items.get(start..start.saturating_add(width)).unwrap_or_default()
    }

    /// What the cell of a tag names.
    pub(crate) fn cell(&self, cell: u16) -> Cell {
        let cell = usize::from(cell);
        let Some(cell) = cell.checked_sub(Probes::CELLS) else { return Cell::Probe(cell) };
        let Some(cell) = cell.checked_sub(self.transfers.len()) else { return Cell::Transfer(cell) };
        match (cell.checked_div(self.shortlist()), cell.checked_rem(self.shortlist())) {
            (Some(operation), Some(place)) if operation < self.operations.len() => Cell::Candidate(operation, place),
            _ => Cell::None,
        }
    }

    /// The cell of a transfer.
    pub(crate) fn transfer_cell(&self, transfer: usize) -> u16 {
        Probes::CELLS.saturating_add(transfer) as u16
    }

    /// The cell of a candidate.
    pub(crate) fn candidate_cell(&self, operation: usize, place: usize) -> u16 {
        let before = Probes::CELLS.saturating_add(self.transfers.len());
        operation.saturating_mul(self.shortlist()).saturating_add(place).saturating_add(before) as u16
    }
}

/// Who waits for a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cell {
    None,
    Probe(usize),
    Transfer(usize),
    Candidate(usize, usize),
}

/// Declares a memory block for a `static`: the whole of a node without an allocator.
///
/// ```
/// kad_core::block! {
///     /// 12 buckets of 8 contacts and a spare, two operations at a time, one value of up to 4 KiB on its way.
///     pub struct Board {
///         rows: 12,
///         contacts_per_row: 9,
///         operations: 2,
///         candidates_per_operation: 12,
///         items_per_operation: 2,
///         transfers: 4,
///         arena: 2 * 4096,
///     }
/// }
/// let mut block = Board::EMPTY;
/// let config = kad_core::Config { k: 8, value_max: 4096, ..Default::default() };
/// let id = kad_core::NodeId::from_bytes([7; 32]);
/// let node = kad_core::Node::new(id, &config, &[1; 32], block.memory())?;
/// assert_eq!(node.id(), id);
/// assert!(size_of::<Board>() < 30_000);
/// # Ok::<(), kad_core::ConfigError>(())
/// ```
#[macro_export]
macro_rules! block {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        rows: $rows:expr,
        contacts_per_row: $contacts:expr,
        operations: $operations:expr,
        candidates_per_operation: $candidates:expr,
        items_per_operation: $items:expr,
        transfers: $transfers:expr,
        arena: $arena:expr $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            head: $crate::Head,
            rows: [$crate::Row; $rows],
            contacts: [[$crate::ContactSlot; $contacts]; $rows],
            operations: [$crate::Operation; $operations],
            candidates: [[$crate::Candidate; $candidates]; $operations],
            items: [[$crate::ItemSlot; $items]; $operations],
            transfers: [$crate::Transfer; $transfers],
            arena: [u8; $arena],
        }

        impl $name {
            /// An unused block. All zero bits: a `static` of it costs no flash.
            $vis const EMPTY: Self = Self {
                head: $crate::Head::EMPTY,
                rows: [$crate::Row::EMPTY; $rows],
                contacts: [[$crate::ContactSlot::EMPTY; $contacts]; $rows],
                operations: [$crate::Operation::EMPTY; $operations],
                candidates: [[$crate::Candidate::EMPTY; $candidates]; $operations],
                items: [[$crate::ItemSlot::EMPTY; $items]; $operations],
                transfers: [$crate::Transfer::EMPTY; $transfers],
                arena: [0; $arena],
            };

            /// The block as a node takes it.
            $vis fn memory(&mut self) -> $crate::Memory<'_> {
                $crate::Memory {
                    head: &mut self.head,
                    rows: &mut self.rows,
                    contacts: self.contacts.as_flattened_mut(),
                    operations: &mut self.operations,
                    candidates: self.candidates.as_flattened_mut(),
                    items: self.items.as_flattened_mut(),
                    transfers: &mut self.transfers,
                    arena: &mut self.arena,
                }
            }
        }
    };
}
