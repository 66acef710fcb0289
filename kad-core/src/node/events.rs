//! What became of operations, told when asked.

use core::time::Duration;

use super::Node;
use crate::event::{Event, Holders, OperationId, Receipt, Trace};
use crate::lookup::nearest;
use crate::operation::{Kind, Pending, Walk};
use crate::wake::Link;

impl Node<'_> {
    /// The next thing that became of an operation. An operation's place is free again once its last event was polled, but
    /// what the event lends stays until the node is used again.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        let (operation, pending) = self.next_event()?;
        let id = self.operation_id(operation);
        let kind = self.memory.operations.get(operation)?.kind;
        match pending {
            Pending::Final => {
                self.free_operation(operation);
                self.final_event(operation, kind, id)
            }
            _ => Some(Event::Quorum { operation: id, receipt: self.receipt(operation)? }),
        }
    }

    /// Returns an operation under way whose [`progress`](Self::progress) may have changed since it was last returned here, the
    /// one that changed first last. For those who show how operations go; what is not polled costs nothing.
    pub fn poll_changed(&mut self) -> Option<OperationId> {
        loop {
            let index = self.memory.head.first_changed.get()?;
            let slot = self.memory.operations.get_mut(index)?;
            slot.changed = false;
            self.memory.head.first_changed = slot.next_changed;
            if !slot.is_free() {
                return Some(self.operation_id(index));
            }
        }
    }

    /// Takes the next operation with an event off the list.
    fn next_event(&mut self) -> Option<(usize, Pending)> {
        let memory = &mut self.memory;
        loop {
            let index = memory.head.first_event.get()?;
            let slot = memory.operations.get_mut(index)?;
            slot.listed = false;
            memory.head.first_event = slot.next_event;
            if memory.head.first_event == Link::NONE {
                memory.head.last_event = Link::NONE;
            }
            // Cancelled operations stay listed until here.
            match slot.pending {
                Pending::Nothing => {}
                Pending::Quorum => {
                    slot.pending = Pending::Nothing;
                    return Some((index, Pending::Quorum));
                }
                Pending::Final => return Some((index, Pending::Final)),
            }
        }
    }

    fn receipt(&self, index: usize) -> Option<Receipt<'_>> {
        let operation = self.memory.operations.get(index)?;
        let trace = Trace { operation, candidates: self.memory.candidates_of(index) };
        let settings = &self.memory.head.settings;
        let k = if operation.given { usize::MAX } else { settings.k.into() };
        let own = (!settings.client && !operation.given).then_some(self.memory.head.id);
        Some(Receipt { trace, items: self.memory.items_of(index), k, own })
    }

    fn final_event(&mut self, index: usize, kind: Kind, operation: OperationId) -> Option<Event<'_>> {
        let end = self.memory.lookup(index)?.find_end();
        let slot = self.memory.operations.get(index)?;
        let candidates = self.memory.candidates_of(index);
        let trace = Trace { operation: slot, candidates };
        Some(match kind {
            Kind::Free | Kind::Refresh => return None,
            Kind::Ping => {
                let answered = nearest(slot, candidates).find(|(_, candidate)| candidate.walk == Walk::Answered);
                let answer =
                    answered.map(|(_, candidate)| (candidate.contact, Duration::from_micros(candidate.rtt_us.into())));
                Event::Pinged { operation, answer }
            }
            Kind::Join => Event::Joined { operation, answered: trace.closest().count() },
            Kind::FindNode => Event::FoundNodes { operation, trace },
            Kind::FindValue => {
                let holders = Holders { trace, items: self.memory.items_of(index) };
                Event::FoundValues {
                    operation,
                    values: slot.values.into(),
                    truncated: slot.truncated,
                    end,
                    trace,
                    holders,
                }
            }
            Kind::Store => Event::Stored { operation, receipt: self.receipt(index)? },
            Kind::Leave => Event::Left { operation },
        })
    }
}
