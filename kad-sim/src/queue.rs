//! What is planned, in order of time; what is planned for the same time happens in the order in which it was planned.
//!
//! A wheel of buckets for the next seconds, each sorted only when its turn comes, and a heap for what is later: most of what
//! a network plans is due within the next second.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use kad_wire::Instant;

/// Bits of a microsecond count that one bucket spans: about a millisecond.
const BUCKET_BITS: u32 = 10;
/// Buckets of the wheel: about four seconds.
const BUCKETS: u64 = 4096;

struct Entry<T> {
    at: u64,
    number: u64,
    what: T,
}

impl<T> Entry<T> {
    fn bucket(&self) -> u64 {
        self.at >> BUCKET_BITS
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Earlier is greater, as a heap wants it.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// See the [module](self).
pub(crate) struct Queue<T> {
    /// The bucket whose turn it is, last first.
    current: Vec<Entry<T>>,
    /// Which bucket that is.
    turn: u64,
    wheel: Vec<Vec<Entry<T>>>,
    in_wheel: usize,
    later: BinaryHeap<Entry<T>>,
    planned: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            current: Vec::new(),
            turn: 0,
            wheel: (0..BUCKETS).map(|_| Vec::new()).collect(),
            in_wheel: 0,
            later: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: Instant, what: T) {
        self.planned += 1;
        let entry = Entry { at: at.as_micros(), number: self.planned, what };
        let bucket = entry.bucket();
        if bucket <= self.turn {
            let place = self.current.partition_point(|other| *other < entry);
            self.current.insert(place, entry);
        } else if bucket < self.turn + BUCKETS {
            self.put_in_wheel(entry);
        } else {
            self.later.push(entry);
        }
    }

    fn put_in_wheel(&mut self, entry: Entry<T>) {
        self.wheel[(entry.bucket() % BUCKETS) as usize].push(entry);
        self.in_wheel += 1;
    }

    /// The next thing, if it is not after `until`.
    pub(crate) fn next(&mut self, until: Instant) -> Option<(Instant, T)> {
        while self.current.is_empty() {
            self.turn_wheel(until.as_micros() >> BUCKET_BITS)?;
        }
        if self.current.last()?.at > until.as_micros() {
            return None;
        }
        let Entry { at, what, .. } = self.current.pop()?;
        Some((Instant::from_micros(at), what))
    }

    /// Goes on to the next bucket, but not past `last`.
    fn turn_wheel(&mut self, last: u64) -> Option<()> {
        let next = match (self.in_wheel, self.later.peek()) {
            (0, None) => return None,
            (0, Some(later)) => later.bucket(),
            _ => self.turn + 1,
        };
        if next > last {
            return None;
        }
        self.turn = next;
        while self.later.peek().is_some_and(|later| later.bucket() < next + BUCKETS)
            && let Some(entry) = self.later.pop()
        {
            self.put_in_wheel(entry);
        }
        std::mem::swap(&mut self.current, &mut self.wheel[(next % BUCKETS) as usize]);
        self.in_wheel -= self.current.len();
        self.current.sort_unstable();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// Against a plain sorted list: near and far, in any order, also while time passes.
    #[test]
    fn everything_comes_in_its_time_and_order() {
        let (mut queue, mut model, mut dice) = (Queue::new(), Vec::new(), Dice::new(1));
        let (mut now, mut came) = (0, Vec::new());
        for number in 0..20_000u64 {
            let ahead = match dice.below(4) {
                0 => 0,
                1 => dice.below(3000),
                2 => dice.below(1_000_000),
                _ => dice.below(100_000_000),
            };
            queue.plan(Instant::from_micros(now + ahead), number);
            model.push((now + ahead, number));
            if dice.below(3) == 0 {
                let until = now + dice.below(20_000);
                while let Some((at, number)) = queue.next(Instant::from_micros(until)) {
                    assert!(at.as_micros() >= now && at.as_micros() <= until);
                    now = at.as_micros();
                    came.push((now, number));
                }
                now = until;
            }
        }
        while let Some((at, number)) = queue.next(Instant::from_micros(u64::MAX >> 1)) {
            came.push((at.as_micros(), number));
        }
        model.sort_unstable();
        assert_eq!(came, model);
    }
}
