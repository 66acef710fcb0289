//! How large the datagrams are that the path to a contact carries, in each direction, as far as requests have shown.
//!
//! Nothing is measured ahead of need, as packetization layer path MTU discovery does (RFC 8899): a request that was sent large
//! and not answered is repeated small. If the small one is answered, and its size mattered, the path carries small ones only.
//! One such case may be a loss. So the next request goes out large and small at the same time, which costs a datagram and no
//! time, and what is answered then decides. Two more requests try the sizes between; later one in eight tries a larger one.

use kad_wire::limits::{CONTACT_LEN, DATAGRAM_MAX, ROOM_UNIT};

use crate::event::PathLimits;

/// UDP payloads that are tried, smallest first: those of MTUs of 576, 1000 and 1124 bytes over IPv6, whole units of the prefix's
/// room. Over IPv4 each leaves some bytes unused.
const SIZES: [u16; 3] = [528, 944, 1072];
/// The largest payload that every path is expected to carry.
pub(crate) const SMALLEST: usize = SIZES[0] as usize;
/// A list of contacts ends where the next one does not fit: a datagram that is shorter than its limit by less than this fills it.
const SLACK: usize = CONTACT_LEN;

/// Direction of a datagram that may be too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// To the contact: STORE, and chunks of what it pulls.
    Out,
    /// From the contact: NODES, VALUE, CHUNK.
    In,
}

impl Way {
    const fn shift(self) -> u32 {
        match self {
            Self::Out => 0,
            Self::In => 3,
        }
    }

    const fn back(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }
}

/// What is known of one direction, as three bits of a path.
mod state {
    pub(super) const UNKNOWN: u8 = 0;
    /// Datagrams that are larger than all [`SIZES`](super::SIZES) have passed.
    pub(super) const OPEN: u8 = 1;
    /// Once a large datagram failed and one of the smallest size passed: the next request tries the largest.
    pub(super) const SUSPECTED: u8 = 2;
    /// The largest failed again: the next request tries the second size.
    pub(super) const CLIMBS_TO_1: u8 = 3;
    /// That passed: the next one tries the third.
    pub(super) const CLIMBS_TO_2: u8 = 4;
    /// It carries the size of this number less this constant.
    pub(super) const SMALL: u8 = 5;
    pub(super) const LARGEST_SMALL: u8 = 7;
}

/// What is known of the path to a contact. One byte: three bits for each direction, and whether it is news.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Path(u8);

/// How a request goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attempt {
    /// Bytes of the largest datagram; `None` for as many as this node writes or takes.
    pub(crate) limit: Option<u16>,
    /// Whether the next attempt follows at once, without waiting for an answer.
    pub(crate) probes: bool,
}

const NEWS: u8 = 0x40;

impl Path {
    pub(crate) const UNKNOWN: Self = Self(0);

    const fn state(self, way: Way) -> u8 {
        (self.0 >> way.shift()) & 7
    }

    fn set(&mut self, way: Way, state: u8) {
        let is_news = state >= state::SMALL && state != self.state(way);
        self.0 = (self.0 & !(7 << way.shift())) | ((state & 7) << way.shift()) | if is_news { NEWS } else { 0 };
    }

    pub(crate) fn has_news(self) -> bool {
        self.0 & NEWS != 0
    }

