//! The shared state of the handlers.

use std::sync::Arc;

use axum::extract::State;
use kad_tokio::{Dht, Key};
use tokio::sync::{Semaphore, watch};

use crate::durable::Audits;
use crate::health::Reached;
use crate::locks::Locks;
use crate::metrics::Counters;
use crate::settings::{Changeable, Settings};

/// The state of a handler.
pub(crate) type Shared = State<Arc<Context>>;

/// See the [module](self).
pub(crate) struct Context {
    pub(crate) dht: Dht,
    pub(crate) settings: Settings,
    /// Whether only this host can reach the listener.
    pub(crate) is_loopback: bool,
    /// The hashes of the tokens.
    pub(crate) tokens: Vec<Key>,
    pub(crate) locks: Locks,
    pub(crate) watchers: Arc<Semaphore>,
    pub(crate) audits: Audits,
    pub(crate) reached: Reached,
    pub(crate) counters: Counters,
    /// Closed when the server stops.
    pub(crate) running: watch::Receiver<()>,
    /// Each request in progress has a receiver of this.
    pub(crate) under_way: watch::Sender<()>,
    pub(crate) changeable: watch::Sender<Changeable>,
}
