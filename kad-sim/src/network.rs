//! What paths do to datagrams: delay them, lose them, send them twice, hold them back. Sans-IO like the nodes: it only says
//! when copies arrive.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use kad_wire::Instant;

use crate::dice::Dice;

/// A probability in parts per million: integers, so that runs repeat on every machine.
pub type PartsPerMillion = u32;

/// Regions of the [geography](Delay::Geography).
pub const REGIONS: usize = 6;

/// One-way delays between regions in milliseconds, as round numbers: western and eastern North America, South America,
/// Europe, southern and eastern Asia.
const GEOGRAPHY_MS: [[u32; REGIONS]; REGIONS] = [
    [8, 32, 90, 70, 110, 60],
    [32, 8, 60, 40, 95, 85],
    [90, 60, 10, 95, 150, 140],
    [70, 40, 95, 10, 60, 115],
    [110, 95, 150, 60, 15, 45],
    [60, 85, 140, 115, 45, 10],
];

/// How long a datagram takes one way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delay {
    /// Anything in this range of microseconds. Its spread reorders.
    Even(Range<u64>),
    /// What lies between two nodes' regions, and up to a fifth more by chance.
    Geography,
    /// The same between two nodes each time, within a twentieth: what lies between their regions, a detour of up to three
    /// tenths that is theirs alone, and the lines at both ends. Round trips are 20 to 520 ms, 200 on average. The form is
    /// that of measured ones (Dabek et al., NSDI 2004); the figures are round ones.
    Pairs,
}

impl Delay {
    /// The least that it can be between two nodes, in microseconds.
    pub(crate) fn least_us(&self, from: &Link, to: &Link) -> u64 {
        match self {
            Self::Even(range) => range.start,
            Self::Geography => regions_us(from, to),
            Self::Pairs => between_us(from, to),
        }
    }
}

/// Loss in bursts (Gilbert and Elliott): the way into a node is good or bad, and changes with each datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bursts {
    /// A good way becomes bad.
    pub begin: PartsPerMillion,
    /// A bad way becomes good.
    pub end: PartsPerMillion,
    /// Datagrams that a bad way loses.
    pub loss: PartsPerMillion,
}

/// How paths behave.
#[derive(Clone, Debug)]
pub struct Network {
    /// One-way delay.
    pub delay: Delay,
    /// Datagrams that do not arrive, each for itself.
    pub loss: PartsPerMillion,
    /// Datagrams that do not arrive, many in a row.
    pub bursts: Option<Bursts>,
    /// Datagrams that arrive twice.
    pub duplication: PartsPerMillion,
    /// Datagrams that are held back for half a second.
    pub straggling: PartsPerMillion,
}

impl Network {
    /// 5 to 45 ms, nothing lost.
    pub const STEADY: Self =
        Self { delay: Delay::Even(5_000..45_000), loss: 0, bursts: None, duplication: 0, straggling: 0 };
    /// Everything at once: 10 % lost, 5 % twice, 5 % late.
    pub const ROUGH: Self = Self { loss: 100_000, duplication: 50_000, straggling: 50_000, ..Self::STEADY };
    /// Nodes all over the world, one datagram in a thousand lost.
    pub const WORLDWIDE: Self = Self { delay: Delay::Geography, loss: 1_000, ..Self::STEADY };
    /// The same with a delay of its own for each pair of nodes.
    pub const PAIRS: Self = Self { delay: Delay::Pairs, ..Self::WORLDWIDE };

    /// How long a datagram takes between two nodes.
    fn delay_us(&self, from: &Link, to: &Link, dice: &mut Dice) -> u64 {
        let least = self.delay.least_us(from, to);
        let most = match &self.delay {
            Delay::Even(range) => range.end,
            Delay::Geography => least + least / 5,
            Delay::Pairs => least + least / 20,
        };
        least + dice.below(most - least) + if dice.chance(self.straggling) { 500_000 } else { 0 }
    }

