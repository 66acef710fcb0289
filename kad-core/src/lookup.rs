//! The iterative lookup (paper, section 2.3): which candidate to ask next, and when to stop. Pure decisions over one
//! operation's memory.

use kad_wire::{Contact, Distance, Endpoint, Instant, NodeId};

use crate::operation::{Candidate, Give, ItemSlot, ItemState, Operation, Rank, Walk};

/// Bits by which a hop is taken to bring a lookup nearer, in comparing who is nearer with who is faster. More of them mean more
/// weight on the faster: shorter lookups and more requests (docs/decisions, 2026-11-20-proximity.md).
const BITS_A_HOP: u64 = 1;

/// After this one more of the addresses that an operation begins with is asked, until one answers.
pub(crate) const STAGGER_US: u64 = 50_000;
/// Once somebody has answered, an address is not waited for when it has been asked so often.
const DOOR_PATIENCE: u8 = 3;

/// One operation with its shortlist and its items.
pub(crate) struct Lookup<'a> {
    pub(crate) operation: &'a mut Operation,
    /// The places of the shortlist, in no order: [`nearest`](Self::nearest) walks them by distance.
    pub(crate) candidates: &'a mut [Candidate],
    pub(crate) items: &'a mut [ItemSlot],
}

impl Lookup<'_> {
    /// The places of the shortlist, nearest to the target first; bootstrap addresses before everyone.
    pub(crate) fn nearest(&self) -> impl DoubleEndedIterator<Item = (usize, &Candidate)> {
        nearest(self.operation, self.candidates)
    }

    /// Hardly ever needed: the leading bits of a rank tell nearly always. So one copy of it is enough, as of `nearest_id`.
    #[inline(never)]
    fn distance(&self, candidate: &Candidate) -> Distance {
        if candidate.anonymous { Distance::ZERO } else { candidate.contact.id.distance(&self.operation.target) }
    }

    /// Adds a candidate, unless its id or its address is there already, or everyone in the full list is nearer. Answers
    /// with its place. An id that failed at one address may be at another: the first may have been a lie.
    pub(crate) fn insert(&mut self, contact: &Contact, anonymous: bool, depth: u8) -> Option<usize> {
        let distance = if anonymous { Distance::ZERO } else { contact.id.distance(&self.operation.target) };
        let place = self.place_for(contact, anonymous, &distance)?;
        self.remove(place);
        self.put(place, Candidate { contact: *contact, anonymous, depth, walk: Walk::Unasked, ..Candidate::EMPTY });
        Some(place)
    }

    /// The place that a candidate can have; `None` if it is known. In this order: that of the same id where it failed, a free
    /// one, that of one that failed once they clog the list (somebody may have named many near nodes that do not exist), and
    /// that of the farthest, if it is farther than the candidate.
    fn place_for(&self, contact: &Contact, anonymous: bool, distance: &Distance) -> Option<usize> {
        let same = |other: &Candidate| !anonymous && !other.anonymous && other.contact.id == contact.id;
        let twin = self.as_near(distance).find(|(_, other)| same(other));
        let place = match twin {
            Some((place, twin)) => (twin.walk == Walk::Failed && twin.give == Give::Nothing).then_some(place),
            None => {
                let spent_door = || if anonymous { None } else { self.spent_door() };
                self.free_place().or_else(spent_door).or_else(|| self.place_to_clear(distance))
            }
        }?;
        self.by_endpoint(&contact.endpoint).is_none().then_some(place)
    }

    fn free_place(&self) -> Option<usize> {
        if self.is_full() { None } else { self.candidates.iter().position(|other| other.walk == Walk::Free) }
    }

    /// The place of an address from which hardly anybody will answer any more.
    fn spent_door(&self) -> Option<usize> {
        let is_spent = |other: &Candidate| match other.walk {
            Walk::Failed => true,
            Walk::Asked => other.attempts >= DOOR_PATIENCE,
            _ => false,
        };
        self.candidates.iter().position(|other| other.anonymous && is_spent(other))
    }

    /// The place of whoever makes way for somebody at this distance.
    fn place_to_clear(&self, distance: &Distance) -> Option<usize> {
        let farthest_first = || self.nearest().rev().filter(|(_, other)| self.makes_way(other));
        let failed =
            || farthest_first().find(|(_, other)| other.walk == Walk::Failed && self.distance(other) > Distance::ZERO);
        let stale = if self.is_clogged() { failed() } else { None };
        let farthest = || farthest_first().next().filter(|(_, other)| self.distance(other) > *distance);
        stale.or_else(farthest).map(|(place, _)| place)
    }

    fn is_full(&self) -> bool {
        usize::from(self.operation.known) >= self.candidates.len()
    }

    /// The candidates whose distance has the same leading bits, which is hardly ever more than one.
    fn as_near(&self, distance: &Distance) -> impl Iterator<Item = (usize, &Candidate)> {
        let (near, order) = (Rank::leading(distance), order(self.operation, self.candidates));
        let first = order.partition_point(|slot| slot.rank.near() < near);
        let alike = order.get(first..).unwrap_or_default().iter().take_while(move |slot| slot.rank.near() == near);
        alike.filter_map(|slot| named(self.candidates, slot))
    }

    /// How many candidates are no farther than this.
    fn count_up_to(&self, distance: &Distance) -> usize {
        let near = Rank::leading(distance);
        let no_farther = |slot: &&Candidate| match slot.rank.near() {
            // The leading bits tell nearly always.
            other if other != near => other < near,
            _ => named(self.candidates, slot).is_some_and(|(_, other)| self.distance(other) <= *distance),
        };
        order(self.operation, self.candidates).iter().take_while(no_farther).count()
    }

    /// The leading bits of the distance beyond which nobody gets a place any more: everyone in the full list is nearer.
    pub(crate) fn horizon(&self) -> u64 {
        match self.candidates.last() {
            Some(last) if self.is_full() && !self.is_clogged() => last.rank.near(),
            _ => u64::MAX,
        }
    }

    /// Whether a candidate may be replaced: neither an answer is expected of it, nor a value that it has and that is still to
    /// come.
    fn makes_way(&self, candidate: &Candidate) -> bool {
        candidate.walk != Walk::Asked
            && candidate.give == Give::Nothing
            && (candidate.carried == 0 || candidate.carried & self.items_on_their_way() == 0)
    }

    /// Whether candidates that failed take more than a third of the list.
    fn is_clogged(&self) -> bool {
        let failed = |other: &&Candidate| other.walk == Walk::Failed && self.makes_way(other);
        self.candidates.iter().filter(failed).count() > self.candidates.len() / 3
    }

    /// One bit for each item that is still to come from somebody who has it.
    fn items_on_their_way(&self) -> u32 {
        let awaited = |slot: &ItemSlot| matches!(slot.state, ItemState::Wanted | ItemState::Pulling);
        let bits = self.items.iter().zip(0..u32::BITS).filter(|(slot, _)| awaited(slot));
        bits.fold(0, |mask, (_, bit)| mask | 1u32.checked_shl(bit).unwrap_or(0))
    }

    /// Puts a candidate into a free place, and into the order behind all that are no farther.
    fn put(&mut self, place: usize, candidate: Candidate) {
        let distance = self.distance(&candidate);
        let at = self.count_up_to(&distance);
        let Some(slot) = self.candidates.get_mut(place) else { return };
        let before = core::mem::replace(slot, candidate);
        slot.rank = before.rank;
        self.operation.known = self.operation.known.saturating_add(1);
        let mut rank = Rank::new(&distance, place as u16);
        for slot in self.candidates.get_mut(at..self.operation.known.into()).unwrap_or_default() {
            core::mem::swap(&mut slot.rank, &mut rank);
        }
    }

    /// Takes a candidate, if there is one, out of the order and frees its place.
    pub(crate) fn remove(&mut self, place: usize) {
        let order = self.candidates.get_mut(..self.operation.known.into()).unwrap_or_default();
        let Some(at) = order.iter().position(|slot| slot.rank.place() == place) else { return };
        let mut rank = Rank::NONE;
        for slot in order.get_mut(at..).unwrap_or_default().iter_mut().rev() {
            core::mem::swap(&mut slot.rank, &mut rank);
        }
        self.operation.known = self.operation.known.saturating_sub(1);
        if let Some(slot) = self.candidates.get_mut(place) {
            *slot = Candidate { rank: slot.rank, ..Candidate::EMPTY };
        }
    }

    /// A bootstrap address turned out to be this node: gives its candidate its place in the order. Answers `false`, and
    /// drops the candidate, when the node is in the list already.
    pub(crate) fn identify(&mut self, place: usize, id: NodeId) -> bool {
        let Some(candidate) = self.candidates.get(place).copied() else { return false };
        let known = self.nearest().any(|(other, known)| other != place && !known.anonymous && known.contact.id == id);
        self.remove(place);
        if known {
            return false;
        }
        let contact = Contact { id, ..candidate.contact };
        self.put(place, Candidate { contact, anonymous: false, ..candidate });
        true
    }

    /// The nearest candidate that is known by its id.
    #[inline(never)]
    pub(crate) fn nearest_id(&self) -> Option<NodeId> {
        self.nearest().find(|(_, candidate)| !candidate.anonymous).map(|(_, candidate)| candidate.contact.id)
    }

    /// The candidates that matter: the k nearest that have not failed. Addresses are none of them until it shows who is there.
    fn frontier(&self, k: usize) -> impl Iterator<Item = (Rank, usize, &Candidate)> {
        let named = |slot: &Candidate| named(self.candidates, slot).map(|(place, who)| (slot.rank, place, who));
        let known = order(self.operation, self.candidates).iter().filter_map(named);
        known.filter(|(.., candidate)| candidate.walk != Walk::Failed && !candidate.anonymous).take(k)
    }

    /// The addresses that the operation began with, as long as it does not show who is there.
    fn doors(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let anonymous = |(_, candidate): &(usize, &Candidate)| candidate.walk != Walk::Free && candidate.anonymous;
        self.candidates.iter().enumerate().filter(anonymous)
    }

    /// Whether there are so many addresses to ask that each is asked with few bytes.
    pub(crate) fn has_many_doors(&self, alpha: usize) -> bool {
        self.doors().count() > alpha
    }

    /// The next address to ask: alpha of them at once, and then one now and then, whether the others answer or not.
    pub(crate) fn next_door(&self, alpha: usize) -> Option<usize> {
        let begun = self.doors().filter(|(_, door)| door.walk != Walk::Unasked).count();
        if begun >= alpha.saturating_add(self.operation.doors.into()) {
            return None;
        }
        self.doors().find(|(_, door)| door.walk == Walk::Unasked).map(|(place, _)| place)
    }

    /// Whether nobody is waited for at the addresses: all have been asked, and those that have not answered had time enough,
    /// or have failed if nobody has answered yet.
    fn doors_are_shut(&self) -> bool {
        let answered = self.candidates.iter().any(|candidate| candidate.walk == Walk::Answered);
        self.doors().all(|(_, door)| match door.walk {
            Walk::Asked => answered && door.attempts >= DOOR_PATIENCE,
            Walk::Failed => true,
            _ => false,
        })
    }

    /// Whom to ask next, while fewer than alpha are waited for: of the frontier's unasked the nearest, or one that is not much
    /// farther and answers faster (Dabek et al., NSDI 2004, section 4). A candidate past its first deadline does not count
    /// among alpha, but never more than twice alpha are waited for.
    pub(crate) fn next_to_ask(&self, k: usize, alpha: usize) -> Option<usize> {
        let asked = self.candidates.iter().filter(|candidate| candidate.walk == Walk::Asked && !candidate.anonymous);
        let (late, in_time) = asked.fold((0usize, 0usize), |(late, in_time), candidate| match candidate.late {
            true => (late.saturating_add(1), in_time),
            false => (late, in_time.saturating_add(1)),
        });
        if in_time >= alpha || late.saturating_add(in_time) >= alpha.saturating_mul(2) {
            return None;
        }
        let unasked = self.frontier(k).filter(|(.., candidate)| candidate.walk == Walk::Unasked);
        unasked.min_by_key(|(rank, _, candidate)| self.cost(*rank, candidate)).map(|(_, place, _)| place)
    }

    /// What is still to be waited for if a candidate is asked next, for comparison: its round trip, and a part of a usual one
    /// for each bit that it does not share with the target. Where nothing is known of round trips it is the same of all.
    fn cost(&self, rank: Rank, candidate: &Candidate) -> u64 {
        let usual_us = u64::from(self.operation.usual_us);
        let round_trip_us = if candidate.rtt_us == 0 { usual_us } else { candidate.rtt_us.into() };
        let missing = u64::from(Rank::BITS.saturating_sub(rank.shared_bits()));
        round_trip_us.saturating_mul(BITS_A_HOP).saturating_add(usual_us.saturating_mul(missing))
    }

    /// Whether the k nearest that have not failed have all answered.
    pub(crate) fn is_converged(&self, k: usize) -> bool {
        self.frontier(k).all(|(.., candidate)| candidate.walk == Walk::Answered) && self.doors_are_shut()
    }

    /// The next request to repeat.
    pub(crate) fn next_to_resend(&self) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.resend)
    }

    /// The earliest moment at which something must be done if nothing comes.
    pub(crate) fn wakes(&self) -> Instant {
        let candidates = self.candidates.iter().filter_map(Candidate::wakes);
        let waiting = self.doors().any(|(_, door)| door.walk == Walk::Unasked);
        let opens_us = STAGGER_US.saturating_mul(u64::from(self.operation.doors).saturating_add(1));
        let opens = waiting.then(|| self.operation.started.plus_micros(opens_us));
        candidates.chain(opens).fold(self.operation.deadline, Instant::min)
    }

    /// Whether anything is asked for at this address.
    pub(crate) fn by_endpoint(&self, endpoint: &Endpoint) -> Option<usize> {
        let of = |candidate: &Candidate| candidate.walk != Walk::Free && candidate.contact.endpoint == *endpoint;
        self.candidates.iter().position(of)
    }
}

