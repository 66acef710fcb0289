//! What a handle shows of its node to those who look after it.

use kad_wire::{Digest, Key};

use super::Dht;
use crate::command::Command;
use crate::error::{Error, Gap};
use crate::feed::Events;
use crate::report::HeldPage;

impl Dht {
    /// What happens at the node from now on: how operations go, step by step, and who enters and leaves the routing table. A
    /// node that nobody watches makes nothing of it.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn watch(&self) -> Result<Events, Error> {
        let events = self.shared.feed.watch();
        self.ask(self.shared.timeout, |answer| Command::Watch { answer }).await?;
        Ok(events)
    }

    /// Up to `limit` values that the node holds, in the order of keys and digests, after a place or from the beginning.
    /// `own`: only those that it publishes itself.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn held(&self, after: Option<(Key, Digest)>, limit: usize, own: bool) -> Result<HeldPage, Error> {
        self.ask(self.shared.timeout, |answer| Command::Held { after, limit, own, answer }).await
    }

    /// Asks the k nodes nearest to a key what they hold under it: each value that any of them names, and how many nodes,
    /// this one not counted, have it right now. Values that do not fit a datagram are fetched once.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no node answers although there is a network to reach, [`Error::Incomplete`] when too few of
    /// the k nearest answer, [`Error::Timeout`], [`Error::Closed`].
    pub async fn holders(&self, key: Key) -> Result<Vec<(Digest, usize)>, Error> {
        let mut values = self.find_all(key).values();
        while let Some(value) = values.next().await {
            match value {
                // More values, or larger ones, than this node takes or can fetch: those that are named are counted all the same.
                Ok(_) | Err(Error::Truncated | Error::Incomplete(Gap { unfetched: 1.., .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(values.holders().to_vec())
    }
}