    /// When the copies of a datagram arrive: none, one or two.
    pub(crate) fn arrivals(
        &self,
        now: Instant,
        dice: &mut Dice,
        from: &mut Link,
        to: &mut Link,
        len: usize,
    ) -> impl Iterator<Item = Instant> + use<> {
        let mut arrivals = [None; 2];
        let sent = from.leaves(now, len);
        let lost = dice.chance(self.loss) || self.bursts.is_some_and(|bursts| to.is_lost(bursts, dice));
        let passes =
            from.narrow.is_none_or(|narrow| len <= narrow.out) && to.narrow.is_none_or(|narrow| len <= narrow.into);
        if let Some(sent) = sent
            && !lost
            && passes
            && from.part == to.part
        {
            let copies = 1 + usize::from(dice.chance(self.duplication));
            for arrival in arrivals.iter_mut().take(copies) {
                *arrival = Some(sent.plus_micros(self.delay_us(from, to, dice)));
            }
        }
        arrivals.into_iter().flatten()
    }
}

/// One way between two nodes' regions.
fn regions_us(from: &Link, to: &Link) -> u64 {
    u64::from(GEOGRAPHY_MS[usize::from(from.region)][usize::from(to.region)]) * 1000
}

/// One way between two nodes, the same in both directions.
fn between_us(from: &Link, to: &Link) -> u64 {
    let detour = Dice::new(from.site ^ to.site).below(300);
    regions_us(from, to) * (1000 + detour) / 1000 + from.access_us() + to.access_us()
}

/// The way out of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uplink {
    /// Bytes a second.
    pub rate: u64,
    /// Microseconds that a datagram waits for others at the most; what would wait longer is dropped.
    pub patience_us: u64,
}

/// How long a NAT remembers whom the node behind it wrote to (RFC 4787, REQ-5 asks for two minutes; many remember less).
const NAT_US: u64 = 60_000_000;

/// The largest datagrams that pass between a node and all others, as bytes of UDP payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Narrow {
    /// On the way out.
    pub out: usize,
    /// On the way in.
    pub into: usize,
    /// Whether the node is told that what it has sent is too large, as it is where its own link is the small one. Otherwise
    /// nothing is heard of it.
    pub tells: bool,
}

impl Narrow {
    /// Both ways, without a word.
    pub fn silent(bytes: usize) -> Self {
        Self { out: bytes, into: bytes, tells: false }
    }
}

/// How a node is connected.
#[derive(Clone, Default, Debug)]
pub struct Link {
    /// Its region of the [geography](Delay::Geography), below [`REGIONS`].
    pub region: u8,
    /// Stands for where exactly it is: its own line, and its detours to others, follow from this.
    pub site: u64,
    /// Only nodes of the same part of a partitioned network reach each other.
    pub part: u8,
    /// The way out, where that matters.
    pub uplink: Option<Uplink>,
    /// Where large datagrams do not pass.
    pub narrow: Option<Narrow>,
    /// Whether only those reach it whom it has written to lately, as behind a NAT with address-dependent filtering
    /// (RFC 4787, section 5).
    pub behind_nat: bool,
    /// Until when the way out is busy.
    busy_until: u64,
    /// Whether the way in is in a bad phase.
    bad: bool,
    /// Whom the node behind the NAT has written to, and until when they are let in.
    holes: BTreeMap<SocketAddr, u64>,
}

impl Link {
    /// A plain link somewhere in a region.
    pub fn in_region(region: u8, site: u64) -> Self {
        Self { region, site, ..Self::default() }
    }

    /// What the node's own line adds one way: half a millisecond to 32, each octave as often as any other.
    fn access_us(&self) -> u64 {
        let mut dice = Dice::new(self.site);
        (500 + dice.below(500)) << dice.below(6)
    }

    /// When a datagram has left; `None` if it waits too long.
    fn leaves(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(uplink) = self.uplink else { return Some(now) };
        let begin = self.busy_until.max(now.as_micros());
        if begin - now.as_micros() > uplink.patience_us {
            return None;
        }
        self.busy_until = begin + len as u64 * 1_000_000 / uplink.rate.max(1);
        Some(Instant::from_micros(self.busy_until))
    }

    /// The largest datagram that leaves, if this one is larger and the node is told.
    pub(crate) fn refuses(&self, len: usize) -> Option<usize> {
        self.narrow.filter(|narrow| narrow.tells && len > narrow.out).map(|narrow| narrow.out)
    }

    fn is_lost(&mut self, bursts: Bursts, dice: &mut Dice) -> bool {
        self.bad = if self.bad { !dice.chance(bursts.end) } else { dice.chance(bursts.begin) };
        self.bad && dice.chance(bursts.loss)
    }

