//! What the path does to a datagram: delays it, loses it, sends it twice. Sans-IO like the nodes: it only says when copies
//! arrive.

use std::ops::Range;

use kad_wire::Instant;

use crate::dice::Dice;

/// A probability in parts per million: integers, so that runs repeat on every machine.
pub type PartsPerMillion = u32;

/// How paths behave.
#[derive(Clone, Debug)]
pub struct Network {
    /// One-way delay in microseconds. Its spread reorders.
    pub delay_us: Range<u64>,
    /// Datagrams that do not arrive.
    pub loss: PartsPerMillion,
    /// Datagrams that arrive twice.
    pub duplication: PartsPerMillion,
    /// Datagrams that are held back for ten times the longest delay.
    pub straggling: PartsPerMillion,
}

impl Network {
    /// 5 to 45 ms, nothing lost.
    pub const STEADY: Self = Self { delay_us: 5_000..45_000, loss: 0, duplication: 0, straggling: 0 };
    /// Everything at once: 10 % lost, 5 % twice, 5 % late.
    pub const ROUGH: Self = Self { delay_us: 5_000..45_000, loss: 100_000, duplication: 50_000, straggling: 50_000 };

    /// When the copies of a datagram that is sent `now` arrive: none, one or two.
    pub(crate) fn arrivals(&self, now: Instant, dice: &mut Dice) -> impl Iterator<Item = Instant> + use<> {
        let copies = if dice.chance(self.loss) { 0 } else { 1 + usize::from(dice.chance(self.duplication)) };
        let mut arrivals = [None; 2];
        for arrival in arrivals.iter_mut().take(copies) {
            let spread = dice.below(self.delay_us.end - self.delay_us.start);
            let held_back = if dice.chance(self.straggling) { 10 * self.delay_us.end } else { 0 };
            *arrival = Some(now.plus_micros(self.delay_us.start + spread + held_back));
        }
        arrivals.into_iter().flatten()
    }
}
