//! Addresses that lately did not answer, whoever was thought to be there: others may name them for a long time. Few, hashed,
//! and each for a while only.

use kad_wire::Instant;

/// Addresses that are remembered.
const PLACES: usize = 16;
/// After this an address that fell silent is checked when somebody names it again; twice as long after each vain check ...
const FIRST_PAUSE_S: u16 = 1;
/// ... so many times.
const DOUBLINGS: u8 = 9;
/// The longest pause.
const LONGEST_S: u16 = FIRST_PAUSE_S << DOUBLINGS;

/// How sure it is that nobody is at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Silence {
    /// Not one lost request alone: a check of it failed too.
    pub(crate) confirmed: bool,
    /// It is time for the next check.
    pub(crate) due: bool,
}

/// See the [module](self). An address is a mark: a keyed hash that is never zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silences {
    marks: [u32; PLACES],
    /// When the next check is due: seconds, modulo 2^16.
    due_s: [u16; PLACES],
    /// How often it was silent.
    strikes: [u8; PLACES],
}

impl Silences {
    pub(crate) const EMPTY: Self = Self { marks: [0; PLACES], due_s: [0; PLACES], strikes: [0; PLACES] };

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.iter().all(|mark| *mark == 0)
    }

    /// Every address that is remembered.
    pub(crate) fn marks(&self) -> impl Iterator<Item = u32> + '_ {
        self.marks.iter().copied().filter(|mark| *mark != 0)
    }

    fn place(&self, mark: u32) -> Option<usize> {
        self.marks.iter().position(|other| *other == mark)
    }

    /// What is known of an address; `None` if it was not silent.
    pub(crate) fn of(&self, now: Instant, mark: u32) -> Option<Silence> {
        let place = self.place(mark)?;
        let (strikes, due_s) = (*self.strikes.get(place)?, *self.due_s.get(place)?);
        // A time that lies farther ahead than any is set is one that has passed long ago.
        let wait_s = due_s.wrapping_sub(seconds(now));
        Some(Silence { confirmed: strikes > 1, due: wait_s == 0 || wait_s > LONGEST_S.saturating_add(1) })
    }

    /// Notes that an address was silent. Requests that are under way at the same time count once.
    pub(crate) fn note(&mut self, now: Instant, mark: u32) {
        if self.of(now, mark).is_some_and(|silence| !silence.due) {
            return;
        }
        let place = self.place(mark).unwrap_or_else(|| self.place_to_clear());
        let known = self.marks.get(place) == Some(&mark);
        let (Some(marks), Some(due_s), Some(strikes)) =
            (self.marks.get_mut(place), self.due_s.get_mut(place), self.strikes.get_mut(place))
        else {
            return;
        };
        *marks = mark;
        *strikes = if known { strikes.saturating_add(1).min(DOUBLINGS.saturating_add(1)) } else { 1 };
        let pause_s = FIRST_PAUSE_S.checked_shl(strikes.saturating_sub(1).into()).unwrap_or(LONGEST_S);
        // Seconds that have begun count as none.
        *due_s = seconds(now).wrapping_add(pause_s).wrapping_add(1);
    }

    /// A free place, or that of the address of which least is known.
    fn place_to_clear(&self) -> usize {
        let free_first = self.strikes.iter().zip(0..).min_by_key(|(strikes, _)| **strikes);
        free_first.map_or(0, |(_, place)| place)
    }

    /// Somebody answered from there.
    pub(crate) fn clear(&mut self, mark: u32) {
        let Some(place) = self.place(mark) else { return };
        if let (Some(marks), Some(strikes)) = (self.marks.get_mut(place), self.strikes.get_mut(place)) {
            (*marks, *strikes) = (0, 0);
        }
    }
}

fn seconds(now: Instant) -> u16 {
    (now.as_micros() / 1_000_000) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_address_is_silent_until_it_answers_and_checked_at_growing_pauses() {
        let mut silences = Silences::EMPTY;
        assert!(silences.is_empty() && silences.of(at(100), 7).is_none());
        let (mut now, mut pauses) = (100, Vec::new());
        for _ in 0..12 {
            silences.note(at(now), 7);
            // At the same time, and for another request: the same silence.
            silences.note(Instant::from_micros(now * 1_000_000 + 900_000), 7);
            let begun = now;
            while !silences.of(at(now), 7).unwrap().due {
                now += 1;
            }
            pauses.push(now - begun);
        }
        assert_eq!(pauses, [2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 513, 513]);
        assert!(silences.of(at(now), 7).unwrap().confirmed);
        silences.clear(7);
        assert!(silences.is_empty());
        silences.note(at(now), 7);
        assert!(!silences.of(at(now), 7).unwrap().confirmed, "all is forgotten");
    }

    #[test]
    fn a_flood_of_addresses_clears_none_that_was_checked() {
        let mut silences = Silences::EMPTY;
        silences.note(at(1), 1);
        silences.note(at(3), 1);
        for mark in 2..10_000 {
            silences.note(at(7), mark);
        }
        assert!(silences.of(at(7), 1).unwrap().confirmed);
        assert!(silences.marks().count() == PLACES);
    }

    #[test]
    fn a_wait_ends_however_long_nobody_looks() {
        let mut silences = Silences::EMPTY;
        silences.note(at(65_535), 1);
        assert!(!silences.of(at(65_536), 1).unwrap().due && silences.of(at(65_537), 1).unwrap().due);
        for later in [70_000, 100_000, 129_000, 1_000_000] {
            assert!(silences.of(at(later), 1).unwrap().due, "{later}");
        }
    }
}
