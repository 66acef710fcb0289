//! Where others see this node: what several of them agree on, as one alone may be mistaken or lie.

use kad_wire::{Endpoint, Scope};

/// Votes that are kept, each of another voter. Three of four are a majority, so no two addresses are confirmed at a time.
const VOTES: usize = 4;
/// Addresses that are kept: where three of four agree, there is one other at the most.
const SEEN: usize = 2;
/// Voters that must agree, unless fewer are known.
const ENOUGH: usize = 3;

/// What one voter said last: which of the addresses that are kept.
#[derive(Clone, Copy, Debug)]
struct Vote {
    voter: u16,
    seen: u8,
}

/// The latest votes, newest first, and the addresses that they name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    votes: [Vote; VOTES],
    seen: [Endpoint; SEEN],
}

const NO_VOTE: Vote = Vote { voter: 0, seen: 0 };

impl Observed {
    pub(crate) const NOTHING: Self = Self { votes: [NO_VOTE; VOTES], seen: [Endpoint::UNSPECIFIED; SEEN] };

    /// Notes that a node at `by` has seen this one at `seen`. What cannot be is passed over: that somebody far away sees an
    /// address that does not reach there.
    pub(crate) fn note(&mut self, by: &Endpoint, seen: &Endpoint) {
        let Some(seen) = seen.named_by(by) else { return };
        let voter = voter(by);
        let known = self.votes.iter().position(|old| old.voter == voter);
        let last = known.unwrap_or(VOTES.saturating_sub(1));
        let Some(votes) = self.votes.get_mut(..=last) else { return };
        // The oldest, or what this voter said before, makes way.
        votes.rotate_right(1);
        if let Some(first) = votes.first_mut() {
            *first = NO_VOTE;
        }
        let place = self.place_of(&seen);
        if let Some(first) = self.votes.first_mut() {
            *first = Vote { voter, seen: place };
        }
    }

    /// Returns the place of an address. A new one takes that which fewest of the votes name; those are lost.
    fn place_of(&mut self, seen: &Endpoint) -> u8 {
        if let Some(place) = self.seen.iter().position(|known| known == seen) {
            return place as u8;
        }
        let votes_for =
            |place: usize| self.votes.iter().filter(|vote| vote.voter != 0 && usize::from(vote.seen) == place).count();
        let place = (0..SEEN).min_by_key(|place| votes_for(*place)).unwrap_or(0);
        for vote in self.votes.iter_mut().filter(|vote| usize::from(vote.seen) == place) {
            *vote = NO_VOTE;
        }
        if let Some(known) = self.seen.get_mut(place) {
            *known = *seen;
        }
        place as u8
    }

    /// Returns the address that enough voters agree on: three, or as many as the node knows.
    pub(crate) fn confirmed(&self, contacts: usize) -> Option<Endpoint> {
        let votes = || self.votes.iter().filter(|vote| vote.voter != 0);
        let enough = votes().count().max(contacts).clamp(1, ENOUGH);
        let agreed = |vote: &&Vote| votes().filter(|other| other.seen == vote.seen).count() >= enough;
        let agreed = votes().find(agreed)?;
        self.seen.get(usize::from(agreed.seen)).copied()
    }
}

/// Whose vote it is: on the open Internet that of a whole network, of which one owner may have all addresses; elsewhere that
/// of an address. Never 0.
fn voter(by: &Endpoint) -> u16 {
    let whole = by.scope() != Scope::Global;
    let bytes = match by.ip {
        ip if whole => ip,
        // The first 24 bits of an IPv4 address, 48 of an IPv6 one.
        ip if by.is_v4() => {
            let [.., a, b, c, _] = ip;
            [a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        [a, b, c, d, e, f, ..] => [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    };
    let port = if whole { u32::from(by.port) } else { 0 };
    // FNV-1a: two voters that it takes for one have one vote.
    let hash =
        bytes.iter().fold(0x811c_9dc5 ^ port, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    ((hash >> 16) as u16 ^ hash as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    fn at(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn observed(votes: &[(&str, &str)]) -> Observed {
        let mut observed = Observed::NOTHING;
        votes.iter().for_each(|(by, seen)| observed.note(&at(by), &at(seen)));
        observed
    }

    const LIE: &str = "8.8.8.8:53";
    const TRUE: &str = "9.1.2.3:9000";

    #[test]
    fn one_liar_decides_nothing_however_often_it_speaks() {
        let mut votes = vec![("1.0.0.1:1", TRUE), ("2.0.0.1:1", TRUE), ("3.0.0.1:1", TRUE)];
        assert_eq!(observed(&votes).confirmed(3), Some(at(TRUE)));
        // From all addresses of its network.
        votes.extend([("66.6.6.1:1", LIE), ("66.6.6.2:1", LIE), ("66.6.6.2:9", LIE), ("66.6.6.3:1", LIE)]);
        assert_eq!(observed(&votes).confirmed(3), Some(at(TRUE)));
        let alone = observed(&[("66.6.6.1:1", LIE), ("66.6.6.2:1", LIE), ("66.6.6.3:1", LIE)]);
        assert_eq!((alone.confirmed(3), alone.confirmed(1)), (None, Some(at(LIE))));
    }

    #[test]
    fn a_few_nodes_confirm_as_many_as_they_are() {
        assert_eq!(Observed::NOTHING.confirmed(0), None);
        let two = [("10.0.0.1:1", "10.0.0.9:9"), ("10.0.0.1:2", "10.0.0.9:9")];
        assert_eq!(observed(&two[..1]).confirmed(2), None, "another one is known");
        assert_eq!(observed(&two).confirmed(2), Some(at("10.0.0.9:9")));
        assert_eq!(observed(&[two[0], ("10.0.0.1:2", "10.0.0.8:9")]).confirmed(2), None, "they disagree");
    }

    #[test]
    fn an_address_that_changes_is_confirmed_anew() {
        let voters = ["1.0.0.1:1", "2.0.0.1:1", "3.0.0.1:1", "4.0.0.1:1", "5.0.0.1:1"];
        let mut observed = observed(&voters.map(|by| (by, TRUE)));
        for (number, by) in voters.iter().enumerate() {
            observed.note(&at(by), &at("9.1.2.4:9000"));
            let expected = [Some(TRUE), None, Some("9.1.2.4:9000")][number.min(2)];
            assert_eq!(observed.confirmed(20), expected.map(at), "after {number}");
        }
    }

    #[test]
    fn what_cannot_be_is_not_counted() {
        let votes = [("1.0.0.1:1", "192.168.1.1:80"), ("1.0.0.1:1", "127.0.0.1:53"), ("10.0.0.1:1", "[fe80::1]:1")];
        assert_eq!(observed(&votes).confirmed(1), None);
    }
}