    /// Whether it has become small since this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        let news = self.0 & NEWS != 0;
        self.0 &= !NEWS;
        news
    }

    /// The size that passes, if that is known to be none of the largest, by its place among the sizes.
    fn class(self, way: Way) -> Option<u8> {
        match self.state(way) {
            state::UNKNOWN | state::OPEN => None,
            state::SUSPECTED | state::CLIMBS_TO_1 => Some(0),
            state::CLIMBS_TO_2 => Some(1),
            small => Some(small.saturating_sub(state::SMALL)),
        }
    }

    /// Bytes of the largest datagram that passes in this direction, if that is known to be few.
    pub(crate) fn limit(self, way: Way) -> Option<u16> {
        self.class(way).map(size_of_class)
    }

    /// What is known of it for certain, as far as anything is.
    pub(crate) fn limits(self) -> PathLimits {
        let certain = |way| self.limit(way).filter(|_| self.state(way) >= state::SMALL);
        PathLimits { out: certain(Way::Out), into: certain(Way::In) }
    }

    /// Whether large datagrams have passed in this direction.
    pub(crate) fn is_open(self, way: Way) -> bool {
        self.state(way) == state::OPEN
    }

    /// What is to be tried beyond the size that passes: a size, or the largest. `draw` is any random number.
    fn tries(self, way: Way, draw: u64) -> Option<Option<u16>> {
        let next = |class: usize| SIZES.get(class).copied();
        match (self.state(way), draw & 15) {
            (state::SUSPECTED, _) => Some(None),
            (state::CLIMBS_TO_1, _) => Some(next(1)),
            (state::CLIMBS_TO_2, _) => Some(next(2)),
            // There is little to gain.
            (state::LARGEST_SMALL, 0) if draw & 63 == 0 => Some(None),
            (state::LARGEST_SMALL, _) | (state::UNKNOWN | state::OPEN, _) => None,
            (_, 0) => Some(None),
            (small, 1) => Some(next(usize::from(small.saturating_sub(state::SMALL)).saturating_add(1))),
            _ => None,
        }
    }

    /// How attempt number `attempt` of a request, from 0, goes out. `narrow` tells that paths of this node tend to be small.
    pub(crate) fn attempt(self, way: Way, attempt: u8, draw: u64, narrow: bool) -> Attempt {
        let alone = |limit| Attempt { limit, probes: false };
        let smallest = Some(size_of_class(0));
        match (self.class(way), attempt) {
            (None, 0) => Attempt { limit: None, probes: narrow && !self.is_open(way) },
            // One lost answer to a STORE does not make a value travel by pulls; nor is a small path waited for twice.
            (None, 1) if way == Way::Out && self.is_open(way) => Attempt { limit: None, probes: true },
            (Some(class), 0) => match self.tries(way, draw) {
                Some(limit) => Attempt { limit, probes: true },
                None => alone(Some(size_of_class(class))),
            },
            (Some(class), 1) => alone(Some(size_of_class(class))),
            _ => alone(smallest),
        }
    }

    /// The size of chunks to pull with, `None` for the largest, and the one to try beside them, if any.
    pub(crate) fn pull(self, draw: u64, narrow: bool) -> (Option<u16>, Option<Option<u16>>) {
        match self.class(Way::In) {
            None if narrow && !self.is_open(Way::In) => (Some(size_of_class(0)), Some(None)),
            None => (None, None),
            Some(class) => (Some(size_of_class(class)), self.tries(Way::In, draw)),
        }
    }

    /// A datagram of `len` bytes has passed.
    pub(crate) fn passed(&mut self, way: Way, len: usize) {
        let passed = class_within(len.saturating_add(SLACK));
        let state = match (self.state(way), self.class(way)) {
            _ if is_large(len) => state::OPEN,
            (_, Some(known)) if passed > known => match passed {
                1 => state::CLIMBS_TO_2,
                _ => state::LARGEST_SMALL,
            },
            (state, _) => state,
        };
        // That it is less small than it was is no news.
        let news = self.0 & NEWS;
        self.set(way, state);
        self.0 = (self.0 & !NEWS) | news;
    }

    /// A datagram for which `limit` bytes were allowed has passed, and one of `larger` bytes has not.
    pub(crate) fn failed(&mut self, way: Way, limit: usize, larger: usize) {
        let class = class_within(limit);
        let before = self.state(way);
        let state = match before {
            // A list of contacts may well have passed where a value does not.
            state::OPEN if way == Way::In && larger.saturating_add(SLACK) > DATAGRAM_MAX => state::LARGEST_SMALL,
            state::OPEN if larger.saturating_add(SLACK) > DATAGRAM_MAX => state::SUSPECTED,
            state::OPEN => state::UNKNOWN,
            state::UNKNOWN => state::SUSPECTED,
            state::SUSPECTED => state::CLIMBS_TO_1,
            state::CLIMBS_TO_1 => state::SMALL,
            state::CLIMBS_TO_2 if class >= 1 => state::SMALL.saturating_add(1),
            small if small >= state::SMALL && class >= small.saturating_sub(state::SMALL) => small,
            _ => state::SUSPECTED,
        };
        self.set(way, state);
        // Most paths are as narrow in both directions. To ask at once costs a datagram; to wait for each direction costs time.
        let is_likely = state >= state::CLIMBS_TO_1 || (before == state::OPEN && state != state::UNKNOWN);
        if is_likely && state != before && self.class(way.back()).is_none() {
            self.set(way.back(), state::SUSPECTED);
        }
    }

    /// The contact itself has fallen back from large datagrams to the smallest.
    pub(crate) fn shown_small(&mut self, way: Way) {
        let state = match self.state(way) {
            state::CLIMBS_TO_1 => state::SMALL,
            state::CLIMBS_TO_2 => state::SMALL.saturating_add(1),
            _ => state::CLIMBS_TO_1,
        };
        self.set(way, state);
    }

    /// Takes over what is known elsewhere. Returns whether that is news.
    pub(crate) fn told(&mut self, limits: PathLimits) -> bool {
        let before = *self;
        let small = |bytes: u16| class_within(bytes.into()).saturating_add(state::SMALL);
        if let Some(into) = limits.into {
            self.set(Way::In, small(into));
        }
        if let Some(out) = limits.out {
            self.set(Way::Out, small(out));
            // Most paths are as narrow in both directions.
            if self.class(Way::In).is_none() {
                let suspected = if small(out) == state::SMALL { state::SUSPECTED } else { state::CLIMBS_TO_2 };
                self.set(Way::In, suspected);
            }
        }
        *self != before
    }

    /// The contact is silent: what has passed before says nothing any more.
    pub(crate) fn silent(&mut self) {
        for way in [Way::Out, Way::In] {
            if self.is_open(way) {
                self.set(way, state::UNKNOWN);
            }
        }
    }
}