/// The places of a shortlist, nearest first.
pub(crate) fn nearest<'a>(
    operation: &Operation,
    candidates: &'a [Candidate],
) -> impl DoubleEndedIterator<Item = (usize, &'a Candidate)> + use<'a> {
    order(operation, candidates).iter().filter_map(|slot| named(candidates, slot))
}

/// The slots that hold a shortlist's order.
fn order<'a>(operation: &Operation, candidates: &'a [Candidate]) -> &'a [Candidate] {
    candidates.get(..operation.known.into()).unwrap_or_default()
}

/// Whom an entry of the order names.
fn named<'a>(candidates: &'a [Candidate], slot: &Candidate) -> Option<(usize, &'a Candidate)> {
    let place = slot.rank.place();
    Some((place, candidates.get(place)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Kind;
    use kad_wire::Key;
    use proptest::prelude::*;

    const K: usize = 4;

    struct Bench {
        operation: Operation,
        candidates: Vec<Candidate>,
    }

    impl Bench {
        fn new(places: usize) -> Self {
            let operation = Operation { kind: Kind::FindNode, target: Key::from_bytes([0; 32]), ..Operation::EMPTY };
            Self { operation, candidates: vec![Candidate::EMPTY; places] }
        }

        fn lookup(&mut self) -> Lookup<'_> {
            Lookup { operation: &mut self.operation, candidates: &mut self.candidates, items: &mut [] }
        }
    }

    fn contact(distance: u16) -> Contact {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&distance.to_be_bytes());
        let endpoint = (core::net::Ipv4Addr::from(0x0a00_0000 + u32::from(distance)), 9000).into();
        Contact { id: NodeId::from_bytes(id), endpoint }
    }

    fn distances(lookup: &Lookup<'_>) -> Vec<u16> {
        let first_two = |id: &NodeId| u16::from_be_bytes([id.as_bytes()[0], id.as_bytes()[1]]);
        lookup.nearest().map(|(_, candidate)| first_two(&candidate.contact.id)).collect()
    }

    proptest! {
        #![proptest_config(crate::repeatable(256))]

        #[test]
        fn the_list_is_the_nearest_ever_shown_in_order(shown in prop::collection::vec(1u16..500, 0..60), places in 4usize..20) {
            let mut bench = Bench::new(places);
            let mut lookup = bench.lookup();
            for &distance in &shown {
                lookup.insert(&contact(distance), false, 0);
            }
            let mut expected = shown;
            expected.sort_unstable();
            expected.dedup();
            expected.truncate(places);
            prop_assert_eq!(distances(&lookup), expected);
        }

        #[test]
        fn removing_keeps_the_rest_in_order(shown in prop::collection::hash_set(1u16..500, 1..16), which in any::<prop::sample::Index>()) {
            let mut bench = Bench::new(16);
            let mut lookup = bench.lookup();
            for &distance in &shown {
                lookup.insert(&contact(distance), false, 0);
            }
            let mut expected = distances(&lookup);
            let at = which.index(expected.len());
            let place = lookup.nearest().nth(at).unwrap().0;
            lookup.remove(place);
            expected.remove(at);
            prop_assert_eq!(distances(&lookup), expected);
        }
    }

    /// Nodes that stand still: for each, whom it knows. Like the paper's, a table holds k of each bucket, or all.
    struct Network {
        nodes: Vec<Contact>,
        tables: Vec<Vec<usize>>,
        dead: Vec<bool>,
    }

    impl Network {
        fn new(points: &std::collections::BTreeSet<u16>, dice: &mut impl FnMut() -> usize) -> Self {
            let nodes: Vec<Contact> = points.iter().map(|&point| contact(point)).collect();
            let tables = nodes.iter().map(|node| {
                let mut others: Vec<usize> = (0..nodes.len()).collect();
                // Which k of a bucket a node met first is chance.
                for at in (1..others.len()).rev() {
                    others.swap(at, dice() % (at + 1));
                }
                let bucket = |other: &usize| node.id.distance(nodes[*other].id.as_key()).shared_bits();
                let mut sizes = [0; 257];
                others.retain(|other| {
                    sizes[bucket(other)] += 1;
                    nodes[*other].id != node.id && sizes[bucket(other)] <= K
                });
                others
            });
            Self { tables: tables.collect(), dead: vec![false; nodes.len()], nodes }
        }

        fn at(&self, contact: &Contact) -> usize {
            self.nodes.iter().position(|node| node == contact).unwrap()
        }

        fn nearest(&self, among: impl Iterator<Item = usize>, target: &Key) -> Vec<usize> {
            let mut nearest: Vec<usize> = among.collect();
            nearest.sort_by_key(|&node| self.nodes[node].id.distance(target));
            nearest.truncate(K);
            nearest
        }
    }

    /// Looks up as a node does, with answers in any order, and answers with those that it ends with.
    fn walk(
        network: &Network,
        from: usize,
        target: Key,
        (places, alpha): (usize, usize),
        dice: &mut impl FnMut() -> usize,
    ) -> Result<Vec<usize>, TestCaseError> {
        let mut bench = Bench::new(places);
        bench.operation.target = target;
        let mut lookup = bench.lookup();
        // Whatever is known of round trips, or nothing.
        let round_trip = |dice: &mut dyn FnMut() -> usize| [0, 300, 20_000, 250_000][dice() % 4];
        lookup.operation.usual_us = round_trip(dice);
        for node in network.nearest(network.tables[from].iter().copied(), &target) {
            let place = lookup.insert(&network.nodes[node], false, 0).unwrap();
            lookup.candidates[place].rtt_us = round_trip(dice);
        }
        let mut asked = Vec::new();
        let mut requests = 0;
        while !lookup.is_converged(K) {
            while let Some(place) = lookup.next_to_ask(K, alpha) {
                prop_assert_eq!(lookup.candidates[place].walk, Walk::Unasked, "nobody is asked twice");
                lookup.candidates[place].walk = Walk::Asked;
                asked.push(place);
                requests += 1;
                prop_assert!(requests <= 4 * network.nodes.len(), "it comes to an end");
            }
            prop_assert!(!asked.is_empty() && asked.len() <= alpha, "as long as it is not over somebody is asked");
            let place = asked.swap_remove(dice() % asked.len());
            let node = network.at(&lookup.candidates[place].contact);
            if network.dead[node] {
                lookup.candidates[place].walk = Walk::Failed;
                continue;
            }
            lookup.candidates[place].walk = Walk::Answered;
            for named in network.nearest(network.tables[node].iter().copied(), &target) {
                if named != from {
                    lookup.insert(&network.nodes[named], false, 1);
                }
            }
            let list: Vec<_> = lookup.nearest().map(|(_, candidate)| candidate.contact).collect();
            prop_assert!(
                list.is_sorted_by(|a, b| a.id.distance(&target) < b.id.distance(&target)),
                "sorted and unique"
            );
        }
        let answered = lookup.nearest().filter(|(_, candidate)| candidate.walk == Walk::Answered).take(K);
        Ok(answered.map(|(_, candidate)| network.at(&candidate.contact)).collect())
    }

    proptest! {
        #![proptest_config(crate::repeatable(300))]

        #[test]
        fn a_lookup_ends_with_the_k_nearest_of_an_honest_network(
            points in prop::collection::btree_set(any::<u16>(), 2..80),
            target in any::<u16>(),
            (places, alpha) in (2 * K..3 * K, 1..=K),
            seed in any::<u64>(),
        ) {
            let mut random = crate::token::Random { key: [3; 16], counter: seed };
            let mut dice = || random.next() as usize;
            let network = Network::new(&points, &mut dice);
            let (target, from) = (*contact(target).id.as_key(), dice() % network.nodes.len());
            let found = walk(&network, from, target, (places, alpha), &mut dice)?;
            let expected = network.nearest((0..network.nodes.len()).filter(|&node| node != from), &target);
            prop_assert_eq!(found, expected);
        }

        /// The dead are passed over; nothing more can be promised, for they may have been the only way.
        #[test]
        fn a_lookup_among_the_dead_ends_with_the_living(
            points in prop::collection::btree_set(any::<u16>(), 2..80),
            target in any::<u16>(),
            (places, alpha) in (2 * K..3 * K, 1..=K),
            seed in any::<u64>(),
        ) {
            let mut random = crate::token::Random { key: [3; 16], counter: seed };
            let mut dice = || random.next() as usize;
            let mut network = Network::new(&points, &mut dice);
            network.dead = network.nodes.iter().map(|_| dice() % 3 == 0).collect();
            let (target, from) = (*contact(target).id.as_key(), dice() % network.nodes.len());
            let found = walk(&network, from, target, (places, alpha), &mut dice)?;
            prop_assert!(found.iter().all(|&node| !network.dead[node]));
            let knows_living = network.nearest(network.tables[from].iter().copied(), &target);
            let knows_living = knows_living.iter().any(|&node| !network.dead[node]);
            prop_assert!(!found.is_empty() || !knows_living, "who knows somebody living finds somebody");
        }
    }

    #[test]
    fn the_frontier_moves_past_failures_and_ends_when_the_k_nearest_answered() {
        let mut bench = Bench::new(16);
        let mut lookup = bench.lookup();
        for distance in 1..=8 {
            lookup.insert(&contact(distance), false, 0);
        }
        for expected in 1..=3 {
            let place = lookup.next_to_ask(K, 3).unwrap();
            assert_eq!(lookup.candidates[place].contact, contact(expected));
            lookup.candidates[place].walk = Walk::Asked;
        }
        assert_eq!(lookup.next_to_ask(K, 3), None, "alpha are waited for");
        lookup.candidates[0].late = true;
        assert!(lookup.next_to_ask(K, 3).is_some(), "a late one gives its turn back");
        lookup.candidates[0].walk = Walk::Failed;
        for place in 1..5 {
            assert!(!lookup.is_converged(K));
            lookup.candidates[place].walk = Walk::Answered;
        }
        assert!(lookup.is_converged(K), "the failed one is replaced by the next");
        assert_eq!(lookup.next_to_ask(K, 3), None);
    }

    /// Everybody here shares as many bits with the target as the name says; `None` answers as fast as usual.
    fn order_of_asking(usual_ms: u32, known: &[(u16, Option<u32>)]) -> Vec<u16> {
        let mut bench = Bench::new(16);
        let mut lookup = bench.lookup();
        lookup.operation.usual_us = usual_ms * 1000;
        for (shared, rtt_ms) in known {
            let place = lookup.insert(&contact(0x8000 >> shared), false, 0).unwrap();
            lookup.candidates[place].rtt_us = rtt_ms.unwrap_or(0) * 1000;
        }
        let mut asked = Vec::new();
        while let Some(place) = lookup.next_to_ask(K, 1) {
            asked.push(0x8000 >> shared_bits(&lookup.candidates[place].contact));
            lookup.candidates[place].walk = Walk::Answered;
        }
        asked.into_iter().map(|distance: u16| distance.leading_zeros() as u16).collect()
    }

    fn shared_bits(contact: &Contact) -> usize {
        contact.id.distance(&Key::from_bytes([0; 32])).shared_bits()
    }

    #[test]
    fn a_faster_contact_goes_before_one_that_is_a_little_nearer() {
        let known = [(5, Some(200)), (4, Some(20)), (3, None), (2, Some(90))];
        // A bit is worth 100 ms here: what is to be waited for is 200, 120, 300 and 390 ms.
        assert_eq!(order_of_asking(100, &known), [4, 5, 3, 2]);
        // Alike on paths that are alike, and where nothing is known.
        assert_eq!(order_of_asking(100, &known.map(|(shared, _)| (shared, Some(100)))), [5, 4, 3, 2]);
        assert_eq!(order_of_asking(0, &known.map(|(shared, _)| (shared, None))), [5, 4, 3, 2]);
    }

    #[test]
    fn a_fast_contact_that_is_much_farther_comes_later() {
        assert_eq!(order_of_asking(100, &[(12, Some(200)), (11, Some(1)), (1, Some(1))]), [11, 12, 1]);
    }

    #[test]
    fn a_full_list_keeps_those_that_an_answer_is_expected_from() {
        let mut bench = Bench::new(4);
        let mut lookup = bench.lookup();
        for distance in [10, 20, 30, 40] {
            lookup.insert(&contact(distance), false, 0);
        }
        lookup.candidates[3].walk = Walk::Asked;
        assert!(lookup.insert(&contact(50), false, 0).is_none());
        assert_eq!(lookup.insert(&contact(5), false, 0), Some(2));
        assert_eq!(distances(&lookup), [5, 10, 20, 40]);
    }

    #[test]
    fn one_address_or_one_id_is_one_candidate() {
        let mut bench = Bench::new(8);
        let mut lookup = bench.lookup();
        lookup.insert(&contact(7), false, 0);
        assert!(lookup.insert(&contact(7), false, 0).is_none());
        let same_address = Contact { endpoint: contact(7).endpoint, ..contact(8) };
        let same_id = Contact { endpoint: contact(9).endpoint, ..contact(7) };
        assert!(lookup.insert(&same_address, false, 0).is_none() && lookup.insert(&same_id, false, 0).is_none());
    }

    #[test]
    fn an_id_that_failed_at_one_address_is_asked_at_another() {
        let mut bench = Bench::new(8);
        let mut lookup = bench.lookup();
        let wrong = Contact { endpoint: contact(9).endpoint, ..contact(7) };
        let place = lookup.insert(&wrong, false, 0).unwrap();
        assert!(lookup.insert(&contact(7), false, 0).is_none(), "as long as it may be there");
        lookup.candidates[place].walk = Walk::Failed;
        assert!(lookup.insert(&wrong, false, 0).is_none(), "not there again");
        let place = lookup.insert(&contact(7), false, 0).unwrap();
        assert_eq!((lookup.candidates[place].contact, distances(&lookup)), (contact(7), vec![7]));
    }

    #[test]
    fn a_bootstrap_address_comes_first_and_finds_its_place_when_it_answers() {
        let mut bench = Bench::new(8);
        let mut lookup = bench.lookup();
        lookup.insert(&contact(3), false, 0);
        let nobody = NodeId::from_bytes([0; 32]);
        let first = lookup.insert(&Contact { id: nobody, ..contact(5) }, true, 0).unwrap();
        let second = lookup.insert(&Contact { id: nobody, ..contact(6) }, true, 0).unwrap();
        assert_eq!(distances(&lookup), [0, 0, 3]);
        assert!(lookup.identify(first, contact(5).id));
        assert_eq!(distances(&lookup), [0, 3, 5]);
        assert!(!lookup.identify(second, contact(5).id), "two addresses of one node");
        assert_eq!(distances(&lookup), [3, 5]);
    }
}
