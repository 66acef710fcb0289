//! Who acts next: a heap of deadlines and a list of those with something to send, over slots of fixed memory.
//!
//! Every slot carries a [`Wake`]. The heap's array and the lists' links live in these wakes, so neither needs memory of its
//! own, and neither polling for a datagram nor asking for the next deadline looks at slots that have nothing to say.

use kad_wire::Instant;

use crate::operation::Operation;
use crate::transfer::Transfer;
use crate::wake::{Link, Wake};

/// What the schedule keeps outside the slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ScheduleHead {
    heap_len: u16,
    first_ready: Link,
    last_ready: Link,
}

impl ScheduleHead {
    pub(crate) const EMPTY: Self = Self { heap_len: 0, first_ready: Link::NONE, last_ready: Link::NONE };
}

/// Something with a deadline and perhaps a datagram to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// The upkeep of the routing table, and its probes.
    Upkeep,
    Transfer(usize),
    Operation(usize),
}

/// All wakes of a node. Slots are numbered upkeep, transfers, operations: so that operations can be added at the end.
pub(crate) struct Schedule<'a> {
    pub(crate) head: &'a mut ScheduleHead,
    pub(crate) upkeep: &'a mut Wake,
    pub(crate) transfers: &'a mut [Transfer],
    pub(crate) operations: &'a mut [Operation],
}

impl Schedule<'_> {
    fn number(&self, slot: Slot) -> usize {
        match slot {
            Slot::Upkeep => 0,
            Slot::Transfer(index) => index.saturating_add(1),
            Slot::Operation(index) => index.saturating_add(1).saturating_add(self.transfers.len()),
        }
    }

    fn slot(&self, number: usize) -> Slot {
        match number.checked_sub(1) {
            None => Slot::Upkeep,
            Some(index) => match index.checked_sub(self.transfers.len()) {
                None => Slot::Transfer(index),
                Some(index) => Slot::Operation(index),
            },
        }
    }

    #[inline(never)]
    fn wake(&mut self, number: usize) -> Option<&mut Wake> {
        match self.slot(number) {
            Slot::Upkeep => Some(self.upkeep),
            Slot::Transfer(index) => self.transfers.get_mut(index).map(|transfer| &mut transfer.wake),
            Slot::Operation(index) => self.operations.get_mut(index).map(|operation| &mut operation.wake),
        }
    }

    /// The number of the slot at `position` of the heap, and its deadline.
    fn at(&mut self, position: usize) -> Option<(usize, Instant)> {
        if position >= usize::from(self.head.heap_len) {
            return None;
        }
        let number = self.wake(position)?.entry.get()?;
        Some((number, self.wake(number)?.deadline))
    }

    fn place(&mut self, position: usize, number: usize) {
        if let Some(wake) = self.wake(position) {
            wake.entry = Link::to(number);
        }
        if let Some(wake) = self.wake(number) {
            wake.position = Link::to(position);
        }
    }

    /// Sets, moves or clears a slot's deadline.
    pub(crate) fn set_deadline(&mut self, slot: Slot, deadline: Option<Instant>) {
        let number = self.number(slot);
        let Some(wake) = self.wake(number) else { return };
        let position = wake.position.get();
        match (position, deadline) {
            (None, None) => {}
            (Some(position), None) => self.remove(position),
            (Some(position), Some(deadline)) if wake.deadline != deadline => {
                wake.deadline = deadline;
                self.sift(position, number, deadline);
            }
            (Some(_), Some(_)) => {}
            (None, Some(deadline)) => {
                wake.deadline = deadline;
                let position = usize::from(self.head.heap_len);
                self.head.heap_len = self.head.heap_len.saturating_add(1);
                self.place(position, number);
                self.sift(position, number, deadline);
            }
        }
    }

    fn remove(&mut self, position: usize) {
        let last = usize::from(self.head.heap_len).saturating_sub(1);
        let removed = self.at(position);
        let moved = self.at(last);
        self.head.heap_len = self.head.heap_len.saturating_sub(1);
        if let Some((number, _)) = removed
            && let Some(wake) = self.wake(number)
        {
            wake.position = Link::NONE;
        }
        if let Some((number, deadline)) = moved
            && last != position
        {
            self.place(position, number);
            self.sift(position, number, deadline);
        }
    }

    /// Moves the slot at `position` up or down to where its deadline belongs.
    fn sift(&mut self, mut position: usize, number: usize, deadline: Instant) {
        while let Some(parent) = position.checked_sub(1).map(|above| above / 2)
            && let Some((other, other_deadline)) = self.at(parent)
            && deadline < other_deadline
        {
            self.place(position, other);
            position = parent;
        }
        while let Some((child, other, other_deadline)) = self.earlier_child(position)
            && other_deadline < deadline
        {
            self.place(position, other);
            position = child;
        }
        self.place(position, number);
    }

    fn earlier_child(&mut self, position: usize) -> Option<(usize, usize, Instant)> {
        let left = position.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let (left_number, left_deadline) = self.at(left)?;
        match self.at(right) {
            Some((number, deadline)) if deadline < left_deadline => Some((right, number, deadline)),
            _ => Some((left, left_number, left_deadline)),
        }
    }

    /// Says whether the slot has something to send.
    pub(crate) fn set_ready(&mut self, slot: Slot, ready: bool) {
        let number = self.number(slot);
        let Some(wake) = self.wake(number) else { return };
        wake.ready = ready;
        if !ready || wake.listed {
            return;
        }
        wake.listed = true;
        wake.next = Link::NONE;
        let last = core::mem::replace(&mut self.head.last_ready, Link::to(number));
        match last.get().and_then(|last| self.wake(last)) {
            Some(last) => last.next = Link::to(number),
            None => self.head.first_ready = Link::to(number),
        }
    }

    /// Takes the next slot that has something to send off the list.
    pub(crate) fn pop_ready(&mut self) -> Option<Slot> {
        loop {
            let number = self.head.first_ready.get()?;
            let wake = self.wake(number)?;
            wake.listed = false;
            let ready = core::mem::replace(&mut wake.ready, false);
            self.head.first_ready = wake.next;
            if self.head.first_ready == Link::NONE {
                self.head.last_ready = Link::NONE;
            }
            if ready {
                return Some(self.slot(number));
            }
        }
    }
}

