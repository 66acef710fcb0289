//! Items that travel together.

use kad_wire::{Digest, Key};

/// Splits items into groups that the same nodes will hold, so that one lookup serves each: their keys share `bits` leading bits
/// with the group's first ([`Node::region_bits`](kad_core::Node::region_bits)), and no group has more than `width` different
/// ones. `name` says which item is meant; the items are sorted by it, and one that is named twice counts once.
pub fn regions<T>(
    sorted: &[T],
    bits: usize,
    width: usize,
    name: impl Fn(&T) -> (Key, Digest),
) -> impl Iterator<Item = &[T]> {
    let mut rest = sorted;
    core::iter::from_fn(move || {
        let (first, _) = name(rest.first()?);
        let (mut distinct, mut last) = (0, None);
        let travels = |item: &&T| {
            let name = name(item);
            let twice = last.replace(name) == Some(name);
            distinct += usize::from(!twice);
            twice || (distinct <= width.max(1) && first.distance(&name.0).shared_bits() >= bits)
        };
        let len = rest.iter().take_while(travels).count();
        let (group, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_travel_together_and_twins_count_once() {
        let item = |first: u8, digest: u8| (Key::from_bytes([first; 32]), Digest([digest; 16]));
        let items = [item(0, 0), item(1, 0), item(1, 0), item(1, 1), item(0xf0, 0), item(0xf1, 0)];
        let lengths =
            |bits, width| regions(&items, bits, width, |item| *item).map(<[_]>::len).collect::<heapless::Vec<_, 8>>();
        assert_eq!(lengths(6, 2), [3, 1, 2]);
        assert_eq!(lengths(6, 9), [4, 2]);
        assert_eq!(lengths(8, 9), [1, 3, 1, 1]);
        assert_eq!(lengths(0, 9), [6]);
        assert_eq!(lengths(0, 0), [1, 2, 1, 1, 1]);
        assert_eq!(regions(&items[..0], 0, 1, |item| *item).count(), 0);
    }
}
