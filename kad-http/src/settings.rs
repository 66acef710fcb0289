//! How a gateway is to behave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Settings of a [`Server`](crate::Server). The defaults are those of a gateway for everybody who can reach its address, and of
/// operations endpoints for this host alone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether everybody may read and write values; else only those with a token.
    pub gateway: bool,
    /// Each of these opens everything, from anywhere. Without one the program cannot be stopped over HTTP.
    pub tokens: Vec<String>,
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
    /// Told when somebody with the token asks for the end of the program (`POST /stop`).
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
