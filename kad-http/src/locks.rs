//! The locks of this gateway: it can delete all values that it published, because it derives their locks from its own
//! secret.

use kad_tokio::{DeleteLock, Dht, Digest, Error, ItemStatus, Key, Receipt, StoreMany, StoreOne, Value};

use crate::api::Forgotten;

/// How often the same value can be published and deleted under the same key within seven days: each time has its own lock,
/// because a delete reveals the secret of its lock.
const TIMES: u8 = 8;

/// Locks the values published here. Without a secret it locks nothing.
pub(crate) struct Locks(pub(crate) Option<[u8; 32]>);

impl Locks {
    /// Returns the secret of a value's lock, for the first publication under a key or a later one.
    fn secret(&self, key: &Key, value: &[u8], time: u8) -> Option<[u8; 32]> {
        let mut named = [0; 97];
        named[..32].copy_from_slice(&self.0?);
        named[32..64].copy_from_slice(key.as_bytes());
        named[64..96].copy_from_slice(Key::hash(value).as_bytes());
        named[96] = time;
        Some(*Key::hash(named).as_bytes())
    }

    /// Stores a value with a lock; after a delete, with a new one.
    ///
    /// # Errors
    /// Those of [`Dht::store`].
    pub(crate) async fn store(&self, key: &Key, value: &[u8], store: StoreOne) -> Result<Receipt, Error> {
        for time in 0..TIMES {
            let Some(secret) = self.secret(key, value, time) else { break };
            match store.clone().lock(DeleteLock::of(&secret)).await {
                Err(Error::Refused(ItemStatus::Deleted)) => {}
                answer => return answer,
            }
        }
        store.await
    }

    /// Stores values, each with its first lock.
    ///
    /// # Errors
    /// Those of [`Dht::store_many`].
    pub(crate) async fn store_many(&self, store: StoreMany) -> Result<Vec<Receipt>, Error> {
        let first = |key: &Key, value: &[u8]| {
            self.secret(key, value, 0).map_or(DeleteLock::NONE, |secret| DeleteLock::of(&secret))
        };
        store.lock_each(first).await
    }

    /// Stops republishing this node's values under a key, or the one with this digest, and deletes all copies of those with
    /// a lock of this server.
    ///
    /// # Errors
    /// Those of [`Dht::delete`], if nothing succeeded.
    pub(crate) async fn take_back(&self, dht: &Dht, key: Key, chosen: Option<Digest>) -> Result<Forgotten, Error> {
        // First, because the tombstones are published too and must stay published.
        let values = match chosen {
            Some(digest) => usize::from(dht.forget_value(key, digest).await?),
            None => dht.forget(key).await?,
        };
        let is_chosen = |value: &Value| chosen.is_none_or(|digest| value.digest == digest);
        match self.delete(dht, key, is_chosen).await {
            Ok(deleted) => Ok(Forgotten { key, values, deleted, undeleted: None }),
            // Republishing has stopped, even if no holder was reached.
            Err(error) if values > 0 => Ok(Forgotten { key, values, deleted: 0, undeleted: Some(error.to_string()) }),
            Err(error) => Err(error),
        }
    }

    /// Deletes the values stored here under a key, or the chosen one. Returns their number.
    ///
    /// # Errors
    /// Those of [`Dht::delete`].
    async fn delete(&self, dht: &Dht, key: Key, chosen: impl Fn(&Value) -> bool) -> Result<usize, Error> {
        let opens = |value: &Value| {
            let secrets = (0..TIMES).filter_map(|time| self.secret(&key, &value.bytes, time));
            secrets.filter(|_| chosen(value)).find(|secret| value.is_locked_with(&key, secret))
        };
        Ok(dht.delete(key, opens).await?.len())
    }
}
