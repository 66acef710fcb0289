//! Deleting what was published with a lock.

use kad_wire::{Digest, ItemType, Key, Lock, Tombstone};

use super::Dht;
use crate::error::Error;
use crate::report::{Copies, Receipt, Value};

impl Dht {
    /// Deletes every value under a key that was published with [`Lock::of`] this secret, by whichever node. The proof, which
    /// reveals the secret, goes to the nodes that hold them, and is passed on by these for seven days: values that come back
    /// meanwhile are refused. A holder that cannot be reached serves its copy until another one passes the proof on to it.
    ///
    /// Answers with a receipt for each value that was deleted; with none, there was nothing to delete.
    ///
    /// ```
    /// # use kad_tokio::{Dht, Key, Lock};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dht = Dht::builder().listen(([127, 0, 0, 1], 0).into()).start()?;
    /// let (key, secret) = (Key::hash("name"), [7; 32]);
    /// dht.store(key, "value").lock(Lock::of(&secret)).await?;
    /// assert_eq!(dht.delete(key, &secret).await?.len(), 1);
    /// assert!(dht.find(key).await?.is_none());
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// As those of [`find_all`](Self::find_all), if nothing was found to delete; and those of [`store`](Self::store).
    pub async fn delete(&self, key: Key, secret: &[u8; 32]) -> Result<Vec<Receipt>, Error> {
        let lock = Lock::of(secret);
        let is_locked = |value: &Value| Digest::of(&key, value.item_type, &lock, &value.bytes) == value.digest;
        let (mut tombstones, mut ended) = (Vec::new(), Ok(()));
        let mut values = self.find_all(key).values();
        while let Some(value) = values.next().await {
            match value {
                Ok(value) if is_locked(&value) => {
                    tombstones.push(Tombstone::of(&key, value.item_type, secret, &value.bytes));
                }
                Ok(_) => {}
                Err(error) => ended = Err(error),
            }
        }
        if tombstones.is_empty() {
            return ended.map(|()| Vec::new());
        }
        let mut receipts = Vec::new();
        for tombstone in tombstones {
            let (header, bytes) = (tombstone.header(&key), tombstone.to_bytes());
            let store = self.store(key, bytes.to_vec()).item_type(ItemType::TOMBSTONE).lock(header.lock);
            let ttl = std::time::Duration::from_millis(header.ttl_ms.into());
            receipts.push(store.ttl(ttl).copies(Copies::All).await?);
        }
        Ok(receipts)
    }
}
