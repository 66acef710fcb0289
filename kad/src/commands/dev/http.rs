//! HTTP requests to the nodes.

use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::Key;

/// The time limit of a request: longer than that of a node.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A client with persistent connections.
#[derive(Clone)]
pub(super) struct Http(ureq::Agent);

impl Http {
    pub(super) fn new() -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        Self(config.proxy(None).build().new_agent())
    }

    /// Stores a value at every holder. Returns the number of copies, if the response has it.
    pub(super) fn put(&self, at: SocketAddr, key: Key, value: &[u8]) -> Option<usize> {
        let answer = self.0.put(format!("http://{at}/{key}?copies=all")).send(value).ok()?;
        let copies = answer.headers().get("kad-copies")?.to_str().ok()?.parse().ok()?;
        (answer.status() == 202).then_some(copies)
    }

    /// Returns the newest value under a key, if there is one.
    pub(super) fn get(&self, at: SocketAddr, key: Key) -> Option<Vec<u8>> {
        let mut answer = self.0.get(format!("http://{at}/{key}")).call().ok()?;
        (answer.status() == 200).then(|| answer.body_mut().read_to_vec().ok())?
    }

    /// Returns whether the node reports that it reaches its network.
    #[cfg(target_os = "linux")]
    pub(super) fn is_ready(&self, at: SocketAddr) -> bool {
        self.0.get(format!("http://{at}/ready")).call().is_ok_and(|answer| answer.status() == 200)
    }
}
