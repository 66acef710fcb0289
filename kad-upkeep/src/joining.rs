//! When a node joins its network, and joins it again.

use core::time::Duration;

use kad_wire::Instant;

/// Pauses between vain attempts grow from here ...
const PAUSE: Duration = Duration::from_secs(1);
/// ... to here, or to the interval between two joins if that is shorter.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How a node stands with its network: decides when it looks for its bootstrap nodes.
///
/// Until somebody answers it tries again, with pauses that grow. A node that knows others does it now and then all the
/// same: parts of a network that lost each other find together only through somebody whom both know.
///
/// ```
/// use core::time::Duration;
/// use kad_upkeep::Joining;
/// use kad_wire::Instant;
///
/// let now = Instant::ZERO;
/// let mut joining = Joining::new(true, Duration::from_secs(600), 7);
/// assert!(joining.is_due(now, 0));
/// // ... node.join(..), whose end says that nobody answered:
/// joining.ended(now, 0, 0);
/// assert!(!joining.is_due(now, 0) && joining.is_due(now + Duration::from_secs(2), 0));
/// ```
#[derive(Debug)]
pub struct Joining {
    settled: bool,
    has_bootstrap: bool,
    /// When the next attempt is due, if none is under way.
    next: Option<Instant>,
    attempts: u32,
    under_way: bool,
    /// Whether another attempt is wanted as soon as the one that is under way has ended.
    repeat: bool,
    /// When a node that knows others joins again.
    again: Instant,
    interval: Duration,
    random: fastrand::Rng,
    /// What the order of addresses follows from, together with the number of the pass through them.
    order: u64,
    pass: u64,
    /// Addresses of this pass that have been tried.
    tried: usize,
}

impl Joining {
    /// A node that is about to join through its bootstrap nodes, if it has any, and again every `interval`, give or take a
    /// quarter. The seed spreads nodes over time; it need not be secret.
    pub fn new(has_bootstrap: bool, interval: Duration, seed: u64) -> Self {
        Self {
            settled: !has_bootstrap,
            has_bootstrap,
            next: has_bootstrap.then_some(Instant::ZERO),
            attempts: 0,
            under_way: false,
            repeat: false,
            again: Instant::ZERO,
            interval,
            random: fastrand::Rng::with_seed(seed),
            order: seed,
            pass: 0,
            tried: 0,
        }
    }