    /// The node writes to somebody: they are let in for a while.
    pub(crate) fn wrote(&mut self, now: Instant, to: SocketAddr) {
        if self.behind_nat {
            self.holes.insert(to, now.as_micros() + NAT_US);
        }
    }

    /// Whether somebody's datagram is let in.
    pub(crate) fn lets_in(&mut self, now: Instant, from: SocketAddr) -> bool {
        if !self.behind_nat {
            return true;
        }
        if self.holes.len() > 4096 {
            self.holes.retain(|_, until| *until > now.as_micros());
        }
        self.holes.get(&from).is_some_and(|until| *until > now.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(network: &Network, links: &mut (Link, Link), count: usize, len: usize) -> Vec<u64> {
        let mut dice = Dice::new(1);
        let now = Instant::from_micros(1_000_000);
        let (from, to) = links;
        (0..count)
            .flat_map(|_| network.arrivals(now, &mut dice, from, to, len).collect::<Vec<_>>())
            .map(|at| at.as_micros() - 1_000_000)
            .collect()
    }

    #[test]
    fn delays_follow_the_geography() {
        let mut links = (Link { region: 2, ..Link::default() }, Link { region: 4, ..Link::default() });
        let network = Network { loss: 0, ..Network::WORLDWIDE };
        let delays = sent(&network, &mut links, 1000, 100);
        assert_eq!(delays.len(), 1000);
        assert!(delays.iter().all(|delay| (150_000..180_000).contains(delay)));
    }

    #[test]
    fn a_pair_of_nodes_keeps_its_round_trip_and_pairs_differ() {
        let network = Network { loss: 0, ..Network::PAIRS };
        let mut means = Vec::new();
        for pair in 0..1000u64 {
            let link = |salt: u64| {
                let mut dice = Dice::new(pair * 2 + salt);
                Link::in_region(dice.below(REGIONS as u64) as u8, dice.below(u64::MAX))
            };
            let mut links = (link(0), link(1));
            let there = sent(&network, &mut links, 20, 100);
            let mut turned = (links.1, links.0);
            let back = sent(&network, &mut turned, 20, 100);
            let least = there.iter().chain(&back).min().unwrap();
            let most = there.iter().chain(&back).max().unwrap();
            assert!(*most <= least + least / 20 && (8_900..275_000).contains(least), "{least} to {most}");
            means.push((least + most) / 2);
        }
        let mean_ms = 2 * means.iter().sum::<u64>() / means.len() as u64 / 1000;
        assert!((195..215).contains(&mean_ms), "{mean_ms}");
    }

    #[test]
    fn bursts_lose_as_much_as_their_numbers_say_and_in_a_row() {
        // One in ten good ways turns bad, one in five bad ones good: a third of the time is bad, and half is lost in it.
        let bursts = Some(Bursts { begin: 100_000, end: 200_000, loss: 500_000 });
        let network = Network { bursts, ..Network::STEADY };
        let arrived = sent(&network, &mut Default::default(), 100_000, 100).len();
        assert!((82_000..85_000).contains(&arrived), "{arrived}");
    }

    #[test]
    fn a_narrow_way_out_delays_and_then_drops() {
        let uplink = Some(Uplink { rate: 100_000, patience_us: 50_000 });
        let mut links = (Link { uplink, ..Link::default() }, Link::default());
        let network = Network { delay: Delay::Even(0..1), ..Network::STEADY };
        // A thousand bytes take 10 ms: six are sent before the wait is longer than 50 ms.
        assert_eq!(sent(&network, &mut links, 20, 1000), [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
    }

    #[test]
    fn parts_do_not_reach_each_other_and_nats_let_in_whom_the_node_wrote_to() {
        let mut links = (Link { part: 1, ..Link::default() }, Link::default());
        assert!(sent(&Network::STEADY, &mut links, 10, 100).is_empty());
        let mut link = Link { behind_nat: true, ..Link::default() };
        let (friend, stranger) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 1], 2)));
        let now = Instant::from_micros(5);
        link.wrote(now, friend);
        assert!(link.lets_in(now, friend) && !link.lets_in(now, stranger));
        assert!(!link.lets_in(now.plus_micros(NAT_US), friend));
    }
}
