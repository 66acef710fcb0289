//! Deletes without signatures: the publisher of an item reveals the secret of its delete lock.

use crate::item::{DeleteLock, Digest, ItemHeader, ItemType, sha256};
use crate::key::Key;
use crate::limits::{TOMBSTONE_LEN, TTL_MAX_MS};

/// The proof that its publisher deleted an item: the inputs of the item's digest, with the secret in place of the lock. Every node
/// can verify it; only a node that knows the secret can make it.
///
/// The publisher stores it as an item of its own ([`ItemType::TOMBSTONE`]) under the same key, with the digest of the deleted item as
/// its lock. Holders drop the deleted item, and refuse it as long as they hold the tombstone.
///
/// ```
/// use kad_wire::{ItemHeader, ItemType, Key, DeleteLock, Tombstone};
///
/// let (key, secret) = (Key::hash("name"), [7; 32]);
/// let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&secret), 60_000, b"value");
/// let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, b"value");
/// assert_eq!(tombstone.deletes(), header.digest);
/// assert_eq!(tombstone.header(&key).verify(&key, &tombstone.to_bytes()), Ok(()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// The type of the deleted item.
    pub item_type: ItemType,
    /// The secret of the item's lock. Publishing the tombstone reveals it, so each item should have its own.
    pub secret: [u8; 32],
    /// The hash of the item's value: SHA-256, or the key of a [content](ItemType::CONTENT) item.
    pub value_hash: [u8; 32],
}

impl Tombstone {
    /// Returns the tombstone of `value` that was published under `key` as `item_type` with [`DeleteLock::of`] this secret.
    pub fn of(key: &Key, item_type: ItemType, secret: &[u8; 32], value: &[u8]) -> Self {
        let value_hash = match item_type {
            ItemType::CONTENT => *key.as_bytes(),
            _ => sha256(value),
        };
        Self { item_type, secret: *secret, value_hash }
    }

    /// Returns the digest of the item that the tombstone deletes.
    pub fn deletes(&self) -> Digest {
        Digest::of_hash(self.item_type, &DeleteLock::of(&self.secret), &self.value_hash)
    }

    /// Returns the bytes to publish, 65: type 1, secret 32, hash 32.
    pub fn to_bytes(&self) -> [u8; TOMBSTONE_LEN] {
        let mut bytes = [self.item_type.0; TOMBSTONE_LEN];
        let from = self.secret.iter().chain(&self.value_hash);
        for (to, from) in bytes.iter_mut().skip(1).zip(from) {
            *to = *from;
        }
        bytes
    }

    /// Decodes a tombstone; `None` for other bytes, and for the tombstone of a tombstone.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (item_type, rest) = bytes.split_first()?;
        let (secret, value_hash) = rest.split_first_chunk()?;
        let item_type = ItemType(*item_type);
        let value_hash = *value_hash.as_array()?;
        (item_type != ItemType::TOMBSTONE).then_some(Self { item_type, secret: *secret, value_hash })
    }

    /// Returns the header to publish the tombstone with. Its lifetime is [`TTL_MAX_MS`], so that no copy of the item outlives it.
    pub fn header(&self, key: &Key) -> ItemHeader {
        let lock = DeleteLock(self.deletes().0);
        ItemHeader::publish(key, ItemType::TOMBSTONE, lock, TTL_MAX_MS, &self.to_bytes())
    }

    /// Returns whether `value` is a tombstone of the item whose digest is in `lock`.
    pub(crate) fn is_proof(lock: &DeleteLock, value: &[u8]) -> bool {
        Self::read(value).is_some_and(|tombstone| tombstone.deletes().0 == lock.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Invalid;

    const SECRET: [u8; 32] = [9; 32];

    #[test]
    fn its_bytes_are_read_back() {
        let tombstone = Tombstone::of(&Key::hash("k"), ItemType::RAW, &SECRET, b"v");
        assert_eq!(Tombstone::read(&tombstone.to_bytes()), Some(tombstone));
        assert_eq!(Tombstone::read(&tombstone.to_bytes()[1..]), None);
        assert_eq!(Tombstone::read(&[0; TOMBSTONE_LEN + 1]), None);
    }

    #[test]
    fn it_names_the_item_that_was_published_with_its_lock() {
        for item_type in [ItemType::RAW, ItemType::CONTENT] {
            let key = Key::hash("value");
            let header = ItemHeader::publish(&key, item_type, DeleteLock::of(&SECRET), 1000, b"value");
            assert_eq!(Tombstone::of(&key, item_type, &SECRET, b"value").deletes(), header.digest);
            assert_ne!(Tombstone::of(&key, item_type, &[8; 32], b"value").deletes(), header.digest);
        }
    }

    #[test]
    fn without_the_secret_there_is_no_proof() {
        let key = Key::hash("k");
        let victim = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::of(&SECRET), 1000, b"value");
        let guess = Tombstone::of(&key, ItemType::RAW, &[1; 32], b"value");
        let lock = DeleteLock(victim.digest.0);
        let forged = ItemHeader::publish(&key, ItemType::TOMBSTONE, lock, 1000, &guess.to_bytes());
        assert_eq!(forged.verify(&key, &guess.to_bytes()), Err(Invalid::Proof));
    }

    #[test]
    fn a_tombstone_cannot_be_deleted() {
        let bytes = Tombstone { item_type: ItemType::TOMBSTONE, secret: SECRET, value_hash: [0; 32] }.to_bytes();
        assert_eq!(Tombstone::read(&bytes), None);
    }
}
