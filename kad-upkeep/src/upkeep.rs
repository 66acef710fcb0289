//! What keeps values alive: replicating and republishing what is due, and handing over to newcomers.

use heapless::Vec;
use kad_core::{Node, OperationId};
use kad_store::Store;
use kad_wire::{Instant, ItemHeader, Key, StoreMode};

use crate::leaving::Leaving;
use crate::newcomers::Newcomers;

/// Items that one operation of the upkeep takes along: as many offers as fit a datagram.
const BATCH: usize = kad_wire::limits::STORE_ITEMS_MAX;
/// Operations of the upkeep at a time.
const WIDTH: usize = 4;
/// Operations at a time while the node leaves and the owner has nothing more to ask.
pub(crate) const LEAVING_WIDTH: usize = 16;
/// How long one operation may take.
const LIMIT_MS: u64 = 30_000;
/// Shortest pause before the upkeep wants to be called again.
const PAUSE_MS: u64 = 1_000;
/// What is due within this part of an hour goes along with a neighbour that is due now.
const AHEAD_MS: u64 = 15 * 60 * 1000;

/// Items that travel together.
pub(crate) type Batch = Vec<(Key, ItemHeader), BATCH>;

/// What the upkeep has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UpkeepStats {
    /// Items passed on because they were due: replicated.
    pub replicated: u64,
    /// Own items published anew.
    pub republished: u64,
    /// Items offered to newcomers.
    pub to_newcomers: u64,
    /// Items handed over before leaving.
    pub handed_over: u64,
    /// Operations started for all of these.
    pub operations: u64,
}

/// The upkeep of one node's values. See the [crate's front page](crate).
#[derive(Debug, Default)]
pub struct Upkeep {
    pub(crate) under_way: Vec<OperationId, LEAVING_WIDTH>,
    newcomers: Newcomers,
    /// Whether a newcomer had the last turn.
    newcomer_served: bool,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) stats: UpkeepStats,
}

impl Upkeep {
    /// An upkeep with nothing under way.
    pub const fn new() -> Self {
        Self {
            under_way: Vec::new(),
            newcomers: Newcomers::new(),
            newcomer_served: false,
            leaving: None,
            stats: UpkeepStats { replicated: 0, republished: 0, to_newcomers: 0, handed_over: 0, operations: 0 },
        }
    }

    /// What it has done.
    pub const fn stats(&self) -> &UpkeepStats {
        &self.stats
    }

    /// Drops what has expired and starts what is due. Answers when it must be called again if no operation ends before;
    /// call it after every [`ended`](Self::ended) too.
    ///
    /// Call it only once the node has joined its network: before, it would replicate to the few nodes that it happens to know.
    pub fn drive<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S) -> Option<Instant> {
        store.expire(now);
        if self.leaving.is_some() {
            return self.go_on_leaving(now, node, store);
        }
        if node.is_alone() {
            return later(now, store);
        }
        self.newcomers.notice(node);
        while self.has_place(node) {
            let Some(busy) = self.start_next(now, node, store) else { break };
            if !busy {
                // A slice of the work is done, and there is more: soon, but not before the node has had its turn.
                return Some(now);
            }
        }
        let newcomer = self.newcomers.next_turn().map(|at| at.max(now.plus_millis(PAUSE_MS)));
        later(now, store).into_iter().chain(newcomer).min()
    }

    /// Whether an operation was the upkeep's own, which has ended now.
    pub fn ended(&mut self, operation: OperationId) -> bool {
        match self.under_way.iter().position(|own| *own == operation) {
            Some(at) => {
                self.under_way.swap_remove(at);
                true
            }
            None => false,
        }
    }

    /// Whether another operation may be started: not too many, and one place is left to the owner.
    fn has_place(&self, node: &Node<'_>) -> bool {
        self.under_way.len() < WIDTH && node.free_operations() > usize::from(node.operations() > 1)
    }

    /// Starts the next operation: for a newcomer, or for what is due. They take turns, or a stream of newcomers would keep
    /// everything from being replicated. `None`: nothing to do. `false`: looked at some items for a newcomer without finding
    /// enough for an operation.
    fn start_next<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S) -> Option<bool> {
        self.newcomer_served = !self.newcomer_served;
        if self.newcomer_served {
            self.serve_newcomer(now, node, store).or_else(|| self.pass_on(now, node, store))
        } else {
            self.pass_on(now, node, store).or_else(|| self.serve_newcomer(now, node, store))
        }
    }

    fn serve_newcomer<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S) -> Option<bool> {
        let mut batch = Batch::new();
        let newcomer = self.newcomers.next_batch(now, node, store, &mut batch)?;
        if batch.is_empty() {
            return Some(false);
        }
        let until = now.plus_millis(LIMIT_MS);
        let started = node.store_at(now, until, StoreMode::Handover, &batch, &[newcomer]);
        self.stats.to_newcomers += batch.len() as u64;
        self.note(started.ok())
    }

    fn pass_on<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S) -> Option<bool> {
        let mut batch = Batch::new();
        let mode = due_batch(now, node, store, &mut batch)?;
        let started = node.store(now, now.plus_millis(LIMIT_MS), mode, 0, &batch);
        match mode {
            StoreMode::Publish => self.stats.republished += batch.len() as u64,
            _ => self.stats.replicated += batch.len() as u64,
        }
        self.note(started.ok())
    }

    fn note(&mut self, started: Option<OperationId>) -> Option<bool> {
        let operation = started?;
        self.stats.operations += 1;
        // There is a place: it was asked for before.
        self.under_way.push(operation).ok()?;
        Some(true)
    }
}

/// Items that one operation of the upkeep takes along at this node.
pub(crate) fn width(node: &Node<'_>) -> usize {
    node.items_per_operation().min(BATCH)
}

/// When the store has something to do, but not at once: what is due now waits for a place or for company.
fn later<S: Store + ?Sized>(now: Instant, store: &S) -> Option<Instant> {
    store.next_wake().map(|at| at.max(now.plus_millis(PAUSE_MS)))
}

/// What is due now, with neighbours in the key space that are due soon: they share their holders, so they share a lookup.
fn due_batch<S: Store + ?Sized>(
    now: Instant,
    node: &mut Node<'_>,
    store: &mut S,
    batch: &mut Batch,
) -> Option<StoreMode> {
    let first = store.poll_due(now)?;
    let _ = batch.push((first.key, first.header));
    let (bits, width) = (node.region_bits(), width(node));
    store.due_near(now, now.plus_millis(AHEAD_MS), &first, bits, &mut |due| {
        // An operation takes no item twice. It would fail, and all that was taken here would count as passed on.
        let twice = batch.iter().any(|(key, header)| *key == due.key && header.digest == due.header.digest);
        twice || (batch.len() < width && batch.push((due.key, due.header)).is_ok())
    });
    Some(first.mode)
}
