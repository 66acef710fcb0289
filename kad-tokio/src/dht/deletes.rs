//! Deleting what was published with a lock.

use std::time::Duration;

use kad_wire::{DeleteLock, Digest, ItemType, Key, Tombstone};

use super::Dht;
use super::stores::enough;
use crate::error::Error;
use crate::report::{Copies, Receipt, Value};

impl Value {
    /// Whether it was published under `key` with [`DeleteLock::of`] this secret.
    pub fn is_locked_with(&self, key: &Key, secret: &[u8; 32]) -> bool {
        Digest::of(key, self.item_type, &DeleteLock::of(secret), &self.bytes) == self.digest
    }
}

impl Dht {
    /// Deletes values under a key, by whichever node they were published: those for which `secret` knows what opens the lock
    /// that they were published with. The proof, which reveals the secret, goes to the nodes that hold them, and these pass it
    /// on for seven days; a value that comes back meanwhile is refused. A holder that cannot be reached serves its copy until
    /// another one passes the proof on to it.
    ///
    /// Answers with a receipt for each value that was deleted; with none, there was nothing to delete.
    ///
    /// ```
    /// # use kad_tokio::{Dht, Key, DeleteLock};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dht = Dht::builder().listen(([127, 0, 0, 1], 0).into()).start()?;
    /// let (key, secret) = (Key::hash("name"), [7; 32]);
    /// dht.store(key, "value").lock(DeleteLock::of(&secret)).await?;
    ///
    /// let deleted = dht.delete(key, |value| value.is_locked_with(&key, &secret).then_some(secret)).await?;
    /// assert_eq!(deleted.len(), 1);
    /// assert!(dht.find(key).await?.is_none());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// As those of [`find_all`](Self::find_all), if nothing was found to delete; and those of [`store`](Self::store).
    pub async fn delete(&self, key: Key, secret: impl Fn(&Value) -> Option<[u8; 32]>) -> Result<Vec<Receipt>, Error> {
        let (mut tombstones, mut ended) = (Vec::new(), Ok(()));
        let mut values = self.find_all(key).values();
        while let Some(value) = values.next().await {
            match value {
                Ok(value) => {
                    let locked = secret(&value).filter(|secret| value.is_locked_with(&key, secret));
                    tombstones.extend(locked.map(|secret| Tombstone::of(&key, value.item_type, &secret, &value.bytes)));
                }
                Err(error) => ended = Err(error),
            }
        }
        if tombstones.is_empty() {
            return ended.map(|()| Vec::new());
        }
        let mut receipts = Vec::new();
        for tombstone in tombstones {
            let header = tombstone.header(&key);
            let store = self.store(key, tombstone.to_bytes().to_vec()).item_type(ItemType::TOMBSTONE).lock(header.lock);
            let ttl = Duration::from_millis(header.ttl_ms.into());
            match store.ttl(ttl).copies(Copies::All).await {
                Ok(receipt) => receipts.push(receipt),
                // The others are deleted all the same.
                Err(Error::TooFewCopies { receipts: few }) => receipts.extend(few),
                Err(error) => return Err(error),
            }
        }
        enough(receipts)
    }
}
