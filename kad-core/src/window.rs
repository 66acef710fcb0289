//! The receiver's side of a pulled value: which chunks came, which are asked for, which to ask for next.
//!
//! A bitmap of 64 chunks slides over the value. At most a window of them is asked for at a time; it starts where the last
//! transfer from the same contact ended (RFC 9040), or at ten, doubles when everything came, halves when something was
//! lost. A chunk counts as lost when three later ones have come, or when nothing at all came for a round-trip time.

use kad_wire::limits::PULL_CHUNKS;

/// The first window from somebody of whom nothing is known, in chunks (RFC 6928 starts a connection with as many segments).
const FIRST_WINDOW: u8 = 10;
/// The most that is remembered of a path: enough for the largest value in one round, and no large burst on a path that has
/// changed since.
const REMEMBERED_MAX: u8 = 32;
/// Chunks of this size are half as long as usual, or less.
const SMALL_CHUNK: u16 = 600;
const MAX_WINDOW: u8 = PULL_CHUNKS as u8;
/// Later chunks that must come before an earlier one counts as lost (RFC 9002, section 6.1.1).
const REORDERING: u32 = 3;

/// How many times as many chunks are as much as usual, where the path carries small ones only.
const fn more_of(chunk_len: u16) -> u8 {
    if chunk_len <= SMALL_CHUNK { 2 } else { 1 }
}

/// What a chunk brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// A piece that was missing.
    New,
    /// One that is there already.
    Duplicate,
    /// No piece of this value: wrong offset or length.
    Invalid,
}

/// Chunks to ask for: bit i of the bitmap is the chunk at `offset + i * chunk_len`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) offset: u32,
    pub(crate) bitmap: u64,
}

/// Progress of one pulled value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    total_len: u32,
    chunk_len: u16,
    /// The first chunk that is missing; bit i of the bitmaps is chunk `base + i`.
    base: u32,
    received: u64,
    asked: u64,
    /// Asked for again because later chunks overtook them; they get no third request before the timer.
    hurried: u64,
    size: u8,
    lossy: bool,
}

impl Window {
    pub(crate) const EMPTY: Self =
        Self { total_len: 0, chunk_len: 0, base: 0, received: 0, asked: 0, hurried: 0, size: 0, lossy: false };

    /// The window of a value. `remembered` is what the last one of the same path left, 0 if there was none.
    pub(crate) const fn new(total_len: u32, chunk_len: u16, remembered: u8) -> Self {
        let first = FIRST_WINDOW.saturating_mul(more_of(chunk_len));
        let size = if remembered == 0 { first } else { remembered };
        Self { total_len, chunk_len, size, ..Self::EMPTY }
    }

    /// What the next transfer over the same path starts with.
    pub(crate) fn remember(&self) -> u8 {
        let size = if self.lossy { self.size / 2 } else { self.size };
        size.clamp(1, REMEMBERED_MAX.saturating_mul(more_of(self.chunk_len)))
    }

    pub(crate) const fn chunk_len(&self) -> u16 {
        self.chunk_len
    }

