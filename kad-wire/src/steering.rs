//! Steering: which of a node's workers gets a datagram.

use crate::limits::{ENVELOPE_LEN, PREFIX_LEN};
use crate::prefix::kind;

/// The offset of the lane in a PULL: after the envelope and a byte of flags.
const PULL_LANE_AT: usize = ENVELOPE_LEN + 1;

/// The worker that gets a datagram. Depends on the datagram's bytes alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// The worker with this lane, at least 1: it has sent the request, or has offered the value that is pulled.
    Lane(u8),
    /// The worker with this number modulo the number of workers. That spreads requests evenly, by their nonce, whatever their source
    /// address; all attempts of one request go to the same worker.
    Spread(u32),
    /// Every worker: a GOODBYE concerns the routing tables of all.
    All,
    /// Any worker: not a datagram of this protocol, or a reply to a node with one worker.
    Any,
}

impl Steering {
    /// Returns the steering of a datagram. A node with several workers numbers their lanes from 1; a node with one has lane 0.
    pub fn of(datagram: &[u8]) -> Self {
        let Some(prefix) = datagram.first_chunk::<PREFIX_LEN>() else { return Self::Any };
        let [_, kind, lane, ..] = *prefix;
        if kind & kind::REPLY != 0 {
            return Self::lane(lane).unwrap_or(Self::Any);
        }
        if kind == kind::GOODBYE {
            return Self::All;
        }
        let offered = if kind == kind::PULL { datagram.get(PULL_LANE_AT).copied() } else { None };
        offered.and_then(Self::lane).unwrap_or_else(|| Self::spread(prefix))
    }

    fn lane(lane: u8) -> Option<Self> {
        (lane != 0).then_some(Self::Lane(lane))
    }

    /// Folds the nonce, without the attempt, to 32 bits.
    fn spread(prefix: &[u8; PREFIX_LEN]) -> Self {
        let [.., low, middle, a, b, c, d] = *prefix;
        let high = u32::from_be_bytes([a, b, c, d]);
        Self::Spread(high.wrapping_add(middle.into()).wrapping_add((low >> 2).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Digest, Envelope, Key, MaxDatagram, NetworkId, Prefix, Pull, Reply, ReplyHead, Request, RequestFlags,
        TransactionId,
    };

    fn envelope(lane: u8, tag: TransactionId) -> Envelope {
        let prefix = Prefix { lane, room: MaxDatagram::default(), network: NetworkId(1), tag };
        Envelope { prefix, ..Envelope::default() }
    }

    fn request(request: Request<'_>, lane: u8, tag: TransactionId) -> Steering {
        let mut buffer = [0; 200];
        let len = request.encode(&envelope(lane, tag), RequestFlags::default(), &mut buffer).unwrap();
        Steering::of(&buffer[..len])
    }

    fn pull(lane: u8) -> Request<'static> {
        let (offer, key, digest) = (TransactionId::default(), Key::default(), Digest::default());
        Request::Pull(Pull { lane, chunk_len: 1200, offset: 0, bitmap: 1, offer, key, digest })
    }

    #[test]
    fn a_reply_goes_to_the_lane_that_asked() {
        let mut buffer = [0; 200];
        let mut reply = |lane| {
            let envelope = envelope(lane, TransactionId::new(1, 2, 0));
            let len = Reply::Pong.encode(&envelope, &ReplyHead::default(), &mut buffer).unwrap();
            Steering::of(&buffer[..len])
        };
        assert_eq!(reply(3), Steering::Lane(3));
        assert_eq!(reply(0), Steering::Any);
    }

    #[test]
    fn a_pull_goes_to_the_lane_that_offered() {
        assert_eq!(request(pull(2), 7, TransactionId::new(1, 2, 0)), Steering::Lane(2));
        assert!(matches!(request(pull(0), 7, TransactionId::new(1, 2, 0)), Steering::Spread(_)));
    }

    #[test]
    fn a_goodbye_is_for_all() {
        assert_eq!(request(Request::Goodbye, 0, TransactionId::new(1, 2, 0)), Steering::All);
    }

    #[test]
    fn requests_are_spread_evenly_and_attempts_stay_together() {
        let mut hits = [0; 3];
        for nonce in 0..3000 {
            let first = request(Request::PING, 9, TransactionId::new(5, nonce, 0));
            assert_eq!(first, request(Request::PING, 9, TransactionId::new(5, nonce, 3)));
            let Steering::Spread(number) = first else { panic!("{first:?}") };
            hits[number as usize % 3] += 1;
        }
        assert!(hits.iter().all(|hits| (900..1100).contains(hits)), "{hits:?}");
    }

    #[test]
    fn a_short_datagram_is_for_any_worker() {
        assert_eq!(Steering::of(&[0; 15]), Steering::Any);
        assert_eq!(Steering::of(&[]), Steering::Any);
    }
}
