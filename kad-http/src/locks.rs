//! Which values this gateway may delete: all that it published itself, because it derives their locks from a secret of its own.

use kad_tokio::{DeleteLock, Dht, Digest, Error, ItemStatus, Key, Receipt, StoreMany, StoreOne, Value};

use crate::api::Forgotten;

/// How often the same value can be published and deleted under the same key within seven days: each time has a lock of its
/// own, because a delete reveals what opens it.
const TIMES: u8 = 8;

/// What locks the values that are published here. Without a secret nothing is locked.
pub(crate) struct Locks(pub(crate) Option<[u8; 32]>);

impl Locks {
    /// What opens the lock of a value, for the first time that it is published under a key, or a later one.
    fn secret(&self, key: &Key, value: &[u8], time: u8) -> Option<[u8; 32]> {
        let mut named = [0; 97];
        named[..32].copy_from_slice(&self.0?);
        named[32..64].copy_from_slice(key.as_bytes());
        named[64..96].copy_from_slice(Key::hash(value).as_bytes());
        named[96] = time;
        Some(*Key::hash(named).as_bytes())
    }

    /// Stores a value with a lock. One that was deleted before has another lock than it had.
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

    /// Stores values, each with the lock that it has the first time.
    ///
    /// # Errors
    /// Those of [`Dht::store_many`].
    pub(crate) async fn store_many(&self, store: StoreMany) -> Result<Vec<Receipt>, Error> {
        let first = |key: &Key, value: &[u8]| {
            self.secret(key, value, 0).map_or(DeleteLock::NONE, |secret| DeleteLock::of(&secret))
        };
        store.lock_each(first).await
    }

    /// Takes back what this node published under a key, or the one value of it that has this digest: it is no longer published,
    /// and what has a lock of this server's is deleted at all who hold it.
    ///
    /// # Errors
    /// Those of [`Dht::delete`], if nothing else was achieved.
    pub(crate) async fn take_back(&self, dht: &Dht, key: Key, chosen: Option<Digest>) -> Result<Forgotten, Error> {
        // First: the proof that they are deleted is published too, and is to stay so.
        let values = match chosen {
            Some(digest) => usize::from(dht.forget_value(key, digest).await?),
            None => dht.forget(key).await?,
        };
        let is_chosen = |value: &Value| chosen.is_none_or(|digest| value.digest == digest);
        match self.delete(dht, key, is_chosen).await {
            Ok(deleted) => Ok(Forgotten { key, values, deleted, undeleted: None }),
            // What is no longer published is so, whether or not anybody could be told.
            Err(error) if values > 0 => Ok(Forgotten { key, values, deleted: 0, undeleted: Some(error.to_string()) }),
            Err(error) => Err(error),
        }
    }

    /// Deletes what was stored here under a key, or the one of it that `chosen` says. Answers with how much that was.
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
