//! Which values this gateway may delete: all that it published itself, because it derives their locks from a secret of its own.

use kad_tokio::{Dht, Error, ItemStatus, Key, Lock, Receipt, StoreOne, Value};

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
            match store.clone().lock(Lock::of(&secret)).await {
                Err(Error::Refused(ItemStatus::Deleted)) => {}
                answer => return answer,
            }
        }
        store.await
    }

    /// Deletes what was stored here under a key, or the one of it that `chosen` says. Answers with how much that was.
    ///
    /// # Errors
    /// Those of [`Dht::delete`].
    pub(crate) async fn delete(&self, dht: &Dht, key: Key, chosen: impl Fn(&Value) -> bool) -> Result<usize, Error> {
        let opens = |value: &Value| {
            let secrets = (0..TIMES).filter_map(|time| self.secret(&key, &value.bytes, time));
            secrets.filter(|_| chosen(value)).find(|secret| value.is_locked_with(&key, secret))
        };
        Ok(dht.delete(key, opens).await?.len())
    }
}
