//! Keyed pseudo-randomness: address tokens and nonces. Both are SipHash-2-4, under two independent halves of the seed.

use kad_wire::{Endpoint, Instant, NetworkId, NodeId, Token};
use siphasher::sip::SipHasher24;

/// How long one epoch of tokens lasts. A token is good in its epoch and the next.
const EPOCH_MICROS: u64 = 60_000_000;

/// Mints and checks the tokens that prove an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenKey(pub(crate) [u8; 16]);

impl TokenKey {
    /// The token that `sender` at `endpoint` gets now.
    pub(crate) fn mint(&self, now: Instant, network: NetworkId, endpoint: &Endpoint, sender: &NodeId) -> Token {
        self.of_epoch(Self::epoch(now), network, endpoint, sender)
    }

    /// Whether `token` was minted for `sender` at `endpoint`, in this epoch or the one before.
    pub(crate) fn verify(
        &self,
        now: Instant,
        network: NetworkId,
        endpoint: &Endpoint,
        sender: &NodeId,
        token: Token,
    ) -> bool {
        if token == Token::NONE {
            return false;
        }
        let epoch = Self::epoch(now);
        let shown = u64::from_le_bytes(token.0);
        // One comparison of whole words each: how long it takes says nothing about how much was right.
        [epoch, epoch.wrapping_sub(1)]
            .map(|epoch| u64::from_le_bytes(self.of_epoch(epoch, network, endpoint, sender).0) ^ shown)
            .into_iter()
            .any(|difference| difference == 0)
    }

    /// A mark of an address that outsiders cannot guess, the same for all workers of a node, and never zero.
    pub(crate) fn mark(&self, network: NetworkId, endpoint: &Endpoint) -> u32 {
        // An epoch that never comes: a mark is no token.
        let Token(hash) = self.of_epoch(u32::MAX, network, endpoint, &NodeId::default());
        (u64::from_le_bytes(hash) as u32).max(1)
    }

    fn epoch(now: Instant) -> u32 {
        (now.as_micros() / EPOCH_MICROS) as u32
    }

    /// One copy of it is enough: a board's flash is small.
    #[inline(never)]
    fn of_epoch(&self, epoch: u32, network: NetworkId, endpoint: &Endpoint, sender: &NodeId) -> Token {
        let mut message = [0; 58];
        let rest = put(&mut message, &epoch.to_le_bytes());
        let rest = put(rest, &network.0.to_le_bytes());
        let rest = put(rest, &endpoint.ip);
        let rest = put(rest, &endpoint.port.to_le_bytes());
        put(rest, sender.as_bytes());
        let hash = SipHasher24::new_with_key(&self.0).hash(&message);
        // Zero means "no token" on the wire.
        Token(hash.max(1).to_le_bytes())
    }
}

/// Writes a part of a message, and answers with the room behind it.
fn put<'b, const N: usize>(to: &'b mut [u8], part: &[u8; N]) -> &'b mut [u8] {
    let Some((place, rest)) = to.split_first_chunk_mut() else { return Default::default() };
    *place = *part;
    rest
}

/// The node's only source of randomness: SipHash-2-4 of a counter, under a key that nobody else knows. Which is a
/// pseudo-random function in counter mode: unpredictable from outside, repeatable from the seed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Random {
    pub(crate) key: [u8; 16],
    pub(crate) counter: u64,
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        SipHasher24::new_with_key(&self.key).hash(&self.counter.to_le_bytes())
    }

    /// A number in `0..bound` (0 for a bound of 0), with a bias below `bound / 2^64`.
    #[inline(never)]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(crate) fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.as_chunks_mut::<8>().0 {
            *chunk = self.next().to_le_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId(7);

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::from((core::net::Ipv4Addr::new(192, 0, 2, 1), port))
    }

    fn id(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    #[test]
    fn a_token_is_good_for_its_epoch_and_the_next_only() {
        let key = TokenKey([3; 16]);
        let minted = Instant::from_micros(5 * EPOCH_MICROS + 1);
        let token = key.mint(minted, NETWORK, &endpoint(1), &id(1));
        let good = |now: u64| key.verify(Instant::from_micros(now), NETWORK, &endpoint(1), &id(1), token);
        assert!(good(5 * EPOCH_MICROS) && good(7 * EPOCH_MICROS - 1));
        assert!(!good(7 * EPOCH_MICROS) && !good(5 * EPOCH_MICROS - 1));
    }

    #[test]
    fn a_token_is_good_for_its_address_port_id_and_network_only() {
        let key = TokenKey([3; 16]);
        let now = Instant::from_micros(1);
        let token = key.mint(now, NETWORK, &endpoint(1), &id(1));
        assert!(key.verify(now, NETWORK, &endpoint(1), &id(1), token));
        assert!(!key.verify(now, NETWORK, &endpoint(2), &id(1), token));
        assert!(!key.verify(now, NETWORK, &endpoint(1), &id(2), token));
        assert!(!key.verify(now, NetworkId(8), &endpoint(1), &id(1), token));
        assert!(!TokenKey([4; 16]).verify(now, NETWORK, &endpoint(1), &id(1), token));
        assert!(!key.verify(now, NETWORK, &endpoint(1), &id(1), Token::NONE));
    }

    /// A checksum would be linear: the token of a XOR b follows from those of a, b and 0. This must not hold.
    #[test]
    fn a_token_is_not_linear_in_the_address() {
        let key = TokenKey([9; 16]);
        let token = |port| u64::from_le_bytes(key.mint(Instant::ZERO, NETWORK, &endpoint(port), &id(0)).0);
        for (a, b) in [(1, 2), (4, 8), (0x100, 0x3), (0x4321, 0x1234)] {
            assert_ne!(token(a ^ b), token(a) ^ token(b) ^ token(0));
        }
    }

    #[test]
    fn randomness_repeats_from_its_key() {
        let mut one = Random { key: [1; 16], counter: 0 };
        let mut two = one;
        let mut other = Random { key: [2; 16], counter: 0 };
        assert_eq!(one.bytes32(), two.bytes32());
        assert_ne!(one.next(), other.next());
        assert!((0..1000).all(|_| one.below(10) < 10));
        assert_eq!(one.below(0), 0);
    }
}
