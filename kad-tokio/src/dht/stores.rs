//! Stores, as their callers configure them.

use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{DeleteLock, ItemHeader, ItemType, Key};
use tracing::Instrument as _;

use super::{Boxed, Dht};
use crate::command::{Command, Publication, Request};
use crate::error::Error;
use crate::report::{Copies, Receipt};

/// A store of many values, made by [`Dht::store_many`]; runs when awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is stored until it is awaited"]
pub struct StoreMany {
    dht: Dht,
    items: Vec<(Key, Bytes, DeleteLock)>,
    item_type: ItemType,
    ttl: Duration,
    copies: Copies,
    timeout: Duration,
}

impl StoreMany {
    pub(super) fn new(dht: Dht, items: Vec<(Key, Bytes)>) -> Self {
        let timeout = dht.shared.timeout;
        Self {
            dht,
            items: items.into_iter().map(|(key, value)| (key, value, DeleteLock::NONE)).collect(),
            item_type: ItemType::RAW,
            ttl: Duration::from_secs(3600),
            copies: Copies::DEFAULT,
            timeout,
        }
    }

    /// How long the values live: up to seven days, an hour if not set.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How many copies to ask for and to wait for; [`Copies::DEFAULT`] if not set.
    pub fn copies(mut self, copies: Copies) -> Self {
        self.copies = copies;
        self
    }

    /// What kind of records they are; [raw](ItemType::RAW) if not set.
    pub fn item_type(mut self, item_type: ItemType) -> Self {
        self.item_type = item_type;
        self
    }

    /// What [`Dht::delete`] has to open: [`DeleteLock::of`] a secret of the publisher's. Without one the values can only lapse.
    pub fn lock(self, lock: DeleteLock) -> Self {
        self.lock_each(|_, _| lock)
    }

    /// The same with a lock for each value, made of its key and its bytes: opening one opens no other.
    pub fn lock_each(mut self, lock: impl Fn(&Key, &[u8]) -> DeleteLock) -> Self {
        for (key, value, own) in &mut self.items {
            *own = lock(key, value);
        }
        self
    }

    /// How long to wait at the most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks everything before anything is stored.
    fn publications(&self) -> Result<Vec<Publication>, Error> {
        let max = self.dht.shared.value_max;
        let ttl_ms = u32::try_from(self.ttl.as_millis()).ok().filter(|ms| (1..=TTL_MAX_MS).contains(ms));
        let ttl_ms = ttl_ms.ok_or(Error::Lifetime)?;
        if let Some((_, large, _)) = self.items.iter().find(|(_, value, _)| value.len() > max) {
            return Err(Error::TooLarge { len: large.len(), max });
        }
        let publication = |(key, bytes, lock): &(Key, Bytes, DeleteLock)| Publication {
            key: *key,
            header: ItemHeader::publish(key, self.item_type, *lock, ttl_ms, bytes),
            bytes: bytes.clone(),
        };
        Ok(self.items.iter().map(publication).collect())
    }

    async fn run(self) -> Result<Vec<Receipt>, Error> {
        let items = self.publications()?;
        let Some(first) = items.first() else { return Ok(Vec::new()) };
        let span = tracing::debug_span!("store", key = %first.key, items = items.len());
        let copies = self.copies;
        let stored =
            self.dht.call(true, self.timeout, |answer| Command::Network(Request::Store { items, copies, answer }));
        stored.instrument(span).await
    }
}

impl IntoFuture for StoreMany {
    type Output = Result<Vec<Receipt>, Error>;
    type IntoFuture = Boxed<Vec<Receipt>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { enough(self.run().await?) })
    }
}

/// A store of one value, made by [`Dht::store`]; runs when awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is stored until it is awaited"]
pub struct StoreOne {
    pub(super) inner: StoreMany,
}

impl StoreOne {
    /// How long the value lives: up to seven days, an hour if not set.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { inner: self.inner.ttl(ttl) }
    }

    /// How many copies to ask for and to wait for; [`Copies::DEFAULT`] if not set.
    pub fn copies(self, copies: Copies) -> Self {
        Self { inner: self.inner.copies(copies) }
    }

    /// What [`Dht::delete`] has to open: [`DeleteLock::of`] a secret of the publisher's. Without one the value can only lapse.
    pub fn lock(self, lock: DeleteLock) -> Self {
        Self { inner: self.inner.lock(lock) }
    }

    /// What kind of record it is; [raw](ItemType::RAW) if not set.
    pub fn item_type(self, item_type: ItemType) -> Self {
        Self { inner: self.inner.item_type(item_type) }
    }

    /// How long to wait at the most.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { inner: self.inner.timeout(timeout) }
    }
}

impl IntoFuture for StoreOne {
    type Output = Result<Receipt, Error>;
    type IntoFuture = Boxed<Receipt>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let own = self.inner.dht.id();
            let receipt = self.inner.run().await?.pop().ok_or(Error::Closed)?;
            match receipt.refused.iter().find(|refused| refused.contact.id == own) {
                Some(refused) => Err(Error::Refused(refused.status)),
                None => enough(vec![receipt])?.pop().ok_or(Error::Closed),
            }
        })
    }
}

/// The receipts, or an error that carries them if one of them says less than was asked for.
pub(super) fn enough(receipts: Vec<Receipt>) -> Result<Vec<Receipt>, Error> {
    match receipts.iter().all(|receipt| receipt.reached) {
        true => Ok(receipts),
        false => Err(Error::TooFewCopies { receipts }),
    }
}
