//! Items: types, digests, delete locks, headers, and the verification of values.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::key::Key;
use crate::tombstone::Tombstone;

/// The type of an item. It determines which keys are valid and how many items a key holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemType(pub u8);

impl ItemType {
    /// Any bytes under any key; several per key, newest first.
    pub const RAW: Self = Self(0);
    /// The key is the Keccak-256 hash of the value, so no other value is valid under it.
    pub const CONTENT: Self = Self(1);
    /// One per key and owner, with a signature and a sequence number. Reserved: answered UNSUPPORTED.
    pub const SIGNED: Self = Self(2);
    /// The proof that its publisher deleted an item: see [`Tombstone`](crate::Tombstone).
    pub const TOMBSTONE: Self = Self(3);

    /// Returns whether this version of the crate can verify items of this type.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::RAW | Self::CONTENT | Self::TOMBSTONE)
    }
}

impl fmt::Debug for ItemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RAW => f.write_str("RAW"),
            Self::CONTENT => f.write_str("CONTENT"),
            Self::SIGNED => f.write_str("SIGNED"),
            Self::TOMBSTONE => f.write_str("TOMBSTONE"),
            Self(other) => write!(f, "TYPE({other})"),
        }
    }
}

/// A set of item types, as a bit mask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct TypeMask(pub u8);

impl TypeMask {
    /// Every type.
    pub const ALL: Self = Self(0xff);

    /// Every type but tombstones: for a lookup of values.
    pub const VALUES: Self = Self(!Self::only(ItemType::TOMBSTONE).0);

    /// Returns the set of one type; empty for a type above 7, which a mask cannot name.
    pub const fn only(item_type: ItemType) -> Self {
        if item_type.0 < 8 { Self(1 << item_type.0) } else { Self(0) }
    }

    /// Returns whether the set has this type.
    pub const fn contains(self, item_type: ItemType) -> bool {
        self.0 & Self::only(item_type).0 != 0
    }
}

impl Default for TypeMask {
    fn default() -> Self {
        Self::ALL
    }
}

/// The identity of an item: the first 16 bytes of SHA-256(type, lock, H(value)), where H(value) is the key itself for
/// [content](ItemType::CONTENT) and SHA-256(value) for every other type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Returns the digest of `value` published under `key` as `item_type` with `lock`.
    pub fn of(key: &Key, item_type: ItemType, lock: &DeleteLock, value: &[u8]) -> Self {
        let value_hash = match item_type {
            ItemType::CONTENT => *key.as_bytes(),
            _ => sha256(value),
        };
        Self::of_hash(item_type, lock, &value_hash)
    }

    /// Returns the digest of a value from its hash.
    pub fn of_hash(item_type: ItemType, lock: &DeleteLock, value_hash: &[u8; 32]) -> Self {
        let mut named = [0; 49];
        let mut places = named.iter_mut();
        let parts: [&[u8]; 3] = [&[item_type.0], &lock.0, value_hash];
        for part in parts {
            for (from, to) in part.iter().zip(&mut places) {
                *to = *from;
            }
        }
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(sha256(&named)) {
            *to = from;
        }
        Self(digest)
    }
}

/// The one place where SHA-256 is instantiated.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", base16ct::HexDisplay(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hash lock on deleting an item: the first 16 bytes of the SHA-256 of a secret that only the publisher knows. Revealing the secret
/// in a [`Tombstone`] deletes the item. With all zeros the item cannot be deleted; it expires. In a tombstone: the digest of the item
/// that it deletes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct DeleteLock(pub [u8; 16]);

impl DeleteLock {
    /// No lock: the item cannot be deleted.
    pub const NONE: Self = Self([0; 16]);

    /// Returns the lock of a secret.
    pub fn of(secret: &[u8; 32]) -> Self {
        let mut lock = [0; 16];
        for (to, from) in lock.iter_mut().zip(sha256(secret)) {
            *to = from;
        }
        Self(lock)
    }
}

/// Bits of [`ItemHeader::flags`]. Unknown ones are kept and ignored.
pub mod item_flags {
    /// A cached copy, which a reader has stored near the key (Kademlia paper, section 2.3): short-lived and never replicated.
    pub const CACHED: u8 = 1;
}

/// An item without its key and its bytes: 48 bytes on the wire.
///
/// Lifetimes are relative. A node that passes an item on rounds `ttl_ms` down and `age_ms` up, so a lifetime can only shrink on its
/// way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct ItemHeader {
    /// The type of the item.
    pub item_type: ItemType,
    /// See [`item_flags`].
    pub flags: u8,
    /// Number of the value's first bytes that follow this header in the same datagram.
    pub inline_len: u16,
    /// Length of the whole value in bytes.
    pub total_len: u32,
    /// Remaining lifetime in milliseconds.
    pub ttl_ms: u32,
    /// Time since publication in milliseconds.
    pub age_ms: u32,
    /// Identifies the item under its key.
    pub digest: Digest,
    /// The lock whose secret deletes the item.
    pub lock: DeleteLock,
}

/// The layout of the integers at the front of a header.
#[derive(Serialize, Deserialize)]
struct HeaderFields {
    item_type: ItemType,
    flags: u8,
    #[serde(with = "postcard::fixint::le")]
    inline_len: u16,
    #[serde(with = "postcard::fixint::le")]
    total_len: u32,
    #[serde(with = "postcard::fixint::le")]
    ttl_ms: u32,
    #[serde(with = "postcard::fixint::le")]
    age_ms: u32,
}

