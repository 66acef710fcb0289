//! Keys, node ids and the XOR metric (Kademlia paper, section 2.1).

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use sha3::{Digest as _, Keccak256};

use crate::limits::KEY_LEN;

/// A 256-bit key: the point of the key space under which values are stored.
///
/// ```
/// use kad_wire::Key;
/// let key = Key::hash("abc");
/// assert_eq!(key.to_string(), "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
/// assert_eq!(key.to_string().parse::<Key>()?, key);
/// # Ok::<(), kad_wire::ParseKeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// Returns the key with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Returns the Keccak-256 hash of bytes (the original Keccak padding, not SHA-3's).
    ///
    /// The hash of a value's bytes is the key of a [content](crate::ItemType::CONTENT) item.
    pub fn hash(data: impl AsRef<[u8]>) -> Self {
        keccak(data.as_ref())
    }

    /// Returns the Keccak-256 hash of an integer's eight little-endian bytes.
    ///
    /// ```
    /// use kad_wire::Key;
    /// assert_eq!(Key::hash_int(258), Key::hash([2, 1, 0, 0, 0, 0, 0, 0]));
    /// ```
    pub fn hash_int(number: u64) -> Self {
        Self::hash(number.to_le_bytes())
    }

    /// Returns the XOR distance to another point of the key space (Kademlia paper, section 2.1).
    #[inline(never)]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut words = [0; WORDS];
        let pairs = self.0.as_chunks().0.iter().zip(other.0.as_chunks().0);
        for (word, (one, other)) in words.iter_mut().zip(pairs) {
            *word = u64::from_be_bytes(*one) ^ u64::from_be_bytes(*other);
        }
        Distance(words)
    }

    /// Returns the most significant 64 bits of the [distance](Self::distance) to another point: enough to compare most distances.
    #[inline]
    pub fn near(&self, other: &Self) -> u64 {
        let leading = |key: &Self| key.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        leading(self) ^ leading(other)
    }

    /// Returns the number of leading bits that the key shares with another point: 256 with itself.
    #[inline(never)]
    pub fn shared_bits(&self, other: &Self) -> usize {
        let mut bits = 0usize;
        for (one, other) in self.0.as_chunks().0.iter().zip(other.0.as_chunks().0) {
            let difference = u64::from_be_bytes(*one) ^ u64::from_be_bytes(*other);
            bits = bits.wrapping_add(difference.leading_zeros() as usize);
            if difference != 0 {
                break;
            }
        }
        bits
    }

    /// Returns whether bit `index` is set, counted from the most significant; `false` from 256 on.
    pub fn bit(&self, index: usize) -> bool {
        let byte = self.0.get(index / 8).copied().unwrap_or(0);
        byte & (0x80 >> (index % 8)) != 0
    }
}

/// The one place where Keccak-256 is instantiated.
fn keccak(bytes: &[u8]) -> Key {
    Key(Keccak256::digest(bytes).into())
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<NodeId> for Key {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", base16ct::HexDisplay(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseKeyError {
    /// The text has this many bytes instead of 64.
    Length(usize),
    /// A character is no hexadecimal digit.
    Digit,
}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(found) => write!(f, "a key is 64 hexadecimal digits, this has {found} characters"),
            Self::Digit => f.write_str("a key is 64 hexadecimal digits, this has a character that is none"),
        }
    }
}

impl core::error::Error for ParseKeyError {}

impl FromStr for Key {
    type Err = ParseKeyError;

    /// Parses 64 hexadecimal digits, of either case.
    ///
    /// # Errors
    /// [`ParseKeyError`]: another length, or another character.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if text.len() != 2 * KEY_LEN {
            return Err(ParseKeyError::Length(text.len()));
        }
        let mut bytes = [0; KEY_LEN];
        match base16ct::mixed::decode(text, &mut bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(ParseKeyError::Digit),
        }
    }
}

