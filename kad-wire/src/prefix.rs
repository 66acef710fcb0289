//! The prefix of every datagram, and the envelope of all but CHUNK.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::key::NodeId;
use crate::limits::{DATAGRAM_MAX, ROOM_MIN, ROOM_UNIT};

/// First byte of a plain datagram. The values 4 to 15 collide with none of STUN, DTLS, RTP and QUIC (RFC 9443), so a kad
/// node can share its port with them.
pub const VERSION_PLAIN: u8 = 0x05;
/// First byte of a plain datagram followed by a 16-byte keyed tag. Reserved: this version of the crate refuses it.
pub const VERSION_AUTHENTICATED: u8 = 0x06;
/// First byte of a sealed (AEAD) datagram. Reserved: this version of the crate refuses it.
pub const VERSION_SEALED: u8 = 0x07;

/// The kind byte of a datagram; bit 7 marks a reply.
pub(crate) mod kind {
    pub(crate) const REPLY: u8 = 0x80;
    pub(crate) const PING: u8 = 0x01;
    pub(crate) const FIND_NODE: u8 = 0x02;
    pub(crate) const FIND_VALUE: u8 = 0x03;
    pub(crate) const PULL: u8 = 0x04;
    pub(crate) const STORE: u8 = 0x05;
    pub(crate) const GOODBYE: u8 = 0x06;
    // 0x07 (PROVE) and 0x08 (LISTEN) are reserved, with their replies.
    pub(crate) const PONG: u8 = REPLY | PING;
    pub(crate) const NODES: u8 = REPLY | FIND_NODE;
    pub(crate) const VALUE: u8 = REPLY | FIND_VALUE;
    pub(crate) const CHUNK: u8 = REPLY | PULL;
    pub(crate) const STORED: u8 = REPLY | STORE;
    pub(crate) const REFUSED: u8 = 0xff;
}

/// The network that a datagram belongs to. A node ignores datagrams of other networks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct NetworkId(#[serde(with = "postcard::fixint::le")] pub u32);

