//! How much of a growing store each source has, and which source has most.

use alloc::collections::{BTreeMap, BTreeSet};

use super::WIDE_DIVISOR;
use super::source::Source;

/// Shares of sources, in two tiers: see [`Source::wide`].
#[derive(Debug, Default)]
pub(crate) struct Shares {
    narrow: BTreeMap<Source, u64>,
    wide: BTreeMap<Source, u64>,
    by_narrow: BTreeSet<(u64, Source)>,
    by_wide: BTreeSet<(u64, Source)>,
    /// Narrow prefixes by the wide prefix that contains them, with their shares.
    within: BTreeSet<(Source, u64, Source)>,
}

impl Shares {
    pub(crate) fn add(&mut self, source: Source, weight: u64) {
        self.change(source, |share| share.saturating_add(weight));
    }

    pub(crate) fn subtract(&mut self, source: Source, weight: u64) {
        self.change(source, |share| share.saturating_sub(weight));
    }

    fn change(&mut self, source: Source, change: impl Fn(u64) -> u64) {
        let wide = source.wide();
        let (before, after) = replace(&mut self.narrow, source, &change);
        self.by_narrow.remove(&(before, source));
        self.within.remove(&(wide, before, source));
        if after > 0 {
            self.by_narrow.insert((after, source));
            self.within.insert((wide, after, source));
        }
        let (before, after) = replace(&mut self.wide, wide, &change);
        self.by_wide.remove(&(before, wide));
        if after > 0 {
            self.by_wide.insert((after, wide));
        }
    }

    /// Returns the source with the largest share: of all narrow prefixes, or, if a wide prefix has more than [`WIDE_DIVISOR`] times
    /// that, of the narrow prefixes in it.
    pub(crate) fn largest(&self) -> Option<Source> {
        let &(most, source) = self.by_narrow.last()?;
        let &(of_wide, wide) = self.by_wide.last()?;
        if of_wide / WIDE_DIVISOR <= most {
            return Some(source);
        }
        let last = self.within.range((wide, 0, Source::NONE)..=(wide, u64::MAX, Source([u8::MAX; 8]))).next_back();
        last.map(|&(_, _, source)| source)
    }
}

/// Changes a share and returns it as it was and as it is. Removes the entry of a share that becomes 0.
fn replace(shares: &mut BTreeMap<Source, u64>, source: Source, change: impl Fn(u64) -> u64) -> (u64, u64) {
    let before = shares.get(&source).copied().unwrap_or(0);
    let after = change(before);
    match after {
        0 => shares.remove(&source),
        _ => shares.insert(source, after),
    };
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(a: u8, b: u8, c: u8) -> Source {
        Source([4, a, b, c, 0, 0, 0, 0])
    }

    #[test]
    fn a_wide_prefix_counts_a_quarter_of_what_it_has() {
        let mut shares = Shares::default();
        assert_eq!(shares.largest(), None);
        shares.add(source(8, 8, 8), 100);
        for c in 0..5 {
            shares.add(source(9, 9, c), 70 + u64::from(c));
            assert_eq!(shares.largest(), Some(source(8, 8, 8)), "{c}");
        }
        shares.add(source(9, 9, 5), 60);
        assert_eq!(shares.largest(), Some(source(9, 9, 4)), "432 / 4 > 100: the largest narrow prefix in it");
        shares.subtract(source(9, 9, 4), 74);
        assert_eq!(shares.largest(), Some(source(8, 8, 8)));
        shares.subtract(source(8, 8, 8), 100);
        assert_eq!(shares.largest(), Some(source(9, 9, 3)));
        for (c, weight) in [(0, 70), (1, 71), (2, 72), (3, 73), (5, 60)] {
            shares.subtract(source(9, 9, c), weight);
        }
        assert_eq!(shares.largest(), None);
        assert!(shares.narrow.is_empty() && shares.wide.is_empty() && shares.within.is_empty());
    }
}