impl ItemHeader {
    /// All zeros.
    pub const EMPTY: Self = Self {
        item_type: ItemType::RAW,
        flags: 0,
        inline_len: 0,
        total_len: 0,
        ttl_ms: 0,
        age_ms: 0,
        digest: Digest([0; 16]),
        lock: DeleteLock::NONE,
    };

    /// Returns the header of a value that is published now, with no inline bytes.
    pub fn publish(key: &Key, item_type: ItemType, lock: DeleteLock, ttl_ms: u32, value: &[u8]) -> Self {
        Self {
            item_type,
            flags: 0,
            inline_len: 0,
            total_len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            ttl_ms,
            age_ms: 0,
            digest: Digest::of(key, item_type, &lock, value),
            lock,
        }
    }

    /// Returns the header with this many inline bytes.
    #[must_use]
    pub const fn with_inline(mut self, inline_len: u16) -> Self {
        self.inline_len = inline_len;
        self
    }

    /// Returns whether the whole value is inline.
    pub const fn is_whole(&self) -> bool {
        self.inline_len as u32 == self.total_len
    }

    /// Verifies `value` against this header and `key`.
    ///
    /// # Errors
    /// [`Invalid`]: the first check that failed.
    pub fn verify(&self, key: &Key, value: &[u8]) -> Result<(), Invalid> {
        if !self.item_type.is_known() {
            return Err(Invalid::Type);
        }
        if value.len() != self.total_len as usize {
            return Err(Invalid::Length);
        }
        if self.item_type == ItemType::CONTENT && Key::hash(value) != *key {
            return Err(Invalid::Key);
        }
        if Digest::of(key, self.item_type, &self.lock, value) != self.digest {
            return Err(Invalid::Digest);
        }
        if self.item_type == ItemType::TOMBSTONE && !Tombstone::is_proof(&self.lock, value) {
            return Err(Invalid::Proof);
        }
        Ok(())
    }

    /// Returns the header as of `elapsed_ms` milliseconds later (round them up): with less lifetime and a greater age.
    #[must_use]
    pub const fn aged(mut self, elapsed_ms: u32) -> Self {
        self.ttl_ms = self.ttl_ms.saturating_sub(elapsed_ms);
        self.age_ms = self.age_ms.saturating_add(elapsed_ms);
        self
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let HeaderFields { item_type, flags, inline_len, total_len, ttl_ms, age_ms } = reader.fields()?;
        if u32::from(inline_len) > total_len {
            return Err(DecodeError::Malformed);
        }
        let digest = Digest(*reader.array()?);
        let lock = DeleteLock(*reader.array()?);
        Ok(Self { item_type, flags, inline_len, total_len, ttl_ms, age_ms, digest, lock })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        let Self { item_type, flags, inline_len, total_len, ttl_ms, age_ms, digest, lock } = *self;
        writer.fields(&HeaderFields { item_type, flags, inline_len, total_len, ttl_ms, age_ms })?;
        writer.bytes(&digest.0)?;
        writer.bytes(&lock.0)
    }
}

/// Why a value does not match its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// The type is unknown, so the value cannot be verified.
    Type,
    /// The value has another length.
    Length,
    /// The key of a content item is not the hash of the value.
    Key,
    /// The value has another digest.
    Digest,
    /// The secret in a tombstone does not open the lock of the item that it deletes.
    Proof,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "the item's type is unknown",
            Self::Length => "the value has another length than its header",
            Self::Key => "the key is not the hash of the value",
            Self::Digest => "the value does not match its digest",
            Self::Proof => "the tombstone does not open the lock of the item",
        })
    }
}

impl core::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_checked_against_length_digest_lock_and_key() {
        let (key, value) = (Key::hash("name"), b"value");
        let raw = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1000, value);
        assert_eq!(raw.verify(&key, value), Ok(()));
        assert_eq!(raw.verify(&key, b"valu"), Err(Invalid::Length));
        assert_eq!(raw.verify(&key, b"valuf"), Err(Invalid::Digest));
        let locked = ItemHeader { lock: DeleteLock([1; 16]), ..raw };
        assert_eq!(locked.verify(&key, value), Err(Invalid::Digest));
        let content = ItemHeader::publish(&Key::hash(value), ItemType::CONTENT, DeleteLock::NONE, 1000, value);
        assert_eq!(content.verify(&Key::hash(value), value), Ok(()));
        assert_eq!(content.verify(&key, value), Err(Invalid::Key));
        assert_ne!(content.digest, ItemHeader { item_type: ItemType::RAW, ..content }.digest_of(&key, value));
        assert_eq!(ItemHeader { item_type: ItemType(9), ..raw }.verify(&key, value), Err(Invalid::Type));
    }

    impl ItemHeader {
        fn digest_of(&self, key: &Key, value: &[u8]) -> Digest {
            Digest::of(key, self.item_type, &self.lock, value)
        }
    }

    #[test]
    fn ageing_never_lengthens_a_life() {
        let header = ItemHeader { ttl_ms: 10, age_ms: u32::MAX - 1, ..ItemHeader::default() };
        let aged = header.aged(4).aged(100);
        assert_eq!((aged.ttl_ms, aged.age_ms), (0, u32::MAX));
    }

    #[test]
    fn a_mask_names_eight_types() {
        assert!(TypeMask::ALL.contains(ItemType::TOMBSTONE) && !TypeMask::ALL.contains(ItemType(8)));
        assert!(!TypeMask::only(ItemType::RAW).contains(ItemType::CONTENT));
    }
}
