//! Rows of the caller's bytes, in which pulled values are put together.

use crate::wake::Link;

/// Which rows are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ArenaHead {
    taken: u64,
    rows: u8,
}

impl ArenaHead {
    pub(crate) const EMPTY: Self = Self { taken: 0, rows: 0 };

    /// An arena of `len` bytes, in rows of `row_len`; never more than 64.
    pub(crate) fn new(len: usize, row_len: u32) -> Self {
        let rows = len.checked_div(row_len as usize).unwrap_or(0).min(64);
        Self { taken: 0, rows: rows as u8 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.into()
    }

    #[inline(never)]
    pub(crate) fn free(&self) -> usize {
        self.rows().saturating_sub(self.taken.count_ones() as usize)
    }

    /// Takes a row, if more than `reserve` are free.
    pub(crate) fn take(&mut self, reserve: usize) -> Option<Link> {
        if self.free() <= reserve {
            return None;
        }
        let row = self.taken.trailing_ones();
        self.taken |= 1u64.checked_shl(row)?;
        Some(Link::to(row as usize))
    }

    /// Gives a row back.
    pub(crate) fn release(&mut self, row: Link) {
        if let Some(row) = row.get() {
            self.taken &= !1u64.checked_shl(row as u32).unwrap_or(0);
        }
    }

    pub(crate) fn is_taken(&self, row: Link) -> bool {
        row.get().is_some_and(|row| self.taken & 1u64.checked_shl(row as u32).unwrap_or(0) != 0)
    }
}

/// The bytes of a row.
pub(crate) fn row(arena: &mut [u8], row: Link, row_len: u32) -> Option<&mut [u8]> {
    let row_len = row_len as usize;
    let start = row.get()?.checked_mul(row_len)?;
    arena.get_mut(start..start.checked_add(row_len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_once_and_some_can_be_reserved() {
        let mut head = ArenaHead::new(3500, 1000);
        let (one, two) = (head.take(0).unwrap(), head.take(0).unwrap());
        assert!(one != two && head.take(1).is_none());
        let three = head.take(0).unwrap();
        assert!(head.take(0).is_none() && head.is_taken(three));
        head.release(two);
        assert_eq!((head.free(), head.take(0)), (1, Some(two)));
        let mut bytes = [0; 3500];
        assert_eq!(row(&mut bytes, three, 1000).map(|row| row.len()), Some(1000));
        assert!(row(&mut bytes, Link::to(3), 1000).is_none() && row(&mut bytes, Link::NONE, 1000).is_none());
    }
}
