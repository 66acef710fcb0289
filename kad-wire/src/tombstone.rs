//! Deleting without signatures: whoever published an item with a lock shows the secret that opens it.

use crate::item::{Digest, ItemHeader, ItemType, Lock, sha256};
use crate::key::Key;
use crate::limits::{TOMBSTONE_LEN, TTL_MAX_MS};

/// The proof that an item was deleted by whoever published it: everything that its digest was made of, with the secret in
/// place of its lock. Everybody can check it, and nobody can make it who does not know the secret.
///
/// It is published as an item of its own ([`ItemType::TOMBSTONE`]) under the same key, with the digest of the deleted item as
/// its lock. Holders drop the item, and take it no more for as long as they hold the tombstone.
///
/// ```
/// use kad_wire::{ItemHeader, ItemType, Key, Lock, Tombstone};
///
/// let (key, secret) = (Key::hash("name"), [7; 32]);
/// let header = ItemHeader::publish(&key, ItemType::RAW, Lock::of(&secret), 60_000, b"value");
/// let tombstone = Tombstone::of(&key, ItemType::RAW, &secret, b"value");
/// assert_eq!(tombstone.deletes(), header.digest);
/// assert_eq!(tombstone.header(&key).verify(&key, &tombstone.to_bytes()), Ok(()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// What kind of record the item was.
    pub item_type: ItemType,
    /// What opens its lock. Once published it is a secret no more: another item should have another one.
    pub secret: [u8; 32],
    /// The hash of its value: SHA-256, or the key of a [content](ItemType::CONTENT) item.
    pub value_hash: [u8; 32],
}

impl Tombstone {
    /// The tombstone of `value`, published under `key` as `item_type` with [`Lock::of`] this secret.
    pub fn of(key: &Key, item_type: ItemType, secret: &[u8; 32], value: &[u8]) -> Self {
        let value_hash = match item_type {
            ItemType::CONTENT => *key.as_bytes(),
            _ => sha256(value),
        };
        Self { item_type, secret: *secret, value_hash }
    }

    /// The digest of the item that it deletes.
    pub fn deletes(&self) -> Digest {
        Digest::of_hash(self.item_type, &Lock::of(&self.secret), &self.value_hash)
    }

    /// Its bytes, as they are published: type 1, secret 32, hash 32.
    pub fn to_bytes(&self) -> [u8; TOMBSTONE_LEN] {
        let mut bytes = [self.item_type.0; TOMBSTONE_LEN];
        let from = self.secret.iter().chain(&self.value_hash);
        for (to, from) in bytes.iter_mut().skip(1).zip(from) {
            *to = *from;
        }
        bytes
    }

    /// The tombstone that these bytes are; `None` if they are none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (item_type, rest) = bytes.split_first()?;
        let (secret, value_hash) = rest.split_first_chunk()?;
        let item_type = ItemType(*item_type);
        let value_hash = *value_hash.as_array()?;
        (item_type != ItemType::TOMBSTONE).then_some(Self { item_type, secret: *secret, value_hash })
    }

    /// The header to publish it with. It lives as long as any item may, so that no copy outlives it.
    pub fn header(&self, key: &Key) -> ItemHeader {
        let lock = Lock(self.deletes().0);
        ItemHeader::publish(key, ItemType::TOMBSTONE, lock, TTL_MAX_MS, &self.to_bytes())
    }

    /// Whether `value` is the proof that the item whose digest stands in `lock` is deleted.
    pub(crate) fn is_proof(lock: &Lock, value: &[u8]) -> bool {
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
            let header = ItemHeader::publish(&key, item_type, Lock::of(&SECRET), 1000, b"value");
            assert_eq!(Tombstone::of(&key, item_type, &SECRET, b"value").deletes(), header.digest);
            assert_ne!(Tombstone::of(&key, item_type, &[8; 32], b"value").deletes(), header.digest);
        }
    }

    #[test]
    fn without_the_secret_there_is_no_proof() {
        let key = Key::hash("k");
        let victim = ItemHeader::publish(&key, ItemType::RAW, Lock::of(&SECRET), 1000, b"value");
        let guess = Tombstone::of(&key, ItemType::RAW, &[1; 32], b"value");
        let lock = Lock(victim.digest.0);
        let forged = ItemHeader::publish(&key, ItemType::TOMBSTONE, lock, 1000, &guess.to_bytes());
        assert_eq!(forged.verify(&key, &guess.to_bytes()), Err(Invalid::Proof));
    }

    #[test]
    fn a_tombstone_cannot_be_deleted() {
        let bytes = Tombstone { item_type: ItemType::TOMBSTONE, secret: SECRET, value_hash: [0; 32] }.to_bytes();
        assert_eq!(Tombstone::read(&bytes), None);
    }
}