impl NetworkId {
    /// Returns the network with this name: the first four bytes of the name's Keccak-256, little-endian.
    pub fn named(name: &str) -> Self {
        let bytes = *crate::Key::hash(name).as_bytes();
        Self(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// The transaction id of a request, which its reply echoes: the requester's slot (16 bits) and a nonce (48 bits), whose low two
/// bits count attempts, so that a round-trip sample is never ambiguous (cf. BEP 5's transaction id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(#[serde(with = "postcard::fixint::le")] u64);

impl TransactionId {
    const ATTEMPT_BITS: u64 = 0x3_0000;

    /// Returns the id for a slot, the low 46 bits of `nonce` and the low two of `attempt`.
    pub const fn new(slot: u16, nonce: u64, attempt: u8) -> Self {
        Self((nonce << 18) | (((attempt & 3) as u64) << 16) | slot as u64)
    }

    /// Returns the id with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the number of the requester's slot that waits for the reply.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// Returns the attempt that the reply answers, modulo four.
    pub const fn attempt(self) -> u8 {
        ((self.0 >> 16) & 3) as u8
    }

    /// Returns the id of the same exchange for another attempt.
    #[must_use]
    pub const fn with_attempt(self, attempt: u8) -> Self {
        Self((self.0 & !Self::ATTEMPT_BITS) | (((attempt & 3) as u64) << 16))
    }

    /// Returns whether both ids belong to the same exchange, of any attempts.
    pub const fn same_exchange(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::ATTEMPT_BITS == 0
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:x}.{}", self.slot(), self.0 >> 18, self.attempt())
    }
}

/// Proves that a sender receives datagrams at its address (cf. the address validation of RFC 9000, section 8.1). The node to which
/// the sender returns the token has issued it; it is opaque to all others.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Token(pub [u8; 8]);

impl Token {
    /// No token.
    pub const NONE: Self = Self([0; 8]);
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The largest UDP payload that a node takes, in units of 16 bytes: one byte of the prefix (cf. `max_udp_payload_size`, RFC 9000,
/// section 18.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct MaxDatagram(u8);

impl MaxDatagram {
    /// The least that a node may announce: [`ROOM_MIN`] bytes.
    pub const SMALLEST: Self = Self(0);

    /// Returns the announcement for a receive buffer of `bytes` per datagram: rounded down to 16, between 512 and 4080.
    pub const fn of(bytes: usize) -> Self {
        let units = bytes / ROOM_UNIT;
        if units < ROOM_MIN / ROOM_UNIT {
            Self((ROOM_MIN / ROOM_UNIT) as u8)
        } else if units > u8::MAX as usize {
            Self(u8::MAX)
        } else {
            Self(units as u8)
        }
    }

    /// Returns the announced capacity in bytes, at least [`ROOM_MIN`].
    pub const fn bytes(self) -> usize {
        let bytes = self.0 as usize * ROOM_UNIT;
        if bytes < ROOM_MIN { ROOM_MIN } else { bytes }
    }

    /// Returns the size in bytes of the largest datagram other than a CHUNK to send to this node: at most [`DATAGRAM_MAX`].
    pub const fn datagram(self) -> usize {
        if self.bytes() < DATAGRAM_MAX { self.bytes() } else { DATAGRAM_MAX }
    }
}

impl Default for MaxDatagram {
    fn default() -> Self {
        Self::of(DATAGRAM_MAX)
    }
}

/// The first 16 bytes of every datagram, without version and kind, which the message determines.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Prefix {
    /// The index of the requester's worker; echoed in the reply.
    pub lane: u8,
    /// The largest datagram that the sender takes.
    pub room: MaxDatagram,
    /// The network.
    pub network: NetworkId,
    /// Identifies the request; echoed in the reply.
    pub tag: TransactionId,
}

/// The layout of a prefix.
#[derive(Serialize, Deserialize)]
struct PrefixFields {
    version: u8,
    kind: u8,
    lane: u8,
    room: MaxDatagram,
    network: NetworkId,
    tag: TransactionId,
}

impl Prefix {
    /// Reads a prefix and the kind.
    ///
    /// # Errors
    /// Too short, or a version other than [`VERSION_PLAIN`].
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<(u8, Self), DecodeError> {
        let PrefixFields { version, kind, lane, room, network, tag } = reader.fields()?;
        if version != VERSION_PLAIN {
            return Err(DecodeError::Version);
        }
        Ok((kind, Self { lane, room, network, tag }))
    }

    pub(crate) fn write(&self, kind: u8, writer: &mut Writer<'_>) -> Option<()> {
        let Self { lane, room, network, tag } = *self;
        writer.fields(&PrefixFields { version: VERSION_PLAIN, kind, lane, room, network, tag })
    }
}

/// The first 56 bytes of every datagram but CHUNK: prefix, token and the sender's id.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Envelope {
    /// The prefix.
    pub prefix: Prefix,
    /// In a request: the token that the addressee issued to the sender, or none. In a reply: a new one for the requester.
    pub token: Token,
    /// The id of the sender.
    pub sender: NodeId,
}

impl Envelope {
    pub(crate) fn read(prefix: Prefix, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let token = Token(*reader.array()?);
        Ok(Self { prefix, token, sender: NodeId::from_bytes(*reader.array()?) })
    }

    pub(crate) fn write(&self, kind: u8, writer: &mut Writer<'_>) -> Option<()> {
        self.prefix.write(kind, writer)?;
        writer.bytes(&self.token.0)?;
        writer.bytes(self.sender.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_id_has_slot_nonce_and_attempt() {
        let tag = TransactionId::new(0xabcd, u64::MAX, 6);
        assert_eq!((tag.slot(), tag.attempt(), tag.bits() >> 18), (0xabcd, 2, u64::MAX >> 18));
        assert!(tag.same_exchange(tag.with_attempt(1)) && tag != tag.with_attempt(1));
        assert!(
            !tag.same_exchange(TransactionId::new(0xabcd, 1, 2))
                && !tag.same_exchange(TransactionId::new(1, u64::MAX, 2))
        );
    }

    #[test]
    fn max_datagram_is_clamped_to_a_byte_and_the_protocol() {
        assert_eq!(MaxDatagram::of(100).bytes(), 512);
        assert_eq!(MaxDatagram::of(1472).bytes(), 1472);
        assert_eq!(MaxDatagram::of(1 << 20).bytes(), 4080);
        assert_eq!((MaxDatagram::of(4080).datagram(), MaxDatagram::of(600).datagram()), (1232, 592));
    }
}
