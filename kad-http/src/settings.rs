//! How a gateway is to behave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Settings of a [`Server`](crate::Server). The defaults are those of a gateway for everybody who can reach its address, and of
/// operations endpoints for this host alone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether values are served: without it there are only health, metrics, operations and control.
    pub gateway: bool,
    /// What opens the control endpoints, and the operations endpoints from anywhere. Without one there is no control.
    pub token: Option<String>,
    /// What locks the values that are published through this server, so that a DELETE is obeyed by all who hold them. Keep it:
    /// with another one they can only lapse. Without one nothing is locked.
    pub secret: Option<[u8; 32]>,
    /// Names and addresses, besides those of loopback, by which browsers and others may call this server (`Host`). If there
    /// are any, or if the listener is on loopback, other names are refused: that is what stops DNS rebinding.
    pub hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may read and write values here.
    pub origins: Vec<String>,
    /// Connections at a time; more wait until one ends.
    pub connections: usize,
    /// Those who follow `/events` at a time; more are refused.
    pub watchers: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long a client may take no byte of an answer.
    pub write_timeout: Duration,
    /// How long requests that are under way may take when the server is told to stop.
    pub drain_timeout: Duration,
    /// Told when somebody with the token asks for the end of the program (`POST /control/stop`).
    pub stop: Arc<Notify>,
    /// Settings of the program, for `/node` to show.
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
            token: None,
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
