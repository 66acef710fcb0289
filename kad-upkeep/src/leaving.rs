//! Leaving: hand over what is held, say goodbye.

use kad_core::{Node, OperationId};
use kad_store::Store;
use kad_wire::{Digest, Instant, Key, StoreMode};

use crate::upkeep::{Batch, LEAVING_WIDTH, Upkeep, width};

/// How long saying goodbye may take.
const FAREWELL_MS: u64 = 1_000;

/// How far a node is with leaving.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The last item that was handed over.
    after: Option<(Key, Digest)>,
    /// Whether all were.
    all: bool,
    until: Instant,
    farewell: Option<OperationId>,
    left: bool,
}

impl Upkeep {
    /// Begins to leave: hands over what is held, until `until` at the latest, then says goodbye. Whatever else is under way
    /// should be cancelled by its owner.
    pub fn leave(&mut self, until: Instant) {
        self.leaving.get_or_insert(Leaving { after: None, all: false, until, farewell: None, left: false });
    }

    /// Whether the node is leaving.
    pub const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether everything is handed over as far as time allowed, and everybody was told.
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.left)
    }

    pub(crate) fn go_on_leaving<S: Store + ?Sized>(
        &mut self,
        now: Instant,
        node: &mut Node<'_>,
        store: &mut S,
    ) -> Option<Instant> {
        let leaving = self.leaving.as_ref()?;
        let (until, late) = (leaving.until, leaving.until <= now);
        if let Some(farewell) = leaving.farewell {
            let told = !self.under_way.contains(&farewell);
            if let Some(leaving) = &mut self.leaving {
                leaving.left |= told;
            }
            return None;
        }
        while !late && self.under_way.len() < LEAVING_WIDTH && node.free_operations() > 0 {
            let mut batch = Batch::new();
            self.next_handover(now, node, store, &mut batch);
            if batch.is_empty() || node.is_alone() {
                break;
            }
            let Ok(operation) = node.store(now, until, StoreMode::Handover, 0, &batch) else { break };
            self.stats.operations += 1;
            self.stats.handed_over += batch.len() as u64;
            let _ = self.under_way.push(operation);
        }
        let all = node.is_alone() || self.leaving.as_ref().is_some_and(|leaving| leaving.all);
        if late || (all && self.under_way.is_empty()) {
            self.say_goodbye(now, node);
            return None;
        }
        Some(until)
    }

    /// The next items, as far as they share a region of the key space.
    fn next_handover<S: Store + ?Sized>(
        &mut self,
        now: Instant,
        node: &mut Node<'_>,
        store: &mut S,
        batch: &mut Batch,
    ) {
        let Some(leaving) = self.leaving.as_mut() else { return };
        let (bits, width) = (node.region_bits(), width(node));
        while batch.len() < width && !leaving.all {
            let Some(item) = store.next_item(now, leaving.after.as_ref()) else {
                leaving.all = true;
                break;
            };
            let fits = batch.first().is_none_or(|(key, _)| key.shared_bits(&item.key) >= bits);
            if !fits {
                break;
            }
            leaving.after = Some(item.place());
            if item.header.flags & kad_wire::item_flags::CACHED == 0 && item.header.ttl_ms > 0 {
                let _ = batch.push((item.key, item.header));
            }
        }
    }

    fn say_goodbye(&mut self, now: Instant, node: &mut Node<'_>) {
        let started = node.leave(now, now.plus_millis(FAREWELL_MS)).ok();
        let Some(leaving) = &mut self.leaving else { return };
        match started {
            Some(operation) => {
                leaving.farewell = Some(operation);
                // What was not handed over in time is given up.
                self.under_way.clear();
                let _ = self.under_way.push(operation);
            }
            // Nothing is lost but courtesy: the others notice.
            None => leaving.left = true,
        }
    }
}
