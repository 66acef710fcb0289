//! Nodes that have become one of the k nearest to keys that this node holds (paper, section 2.5).

use heapless::Vec;
use kad_core::{Contact, Node};
use kad_store::Store;
use kad_wire::{Digest, Instant, Key};

use crate::{BATCH, Batch};

/// Newcomers that wait. More than that at once is a network being built: the hourly replication serves the rest.
const WAITING: usize = 8;
/// Items that are looked at in one go.
const SLICE: usize = 64;

/// A newcomer, and the last item of the store that was looked at for it.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    contact: Contact,
    after: Option<(Key, Digest)>,
}

/// Everyone who still gets something.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    waiting: Vec<Newcomer, WAITING>,
}

impl Newcomers {
    pub(crate) const fn new() -> Self {
        Self { waiting: Vec::new() }
    }

    /// Takes in whoever has come near.
    pub(crate) fn notice(&mut self, node: &mut Node<'_>) {
        while let Some(contact) = node.poll_newcomer() {
            // No place: see above.
            let _ = self.waiting.push(Newcomer { contact, after: None });
        }
    }

    /// Looks at the next items for the first newcomer. `None`: nobody waits. Without a contact: nothing to send yet.
    pub(crate) fn next_batch<S: Store + ?Sized>(
        &mut self,
        now: Instant,
        node: &mut Node<'_>,
        store: &mut S,
    ) -> Option<(Option<Contact>, Batch)> {
        let newcomer = self.waiting.first_mut()?;
        let mut batch = Batch::new();
        let width = node.items_per_operation().min(BATCH);
        for _ in 0..SLICE {
            let Some(item) = store.next_item(now, newcomer.after.as_ref()) else {
                let contact = newcomer.contact;
                self.waiting.remove(0);
                return Some(((!batch.is_empty()).then_some(contact), batch));
            };
            newcomer.after = Some(item.place());
            let cached = item.header.flags & kad_wire::item_flags::CACHED != 0;
            if !cached && node.should_hand_over(&item.key, &newcomer.contact) {
                let _ = batch.push((item.key, item.header));
                if batch.len() >= width {
                    break;
                }
            }
        }
        Some(((!batch.is_empty()).then_some(newcomer.contact), batch))
    }
}
