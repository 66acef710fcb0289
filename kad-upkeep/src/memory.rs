//! Where a node lives.

use kad_core::Node;

/// Memory with a node in it: of a fixed size on a board, growing where there is an allocator.
pub trait NodeMemory {
    /// Lends the node to a function.
    fn with<T>(&mut self, look: impl FnOnce(&mut Node<'_>) -> T) -> T;

    /// Makes room for more operations, and returns whether there is some now.
    fn grow(&mut self) -> bool {
        false
    }
}

impl NodeMemory for Node<'_> {
    fn with<T>(&mut self, look: impl FnOnce(&mut Node<'_>) -> T) -> T {
        look(self)
    }
}

#[cfg(feature = "alloc")]
impl NodeMemory for kad_core::Slabs {
    fn with<T>(&mut self, look: impl FnOnce(&mut Node<'_>) -> T) -> T {
        look(&mut self.node())
    }

    fn grow(&mut self) -> bool {
        Self::grow(self)
    }
}