/// Whether a datagram is larger than all that small paths carry.
pub(crate) fn is_large(len: usize) -> bool {
    len > size_of_class(2).into()
}

fn size_of_class(class: u8) -> u16 {
    SIZES.get(usize::from(class)).copied().unwrap_or(SIZES[0])
}

/// The largest class of no more than so many bytes, or the smallest of all.
fn class_within(bytes: usize) -> u8 {
    let more = SIZES.iter().skip(1).filter(|size| usize::from(**size) <= bytes).count();
    more as u8
}

/// A size in units of a byte's size, rounded up.
pub(crate) fn units(bytes: usize) -> u8 {
    u8::try_from(bytes.div_ceil(ROOM_UNIT)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A draw that tries nothing larger, one that tries the largest, and one that tries the next size.
    const DRAWS: [u64; 3] = [5, 64, 1];

    fn first(path: Path, draw: u64) -> (Option<u16>, bool) {
        let Attempt { limit, probes } = path.attempt(Way::In, 0, draw, false);
        (limit, probes)
    }

    #[test]
    fn an_unknown_path_is_tried_large_and_then_small() {
        let path = Path::UNKNOWN;
        for draw in DRAWS {
            assert_eq!(first(path, draw), (None, false));
            assert_eq!(path.attempt(Way::Out, 1, draw, false), Attempt { limit: Some(528), probes: false });
        }
        assert!(path.attempt(Way::Out, 0, 5, true).probes, "both at once where many paths are small");
    }

    #[test]
    fn a_small_path_is_found_and_its_size_climbed_to() {
        let mut path = Path::UNKNOWN;
        path.failed(Way::In, 528, 1232);
        assert_eq!(
            (first(path, 5), path.limits().out),
            ((None, true), None),
            "the largest once more, beside a small one"
        );
        path.failed(Way::In, 528, 1232);
        assert_eq!(first(path, 5), (Some(944), true));
        path.passed(Way::In, 926);
        assert_eq!(first(path, 5), (Some(1072), true));
        assert!(!path.take_news());
        path.failed(Way::In, 944, 1072);
        assert_eq!((first(path, 5), path.limits().into), ((Some(944), false), Some(944)));
        assert!(path.take_news() && !path.take_news(), "it is told once");
        assert_eq!((first(path, 64), first(path, 1)), ((None, true), (Some(1072), true)), "now and then more is tried");
        path.passed(Way::In, 1076);
        assert!(path.is_open(Way::In) && !path.take_news());
    }

    #[test]
    fn a_loss_makes_no_path_small() {
        let mut path = Path::UNKNOWN;
        path.passed(Way::In, 1076);
        path.failed(Way::In, 528, 1076);
        assert_eq!(first(path, 5), (None, false), "once is no reason to try twice");
        path.failed(Way::In, 528, 1076);
        assert_eq!(first(path, 5), (None, true));
        path.passed(Way::In, 1076);
        assert_eq!(first(path, 5), (None, false));
    }

    #[test]
    fn directions_are_apart_and_a_silent_contact_has_proven_nothing() {
        let mut path = Path::UNKNOWN;
        path.passed(Way::Out, 1232);
        path.failed(Way::In, 528, 1232);
        assert_eq!(path.attempt(Way::Out, 0, 5, false), Attempt { limit: None, probes: false }, "it may be a loss");
        assert_eq!(
            path.attempt(Way::Out, 1, 5, false),
            Attempt { limit: None, probes: true },
            "a path that has carried large ones is given another try, beside a small one"
        );
        (0..2).for_each(|_| path.failed(Way::In, 528, 1232));
        assert_eq!(path.limits(), PathLimits { out: None, into: Some(528) });
        assert_eq!(path.attempt(Way::Out, 0, 5, false), Attempt { limit: None, probes: true }, "it is likely");
        path.passed(Way::Out, 1232);
        path.failed(Way::In, 528, 1232);
        assert!(path.is_open(Way::Out), "it is asked once");
        path.silent();
        assert_eq!(path.attempt(Way::Out, 1, 5, false).limit, Some(528));
        assert_eq!(path.limits().into, Some(528));
    }

    #[test]
    fn an_open_path_that_fails_is_tried_in_both_sizes_and_both_directions() {
        let mut path = Path::UNKNOWN;
        path.passed(Way::Out, 1232);
        path.passed(Way::In, 1232);
        path.failed(Way::Out, 528, 1228);
        for way in [Way::Out, Way::In] {
            assert_eq!(path.attempt(way, 0, 5, false), Attempt { limit: None, probes: true });
            assert_eq!(path.limit(way), Some(528));
        }
        path.passed(Way::Out, 1232);
        path.passed(Way::In, 1232);
        assert!(path.is_open(Way::Out) && path.is_open(Way::In) && !path.has_news(), "it was a loss");
    }

    #[test]
    fn what_the_system_says_is_believed_for_the_way_out() {
        let mut path = Path::UNKNOWN;
        let limits = PathLimits { out: Some(972), into: None };
        assert!(path.told(limits) && !path.told(limits));
        assert_eq!((path.limits(), path.limit(Way::In)), (PathLimits { out: Some(944), into: None }, Some(944)));
        assert_eq!(first(path, 5), (Some(1072), true), "of the way in it is a guess");
        assert_eq!(path.attempt(Way::Out, 0, 5, false), Attempt { limit: Some(944), probes: false });
    }

    #[test]
    fn whatever_happens_every_state_has_a_size_and_a_way_out() {
        for bits in 0..64u8 {
            for way in [Way::Out, Way::In] {
                let mut path = Path(bits);
                assert!(path.limit(way).is_none_or(|limit| SIZES.contains(&limit)));
                path.failed(way, 528, 1232);
                path.passed(way, 1232);
                assert!(path.is_open(way));
            }
        }
    }
}