/// The earliest deadline and whose it is, of a schedule that nobody changes meanwhile.
pub(crate) fn earliest(
    head: &ScheduleHead,
    upkeep: &Wake,
    transfers: &[Transfer],
    operations: &[Operation],
) -> Option<(Instant, Slot)> {
    if head.heap_len == 0 {
        return None;
    }
    // The heap's first entry is in the first wake.
    let number = upkeep.entry.get()?;
    let (slot, wake) = match number.checked_sub(1) {
        None => (Slot::Upkeep, upkeep),
        Some(index) => match index.checked_sub(transfers.len()) {
            None => (Slot::Transfer(index), &transfers.get(index)?.wake),
            Some(index) => (Slot::Operation(index), &operations.get(index)?.wake),
        },
    };
    Some((wake.deadline, slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Bench {
        head: ScheduleHead,
        upkeep: Wake,
        transfers: Vec<Transfer>,
        operations: Vec<Operation>,
    }

    impl Bench {
        fn new() -> Self {
            let (transfers, operations) = (vec![Transfer::EMPTY; 5], vec![Operation::EMPTY; 7]);
            Self { head: ScheduleHead::EMPTY, upkeep: Wake::EMPTY, transfers, operations }
        }

        fn schedule(&mut self) -> Schedule<'_> {
            let Self { head, upkeep, transfers, operations } = self;
            Schedule { head, upkeep, transfers, operations }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Deadline(usize, Option<u64>),
        Ready(usize, bool),
        PopReady,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0usize..13, prop::option::of(0u64..50)).prop_map(|(slot, at)| Step::Deadline(slot, at)),
            (0usize..13, any::<bool>()).prop_map(|(slot, ready)| Step::Ready(slot, ready)),
            Just(Step::PopReady),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #![proptest_config(crate::repeatable(256))]

        #[test]
        fn behaves_like_a_sorted_map_and_a_queue(steps in steps()) {
            let mut bench = Bench::new();
            let mut deadlines = [None; 13];
            let mut queue: Vec<usize> = Vec::new();
            let mut ready = [false; 13];
            for step in steps {
                let mut schedule = bench.schedule();
                match step {
                    Step::Deadline(number, at) => {
                        let slot = schedule.slot(number);
                        deadlines[number] = at;
                        schedule.set_deadline(slot, at.map(Instant::from_micros));
                    }
                    Step::Ready(number, is_ready) => {
                        let slot = schedule.slot(number);
                        ready[number] = is_ready;
                        if is_ready && !queue.contains(&number) {
                            queue.push(number);
                        }
                        schedule.set_ready(slot, is_ready);
                    }
                    Step::PopReady => {
                        let mut expected = None;
                        while expected.is_none() && !queue.is_empty() {
                            let number = queue.remove(0);
                            expected = std::mem::take(&mut ready[number]).then_some(number);
                        }
                        let popped = schedule.pop_ready().map(|slot| schedule.number(slot));
                        prop_assert_eq!(popped, expected);
                    }
                }
                let least = deadlines.iter().flatten().min().map(|&at| Instant::from_micros(at));
                let earliest = earliest(&bench.head, &bench.upkeep, &bench.transfers, &bench.operations);
                prop_assert_eq!(earliest.map(|(at, _)| at), least);
                if let Some((at, slot)) = earliest {
                    prop_assert_eq!(deadlines[bench.schedule().number(slot)], Some(at.as_micros()));
                }
                prop_assert_eq!(usize::from(bench.head.heap_len), deadlines.iter().flatten().count());
            }
        }
    }
}
