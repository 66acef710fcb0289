//! What is true: who is there, who is nearest to what, which values must be found. Nodes never see it.

use std::collections::BTreeMap;

use kad_core::Instant;
use kad_wire::{Digest, Key, NodeId};

/// A value that somebody published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its key.
    pub key: Key,
    /// Its identity under the key.
    pub digest: Digest,
    /// Its bytes follow from this.
    pub number: u64,
    /// How many they are.
    pub len: usize,
    /// Until when it lives.
    pub expires: Instant,
    /// Copies on other nodes that its receipt promised.
    pub copies: usize,
    /// Fewest living holders that were seen at any census.
    pub fewest_holders: usize,
    /// Whether a census found no living holder.
    pub lost: bool,
}

/// See the module.
#[derive(Default, Debug)]
pub struct Oracle {
    living: BTreeMap<NodeId, usize>,
    /// Values whose publisher was told of at least one copy.
    pub acknowledged: Vec<Published>,
}

impl Oracle {
    /// A node is there.
    pub fn arrived(&mut self, id: NodeId, number: usize) {
        self.living.insert(id, number);
    }

    /// A node is gone.
    pub fn gone(&mut self, id: &NodeId) {
        self.living.remove(id);
    }

    /// How many nodes are there.
    pub fn population(&self) -> usize {
        self.living.len()
    }

    /// The `count` nodes nearest to a point, nearest first.
    pub fn nearest(&self, target: &Key, count: usize) -> Vec<usize> {
        // Everyone who shares a prefix with the target is nearer than everyone who does not. Deep prefixes hold few nodes:
        // the deepest that holds enough is sorted.
        let guess = (self.living.len() / count.max(1)).checked_ilog2().unwrap_or(0) as usize;
        let mut bits = guess + 1;
        loop {
            let (first, last) = prefix_range(target, bits);
            let near = || self.living.range(first..=last);
            if bits == 0 || near().nth(count.saturating_sub(1)).is_some() {
                let mut all: Vec<_> = near().map(|(id, number)| (id.distance(target), *number)).collect();
                all.sort_unstable();
                all.truncate(count);
                return all.into_iter().map(|(_, number)| number).collect();
            }
            bits -= 1;
        }
    }
}

/// The first and the last id that share `bits` leading bits with a point.
fn prefix_range(target: &Key, bits: usize) -> (NodeId, NodeId) {
    let (mut first, mut last) = (*target.as_bytes(), *target.as_bytes());
    for byte in 0..first.len() {
        let kept = bits.saturating_sub(byte * 8).min(8) as u32;
        let free = 0xffu8.checked_shr(kept).unwrap_or(0);
        first[byte] &= !free;
        last[byte] |= free;
    }
    (NodeId::from_bytes(first), NodeId::from_bytes(last))
}

/// The bytes of a value.
pub fn value(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ number.wrapping_mul(97) ^ (number >> 8)) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn the_nearest_are_those_that_sorting_everyone_gives() {
        let mut dice = Dice::new(1);
        for population in [1, 2, 7, 100, 3000] {
            let mut oracle = Oracle::default();
            let ids: Vec<_> = (0..population).map(|_| NodeId::from_bytes(dice.bytes())).collect();
            for (number, id) in ids.iter().enumerate() {
                oracle.arrived(*id, number);
            }
            for count in [1, 3, 20] {
                let target = Key::from_bytes(dice.bytes());
                let mut all: Vec<_> = (0..population).collect();
                all.sort_by_key(|&number| ids[number].distance(&target));
                all.truncate(count);
                assert_eq!(oracle.nearest(&target, count), all);
            }
        }
    }
}