impl serde::Serialize for Key {
    /// Writes hexadecimal text in human-readable formats, 32 bytes in others.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            <[u8; KEY_LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

/// The identity of a node: a point of the same space as the keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeId(Key);

impl NodeId {
    /// Returns the id with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Key(bytes))
    }

    /// Returns the bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0.0
    }

    /// Returns the id as a key, the target of a lookup for the node itself.
    pub const fn as_key(&self) -> &Key {
        &self.0
    }

    /// Returns the XOR distance to a key.
    pub fn distance(&self, key: &Key) -> Distance {
        self.0.distance(key)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for NodeId {
    type Err = ParseKeyError;
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        text.parse().map(Self)
    }
}

/// The XOR of two points, compared as a big-endian number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Distance([u64; WORDS]);

impl Ord for Distance {
    #[inline(never)]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Words of a distance, most significant first: they compare as the whole number does, and faster than bytes.
const WORDS: usize = KEY_LEN / 8;

impl Distance {
    /// The distance from a point to itself.
    pub const ZERO: Self = Self([0; WORDS]);
    /// The largest distance, between a point and its complement.
    pub const MAX: Self = Self([u64::MAX; WORDS]);

    /// Returns the number of leading bits that the two points share: 256 for distance 0.
    pub fn shared_bits(&self) -> usize {
        let mut bits = 0usize;
        for word in self.0 {
            bits = bits.wrapping_add(word.leading_zeros() as usize);
            if word != 0 {
                break;
            }
        }
        bits
    }

    /// Returns the most significant 64 bits: enough to compare most distances.
    #[inline]
    pub const fn leading(&self) -> u64 {
        self.0[0]
    }

    /// Returns the bytes, most significant first.
    pub fn to_bytes(&self) -> [u8; KEY_LEN] {
        let mut bytes = [0; KEY_LEN];
        for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *chunk = word.to_be_bytes();
        }
        bytes
    }

    /// Returns whether bit `index` is set, counted from the most significant: whether the two points differ there. `false` from
    /// 256 on.
    pub fn bit(&self, index: usize) -> bool {
        let word = self.0.get(index / 64).copied().unwrap_or(0);
        word & ((1 << 63) >> (index % 64)) != 0
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Key(self.to_bytes()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the Keccak team for the empty message and "abc" (not SHA-3: the padding differs).
    #[test]
    fn hashes_with_original_keccak_padding() {
        let empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        let abc = "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45";
        assert_eq!(Key::hash(""), empty.parse().unwrap());
        assert_eq!(Key::hash("abc"), abc.parse().unwrap());
    }

    #[test]
    fn refuses_text_that_is_no_key() {
        assert_eq!("abc".parse::<Key>(), Err(ParseKeyError::Length(3)));
        assert_eq!("g".repeat(64).parse::<Key>(), Err(ParseKeyError::Digit));
        assert_eq!("a".repeat(65).parse::<Key>(), Err(ParseKeyError::Length(65)));
        assert_eq!("é".repeat(32).parse::<Key>(), Err(ParseKeyError::Digit));
        assert!("A".repeat(64).parse::<Key>().is_ok());
    }

    #[test]
    fn distance_orders_by_the_first_differing_bit() {
        let own = Key::from_bytes([0; 32]);
        let mut near = [0; 32];
        near[31] = 1;
        let mut far = [0; 32];
        far[0] = 0x10;
        let (near, far) = (Key::from_bytes(near), Key::from_bytes(far));
        assert!(own.distance(&near) < own.distance(&far));
        assert_eq!(own.distance(&near).shared_bits(), 255);
        assert_eq!(own.distance(&far).shared_bits(), 3);
        assert_eq!(own.distance(&own).shared_bits(), 256);
        assert!(far.bit(3) && !far.bit(2) && !far.bit(256));
        let distance = Key::from_bytes([0xf0; 32]).distance(&far);
        assert!((0..260).all(|bit| distance.bit(bit) == Key::from_bytes(distance.to_bytes()).bit(bit)));
    }
}
