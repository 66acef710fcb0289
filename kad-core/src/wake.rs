//! What every slot carries so that the schedule and the lists need no memory of their own.

use kad_wire::Instant;

/// A slot's index plus one, or none: all zero bits when empty.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Link(u16);

impl Link {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn to(index: usize) -> Self {
        Self(u16::try_from(index.saturating_add(1)).unwrap_or(0))
    }

    pub(crate) fn get(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

/// What the schedule knows of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wake {
    pub(crate) deadline: Instant,
    /// Where this slot stands in the heap.
    pub(crate) position: Link,
    /// The heap's array, spread over the wakes: which slot stands at the position of this wake's index.
    pub(crate) entry: Link,
    pub(crate) ready: bool,
    /// Whether the ready list has this slot. It may when it is no longer ready: the list forgets when it comes by.
    pub(crate) listed: bool,
    pub(crate) next: Link,
}

impl Wake {
    pub(crate) const EMPTY: Self = Self {
        deadline: Instant::ZERO,
        position: Link::NONE,
        entry: Link::NONE,
        ready: false,
        listed: false,
        next: Link::NONE,
    };

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.position.get().map(|_| self.deadline)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }
}
