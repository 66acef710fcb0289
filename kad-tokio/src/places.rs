//! How many calls a node takes in at a time. More wait for a place, each in its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// The places of a node's calls.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// Those that stores may take. The others are left to finds, lookups and pings: a disk that hangs holds up stores only.
    stores: Arc<Semaphore>,
    most: usize,
    refused: AtomicU64,
}

/// A call's place, until nothing is left to do for the call.
#[derive(Debug)]
pub(crate) struct Place {
    _all: OwnedSemaphorePermit,
    _store: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(2, Semaphore::MAX_PERMITS);
        let stores = most - (most / 4).max(1);
        Self {
            all: Arc::new(Semaphore::new(most)),
            stores: Arc::new(Semaphore::new(stores)),
            most,
            refused: AtomicU64::new(0),
        }
    }

    /// Waits for a place, in the order of calls.
    ///
    /// # Errors
    /// [`Error::Busy`] at the deadline.
    pub(crate) async fn take(&self, is_store: bool, deadline: Instant) -> Result<Place, Error> {
        let take = async {
            let store = if is_store { Some(self.stores.clone().acquire_owned().await) } else { None };
            let all = self.all.clone().acquire_owned().await;
            // They are never closed.
            let store = store.transpose().map_err(|_| Error::Closed)?;
            Ok(Place { _all: all.map_err(|_| Error::Closed)?, _store: store })
        };
        tokio::time::timeout_at(deadline.into(), take).await.unwrap_or(Err(Error::Busy))
    }

    /// Counts a call that ended with this error, if it was refused.
    pub(crate) fn note(&self, error: &Error) {
        if *error == Error::Busy {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns a place for a find, if one is free.
    pub(crate) fn try_take(&self) -> Option<Place> {
        let all = self.all.clone().try_acquire_owned().ok()?;
        Some(Place { _all: all, _store: None })
    }

    /// Calls that have a place.
    pub(crate) fn taken(&self) -> usize {
        self.most - self.all.available_permits()
    }

    /// Calls that were refused: they had no place, or no operation began for them, by their deadline.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Places;
    use crate::error::Error;

    #[tokio::test]
    async fn stores_leave_places_to_others_and_who_waits_in_vain_hears_so() {
        let places = Places::new(8);
        let soon = || Instant::now() + Duration::from_millis(10);
        let mut stores = Vec::new();
        for _ in 0..6 {
            stores.push(places.take(true, soon()).await.unwrap());
        }
        assert_eq!(places.take(true, soon()).await.err(), Some(Error::Busy));
        let finds = [places.take(false, soon()).await.unwrap(), places.try_take().unwrap()];
        assert!(places.try_take().is_none() && places.taken() == 8);
        assert_eq!(places.take(false, soon()).await.err(), Some(Error::Busy));
        drop((stores, finds));
        places.note(&Error::Timeout);
        places.note(&Error::Busy);
        assert_eq!((places.taken(), places.refused()), (0, 1));
    }
}