    /// Returns the addresses to try now, of all that there are: as many as there are places, in another order each time, and
    /// each of them once before any is tried again. `all` must come in the same order each time.
    pub fn choose<'a, T>(&mut self, all: &'a mut [T], places: usize) -> &'a mut [T] {
        if self.tried >= all.len() {
            (self.pass, self.tried) = (self.pass.wrapping_add(1), 0);
        }
        let places = places.min(all.len().saturating_sub(self.tried));
        fastrand::Rng::with_seed(self.order.wrapping_add(self.pass)).shuffle(all);
        all.rotate_left(self.tried.min(all.len()));
        self.tried = self.tried.saturating_add(places.max(1));
        all.get_mut(..places).unwrap_or_default()
    }

    /// Whether the first attempt has ended, or there is nobody to join.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// When [`is_due`](Self::is_due) is to be asked again; `None` while an attempt is under way.
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether an attempt has begun, and not [`ended`](Self::ended).
    pub const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The bootstrap nodes are others than before: joins through them at once, if there are any.
    pub fn set_bootstrap(&mut self, now: Instant, has_bootstrap: bool) {
        self.has_bootstrap = has_bootstrap;
        self.hurry(now);
    }

    /// The node, or the way to its network, has moved: joins again at once, or as soon as the attempt that is under way has
    /// ended, although others are known.
    pub fn hurry(&mut self, now: Instant) {
        (self.again, self.attempts, self.repeat) = (now, 0, self.under_way);
        if !self.under_way {
            self.next = Some(now);
        }
    }

    /// Whether to join now. If so, [`ended`](Self::ended) must be called when that is over.
    pub fn is_due(&mut self, now: Instant, contacts: usize) -> bool {
        if self.next.is_none_or(|at| now < at) {
            return false;
        }
        if !self.has_bootstrap && contacts == 0 {
            // There is nobody to ask.
            self.next = None;
            return false;
        }
        if self.settled && contacts > 0 && now < self.again {
            // Look again later whether it still knows others.
            self.next = Some(self.again.min(now + PAUSE_MAX));
            return false;
        }
        self.again = now + self.interval * 3 / 4 + self.share_of(self.interval / 2);
        (self.next, self.under_way) = (None, true);
        true
    }

    /// An attempt has ended: how many nodes answered, and how many are known now. Answers with the pause until the next
    /// attempt, which is zero if the node knows others.
    pub fn ended(&mut self, now: Instant, answered: usize, contacts: usize) -> Duration {
        self.under_way = false;
        if core::mem::take(&mut self.repeat) {
            (self.settled, self.again) = (true, now);
            self.next = Some(now);
            return Duration::ZERO;
        }
        let pause = if contacts == 0 { self.pause() } else { Duration::ZERO };
        self.attempts = if answered == 0 && contacts == 0 { self.attempts.saturating_add(1) } else { 0 };
        self.next = self.has_bootstrap.then(|| now + pause);
        self.settled = true;
        pause
    }

    /// A pause that grows with the attempts, anywhere between a little and all of it: many nodes that lost the same network
    /// must not come back at the same moment.
    fn pause(&mut self) -> Duration {
        let longest = PAUSE.saturating_mul(1 << self.attempts.min(6)).min(PAUSE_MAX).min(self.interval);
        PAUSE / 4 + self.share_of(longest)
    }

    /// Anything up to a span.
    fn share_of(&mut self, span: Duration) -> Duration {
        let millis = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        Duration::from_millis(self.random.u32(0..=millis).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    #[test]
    fn vain_attempts_come_at_growing_pauses() {
        let (mut now, mut joining) = (Instant::ZERO, Joining::new(true, INTERVAL, 1));
        let mut longest = Duration::ZERO;
        for attempt in 0..40 {
            assert!(joining.is_due(now, 0), "attempt {attempt}");
            assert_eq!(joining.next(), None, "one at a time");
            let pause = joining.ended(now, 0, 0);
            assert!(pause <= PAUSE / 4 + PAUSE.saturating_mul(1 << attempt.min(6)).min(PAUSE_MAX));
            longest = longest.max(pause);
            assert!(!joining.is_due(now, 0));
            now = joining.next().unwrap();
        }
        assert!(longest > PAUSE_MAX / 2);
    }

    #[test]
    fn who_knows_others_joins_again_within_a_quarter_of_the_interval() {
        for seed in 0..50 {
            let (mut now, mut joining) = (Instant::ZERO, Joining::new(true, INTERVAL, seed));
            assert!(joining.is_due(now, 0) && !joining.is_settled());
            joining.ended(now, 3, 3);
            assert!(joining.is_settled());
            while !joining.is_due(now, 3) {
                now = joining.next().unwrap();
            }
            assert!((450..=750).contains(&(now.as_micros() / 1_000_000)), "{now:?}");
        }
    }

    #[test]
    fn a_node_that_moved_joins_at_once_or_after_the_attempt_that_is_under_way() {
        let (mut now, mut joining) = (Instant::ZERO, Joining::new(true, INTERVAL, 1));
        assert!(joining.is_due(now, 0));
        joining.hurry(now);
        assert_eq!(joining.next(), None, "one at a time");
        now = now + Duration::from_secs(1);
        joining.ended(now, 3, 3);
        assert!(joining.is_due(now, 3), "what was under way may have used the old way");
        joining.ended(now, 3, 3);
        assert!(!joining.is_due(now, 3));
        joining.hurry(now);
        assert!(joining.is_due(now, 3));
        joining.ended(now, 3, 3);
        joining.set_bootstrap(now, false);
        assert!(!joining.is_due(now, 0) && joining.next().is_none(), "there is nobody to ask");
        joining.hurry(now);
        assert!(joining.is_due(now, 3), "its contacts are asked");
        joining.ended(now, 3, 3);
        assert_eq!(joining.next(), None);
    }

    #[test]
    fn all_addresses_are_tried_before_any_is_tried_again_in_changing_order() {
        for (all, places) in [(20, 24), (36, 24), (16, 5), (4, 3), (1, 1), (0, 4), (3, 0)] {
            let mut joining = Joining::new(true, INTERVAL, 9);
            let (mut tried, mut firsts) = ([0u32; 64], [false; 64]);
            for _ in 0..200 {
                let mut addresses: [usize; 64] = core::array::from_fn(|number| number);
                let chosen = joining.choose(&mut addresses[..all], places);
                assert!(chosen.len() <= places);
                chosen.iter().for_each(|number| tried[*number] += 1);
                if let Some(number) = chosen.first() {
                    firsts[*number] = true;
                }
                if all > 0 && places > 0 {
                    let (least, most) = (tried[..all].iter().min().unwrap(), tried[..all].iter().max().unwrap());
                    assert!(most - least <= 1, "{places} of {all}: {:?}", &tried[..all]);
                }
            }
            assert!(places == 0 || firsts[..all].iter().all(|first| *first), "each comes first now and then");
        }
    }

    #[test]
    fn who_loses_everybody_joins_soon_and_who_has_nobody_to_join_never() {
        let mut joining = Joining::new(true, INTERVAL, 1);
        assert!(joining.is_due(Instant::ZERO, 0));
        joining.ended(Instant::ZERO, 3, 3);
        assert!(!joining.is_due(Instant::ZERO, 3));
        let look = joining.next().unwrap();
        assert!(look <= Instant::ZERO + PAUSE_MAX);
        assert!(joining.is_due(look, 0), "nobody is left");

        let mut alone = Joining::new(false, INTERVAL, 1);
        assert!(alone.is_settled() && !alone.is_due(Instant::FAR_FUTURE, 0));
    }
}
