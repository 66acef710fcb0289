//! Nodes that have become one of the k nearest to keys that this node holds (paper, section 2.5).

use heapless::Vec;
use kad_core::{Contact, Node};
use kad_store::Store;
use kad_wire::{Digest, Instant, Key};

use crate::upkeep::{Batch, width};

/// Newcomers that wait. More than that at once is a network being built: the hourly replication serves the rest.
const WAITING: usize = 8;
/// Items that are looked at in one go.
const SLICE: usize = 64;
/// One newcomer per this many microseconds on average, and [`WAITING`] at once: everybody can come and leave as often as
/// they like, and each time the whole store is looked through.
const INTERVAL_US: u64 = 5_000_000;

/// Everyone who still gets something.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    waiting: Vec<Contact, WAITING>,
    /// The last item of the store that was looked at for the first.
    after: Option<(Key, Digest)>,
    /// Whether the first has had its share of the budget.
    begun: bool,
    /// When the budget is full again.
    full_at: Instant,
}

impl Newcomers {
    pub(crate) const fn new() -> Self {
        Self { waiting: Vec::new(), after: None, begun: false, full_at: Instant::ZERO }
    }

    /// When the next one that waits has its turn, if only for lack of budget it has not.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        let spent_until = self.full_at.as_micros().saturating_sub(INTERVAL_US * (WAITING as u64 - 1));
        (!self.begun && !self.waiting.is_empty()).then_some(Instant::from_micros(spent_until))
    }

    /// Takes in whoever has come near.
    pub(crate) fn notice(&mut self, node: &mut Node<'_>) {
        while let Some(contact) = node.poll_newcomer() {
            // No place: see above.
            let _ = self.waiting.push(contact);
        }
    }

    /// Looks at the next items for the first newcomer, and says who that is. `None`: nobody has a turn.
    pub(crate) fn next_batch<S: Store + ?Sized>(
        &mut self,
        now: Instant,
        node: &mut Node<'_>,
        store: &mut S,
        batch: &mut Batch,
    ) -> Option<Contact> {
        if self.next_turn().is_some_and(|at| at > now) {
            return None;
        }
        let newcomer = *self.waiting.first()?;
        if !core::mem::replace(&mut self.begun, true) {
            self.full_at = self.full_at.max(now).plus_micros(INTERVAL_US);
        }
        let width = width(node);
        for _ in 0..SLICE {
            let Some(item) = store.next_item(now, self.after.as_ref()) else {
                self.waiting.remove(0);
                (self.after, self.begun) = (None, false);
                break;
            };
            self.after = Some(item.place());
            let cached = item.header.flags & kad_wire::item_flags::CACHED != 0;
            if !cached && node.should_hand_over(&item.key, &newcomer) {
                let _ = batch.push((item.key, item.header));
                if batch.len() >= width {
                    break;
                }
            }
        }
        Some(newcomer)
    }
}
