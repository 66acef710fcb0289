//! Settings of the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Settings of a [`Server`](crate::Server). By default every client that reaches the address may use the gateway, and only
/// this host the operations.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether every client may read and write values; else only clients with a token.
    pub gateway: bool,
    /// Each token permits everything, from any host. Without one the program cannot be stopped over HTTP.
    pub tokens: Vec<String>,
    /// The secret that locks the values published through this server, so that DELETE removes all copies. Keep it: with
    /// another secret they can only expire. Without one nothing is locked.
    pub secret: Option<[u8; 32]>,
    /// Names and addresses to accept in `Host`, besides those of loopback. If there are any, or if the listener is on
    /// loopback, the server refuses other names, which prevents DNS rebinding.
    pub hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may read and write values here.
    pub origins: Vec<String>,
    /// The maximum number of connections; more wait until one ends.
    pub connections: usize,
    /// The maximum number of clients of `/events`; more are refused.
    pub watchers: usize,
    /// The time limit for the head of a request, and for an idle connection.
    pub header_timeout: Duration,
    /// The time limit for the body of a request.
    pub body_timeout: Duration,
    /// The time limit for a client that reads no byte of its response.
    pub write_timeout: Duration,
    /// The time limit for requests in progress when the server stops.
    pub drain_timeout: Duration,
    /// Notified by `POST /stop` with a token.
    pub stop: Arc<Notify>,
    /// Settings of the program, shown by `/node`.
    pub shown: BTreeMap<String, String>,
}

/// The [`Settings`] that can be changed while the server runs, with [`Handle::change`](crate::Handle::change).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changeable {
    /// See [`Settings::hosts`].
    pub hosts: Vec<String>,
    /// See [`Settings::origins`].
    pub origins: Vec<String>,
    /// See [`Settings::shown`].
    pub shown: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway: true,
            tokens: Vec::new(),
            secret: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            connections: 4096,
            watchers: 64,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            stop: Arc::new(Notify::new()),
            shown: BTreeMap::new(),
        }
    }
}