    fn chunks(&self) -> u32 {
        match u32::from(self.chunk_len) {
            0 => 0,
            chunk_len => self.total_len.div_ceil(chunk_len),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.base >= self.chunks()
    }

    /// Chunks that are on their way.
    #[inline(never)]
    pub(crate) const fn outstanding(&self) -> u32 {
        self.asked.count_ones()
    }

    /// Bits of the chunks from `base` on that exist.
    fn existing(&self) -> u64 {
        match self.chunks().saturating_sub(self.base) {
            left if left >= PULL_CHUNKS => u64::MAX,
            left => (1u64 << left).wrapping_sub(1),
        }
    }

    /// The chunks to ask for now, with at most `credit` datagrams of receive buffer free: those that are missing and not on
    /// their way, once half the window has come.
    pub(crate) fn next(&self, credit: u32) -> Option<Request> {
        let outstanding = self.outstanding();
        let size = u32::from(self.size);
        if outstanding > size / 2 {
            return None;
        }
        let room = size.saturating_sub(outstanding).min(credit);
        let mut missing = self.existing() & !self.received & !self.asked;
        let mut bitmap = 0;
        for _ in 0..room {
            let lowest = missing & missing.wrapping_neg();
            bitmap |= lowest;
            missing ^= lowest;
        }
        let offset = self.base.saturating_mul(self.chunk_len.into());
        if bitmap == 0 { None } else { Some(Request { offset, bitmap }) }
    }

    /// Notes that `request` was sent.
    pub(crate) fn sent(&mut self, request: &Request) {
        self.asked |= request.bitmap;
    }

    /// Notes a chunk, whose bytes the caller keeps if it is [new](Arrival::New).
    pub(crate) fn arrived(&mut self, offset: u32, len: usize) -> Arrival {
        let chunk_len = u32::from(self.chunk_len);
        let Some(chunk) = offset.checked_div(chunk_len) else { return Arrival::Invalid };
        let expected = self.total_len.saturating_sub(offset).min(chunk_len);
        if offset.checked_rem(chunk_len) != Some(0) || len != expected as usize || expected == 0 {
            return Arrival::Invalid;
        }
        let Some(index) = chunk.checked_sub(self.base) else { return Arrival::Duplicate };
        if index >= PULL_CHUNKS {
            return Arrival::Invalid;
        }
        let bit = 1u64 << index;
        if self.received & bit != 0 {
            return Arrival::Duplicate;
        }
        self.received |= bit;
        self.asked &= !bit;
        self.hurry(index);
        if self.asked == 0 {
            self.round_ended();
        }
        self.slide();
        Arrival::New
    }

    /// Treats chunks as lost that were asked for and overtaken by at least three later ones.
    fn hurry(&mut self, arrived: u32) {
        let earlier = arrived.saturating_sub(REORDERING.saturating_sub(1));
        let overtaken = 1u64.checked_shl(earlier).unwrap_or(0).wrapping_sub(1);
        let lost = self.asked & overtaken & !self.hurried;
        if lost != 0 {
            self.asked &= !lost;
            self.hurried |= lost;
            self.lossy = true;
        }
    }

    fn round_ended(&mut self) {
        self.size = if self.lossy { (self.size / 2).max(1) } else { self.size.saturating_mul(2).min(MAX_WINDOW) };
        self.lossy = false;
    }

    fn slide(&mut self) {
        let done = self.received.trailing_ones().min(PULL_CHUNKS);
        self.base = self.base.saturating_add(done);
        for bitmap in [&mut self.received, &mut self.asked, &mut self.hurried] {
            *bitmap = bitmap.checked_shr(done).unwrap_or(0);
        }
    }

    /// Nothing came for too long: everything on its way is lost. If that happens `again`, one chunk is asked for (RFC 5681, section
    /// 3.1): what holders send together may be lost together, as by a filter that sees it before it is split.
    pub(crate) fn lost(&mut self, again: bool) {
        self.asked = 0;
        self.hurried = 0;
        self.size = if again { 1 } else { (self.size / 2).max(1) };
        self.lossy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks_of(request: &Request, chunk_len: u32) -> Vec<u32> {
        (0..64).filter(|bit| request.bitmap >> bit & 1 == 1).map(|bit| request.offset + bit * chunk_len).collect()
    }

    fn len_at(total: u32, chunk_len: u32, offset: u32) -> usize {
        (total - offset).min(chunk_len) as usize
    }

    #[test]
    fn the_window_doubles_on_clean_rounds_and_is_asked_for_early() {
        let mut window = Window::new(64 * 1200, 1200, 0);
        let first = window.next(u32::MAX).unwrap();
        assert_eq!(first, Request { offset: 0, bitmap: 0x3ff });
        window.sent(&first);
        assert_eq!(window.next(u32::MAX), None);
        for chunk in 0..5 {
            window.arrived(chunk * 1200, 1200);
        }
        let second = window.next(u32::MAX).unwrap();
        assert_eq!(second, Request { offset: 6000, bitmap: 0x3e0 }, "half has come: the next five");
        window.sent(&second);
        for chunk in 5..15 {
            window.arrived(chunk * 1200, 1200);
        }
        assert_eq!(window.next(u32::MAX).unwrap().bitmap.count_ones(), 20);
        assert_eq!(window.next(6).unwrap().bitmap.count_ones(), 6, "credit bounds it");
        assert_eq!(window.next(0), None);
    }

    #[test]
    fn an_overtaken_chunk_is_asked_for_at_once_and_only_once() {
        let mut window = Window::new(20 * 1000, 1000, 0);
        let first = window.next(u32::MAX).unwrap();
        window.sent(&first);
        for chunk in [1, 2] {
            window.arrived(chunk * 1000, 1000);
        }
        assert_eq!(window.outstanding(), 8, "two later ones are no proof of loss");
        window.arrived(3000, 1000);
        assert_eq!(window.outstanding(), 6, "three are");
        for chunk in 4..7 {
            window.arrived(chunk * 1000, 1000);
        }
        let again = window.next(u32::MAX).unwrap();
        assert!(again.bitmap & 1 == 1);
        window.sent(&again);
        for chunk in 7..10 {
            window.arrived(chunk * 1000, 1000);
        }
        assert!(window.asked & 1 == 1, "it is on its way again, so it is not asked for a third time");
        window.lost(false);
        assert!(window.next(u32::MAX).unwrap().bitmap & 1 == 1);
    }

    #[test]
    fn the_next_window_starts_where_this_one_ended() {
        let pulled = |remembered: u8, lost: bool| {
            let mut window = Window::new(14 * 1000, 1000, remembered);
            let mut requests = 0;
            while let Some(request) = window.next(u32::MAX) {
                window.sent(&request);
                requests += 1;
                if lost && requests == 1 {
                    window.lost(false);
                    continue;
                }
                for offset in chunks_of(&request, 1000) {
                    window.arrived(offset, 1000);
                }
            }
            assert!(window.is_complete());
            (requests, window.remember())
        };
        assert_eq!(pulled(0, false), (2, 32), "two rounds at first");
        assert_eq!(pulled(32, false), (1, 32), "and one once the path is known");
        let (_, after_loss) = pulled(2, true);
        assert_eq!(after_loss, 16, "one after the loss, and twice as many after each of four clean rounds");
        let mut silent = Window::new(14 * 1000, 1000, 32);
        for _ in 0..9 {
            silent.next(u32::MAX).iter().for_each(|request| silent.sent(request));
            silent.lost(false);
        }
        assert_eq!(silent.remember(), 1, "whoever is silent is asked for one chunk the next time");
    }

    #[test]
    fn what_is_no_chunk_of_the_value_is_invalid() {
        let mut window = Window::new(2500, 1000, 0);
        for (offset, len) in [(1, 1000), (0, 999), (2000, 1000), (3000, 0), (3000, 1), (u32::MAX, 1), (64_000, 1000)] {
            assert_eq!(window.arrived(offset, len), Arrival::Invalid, "{offset} {len}");
        }
        assert_eq!(window.arrived(2000, 500), Arrival::New);
        assert_eq!(window.arrived(2000, 500), Arrival::Duplicate);
    }

    /// What can befall a window: chunks of any place and length, asked for or not, and silence.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask {
            credit: u32,
        },
        /// The chunk of this number, in the length that it should have.
        Chunk(u32),
        /// The oldest chunk that is on its way.
        Next,
        Bytes {
            offset: u32,
            len: usize,
        },
        Silence,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u32..80).prop_map(|credit| Step::Ask { credit }),
            8 => Just(Step::Next),
            3 => (0u32..140).prop_map(Step::Chunk),
            1 => (any::<u32>(), 0usize..1500).prop_map(|(offset, len)| Step::Bytes { offset, len }),
            1 => Just(Step::Silence),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(crate::repeatable(500))]

        /// Whatever comes, a set of chunk numbers says the same: what is new, what is complete, what is on its way.
        #[test]
        fn behaves_like_a_set_of_chunks(chunks in 1u32..140, tail in 1u32..=100, steps in steps()) {
            const STEP: u32 = 100;
            let total = (chunks - 1) * STEP + tail;
            let mut window = Window::new(total, STEP as u16, 0);
            let (mut here, mut asked) = (std::collections::BTreeSet::new(), std::collections::VecDeque::new());
            for step in steps {
                let chunk = match step {
                    Step::Ask { credit } => {
                        if let Some(request) = window.next(credit) {
                            let wanted = chunks_of(&request, STEP);
                            prop_assert!(wanted.len() as u32 <= credit && wanted.iter().all(|&offset| offset < total));
                            prop_assert!(wanted.iter().all(|offset| !here.contains(&(offset / STEP))), "only what is missing");
                            asked.extend(wanted.iter().map(|offset| offset / STEP));
                            window.sent(&request);
                        }
                        continue;
                    }
                    Step::Silence => {
                        window.lost(false);
                        asked.clear();
                        prop_assert_eq!(window.outstanding(), 0);
                        let again = window.next(1);
                        prop_assert_eq!(again.is_none(), window.is_complete(), "what was lost is asked for again");
                        let first = (0..chunks).find(|chunk| !here.contains(chunk));
                        prop_assert_eq!(again.map(|again| chunks_of(&again, STEP)[0] / STEP), first, "the first first");
                        continue;
                    }
                    Step::Bytes { offset, len } => {
                        let fits = offset % STEP == 0 && offset < total && len == len_at(total, STEP, offset);
                        if !fits {
                            prop_assert_eq!(window.arrived(offset, len), Arrival::Invalid);
                            continue;
                        }
                        offset / STEP
                    }
                    Step::Next => match asked.pop_front() {
                        Some(chunk) => chunk,
                        None => continue,
                    },
                    Step::Chunk(chunk) => chunk,
                };
                let base = (0..).find(|chunk| !here.contains(chunk)).unwrap_or(chunks);
                let expected = if chunk >= chunks || chunk >= base + 64 {
                    Arrival::Invalid
                } else if here.contains(&chunk) {
                    Arrival::Duplicate
                } else {
                    Arrival::New
                };
                let len = if chunk < chunks { len_at(total, STEP, chunk * STEP) } else { STEP as usize };
                prop_assert_eq!(window.arrived(chunk * STEP, len), expected);
                if expected == Arrival::New {
                    here.insert(chunk);
                }
                prop_assert_eq!(window.is_complete(), here.len() as u32 == chunks, "complete if all is there");
                prop_assert!(window.outstanding() as usize <= asked.iter().filter(|chunk| !here.contains(chunk)).count());
            }
        }
    }

    proptest! {
        #![proptest_config(crate::repeatable(256))]

        /// Any loss, duplication and reordering: every chunk is accepted once, nothing that was not asked for, and the
        /// value completes as soon as the path delivers.
        #[test]
        fn completes_with_exactly_the_value_whatever_the_path_does(
            total in 1u32..200_000,
            chunk_len in 400u16..1500,
            remembered in 0u8..=32,
            credit in 1u32..70,
            fate in prop::collection::vec(0u8..10, 1..400),
            shuffle in any::<u64>(),
        ) {
            let step = u32::from(chunk_len);
            let mut window = Window::new(total, chunk_len, remembered);
            let mut got = vec![false; total.div_ceil(step) as usize];
            let mut path: Vec<u32> = Vec::new();
            let mut fates = fate.iter().copied().chain(std::iter::repeat(9));
            let mut rounds = 0u32;
            while !window.is_complete() {
                rounds += 1;
                prop_assert!(rounds < 20_000, "no progress");
                while let Some(request) = window.next(credit) {
                    prop_assert!(request.bitmap.count_ones() <= credit.min(64));
                    window.sent(&request);
                    for offset in chunks_of(&request, step) {
                        prop_assert!(offset < total && !got[(offset / step) as usize]);
                        match fates.next().unwrap() {
                            0 | 1 => {}
                            2 => path.extend([offset, offset]),
                            _ => path.push(offset),
                        }
                    }
                    if path.len() > 64 { break; }
                }
                if path.is_empty() {
                    window.lost(false);
                    continue;
                }
                let at = (shuffle.wrapping_mul(u64::from(rounds)) % 4) as usize;
                let offset = path.remove(at.min(path.len() - 1));
                let first = !std::mem::replace(&mut got[(offset / step) as usize], true);
                let arrival = window.arrived(offset, len_at(total, step, offset));
                prop_assert_eq!(arrival, if first { Arrival::New } else { Arrival::Duplicate });
            }
            prop_assert!(got.iter().all(|&got| got));
            prop_assert_eq!(window.next(credit), None);
        }
    }
}
