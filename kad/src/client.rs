//! How commands reach a running daemon: over HTTP on loopback, with the token that only the daemon's user can read.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kad_http::api::{
    Batch, BatchValue, FindQuery, Forgotten, Found, FoundAll, Lookup, Patience, Peer, Problem, Readiness, Removal,
    Status, StoreQuery, Stored,
};
use kad_tokio::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;

/// How much longer than the call itself the connection may take.
const SLACK: Duration = Duration::from_secs(5);
/// Longest answer in bytes: all values of a key, as long as values can be.
const ANSWER_MAX: u64 = 1 << 30;

/// A connection to a running daemon.
pub(crate) struct Client {
    control: ControlFile,
    directory: PathBuf,
    agent: ureq::Agent,
}

impl Client {
    /// The daemon of a data directory.
    pub(crate) fn of(data_dir: &DataDir, timeout: Duration) -> Result<Self, Failure> {
        let control = data_dir.read_control()?;
        let agent = agent(Some(timeout + SLACK));
        Ok(Self { control, directory: data_dir.path().into(), agent })
    }

    pub(crate) fn status(&self) -> Result<Status, Failure> {
        self.call("GET", "node", &(), &[])
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, Failure> {
        self.call("GET", "peers", &(), &[])
    }

    pub(crate) fn lookup(&self, key: Key, patience: &Patience) -> Result<Lookup, Failure> {
        self.call("GET", &format!("lookup/{key}"), patience, &[])
    }

    pub(crate) fn store(&self, key: Key, value: &[u8], query: &StoreQuery) -> Result<Stored, Failure> {
        self.call("PUT", &format!("control/values/{key}"), query, value).map_err(|failure| match failure {
            Failure::TooLarge { max, .. } => Failure::TooLarge { len: value.len(), max },
            other => other,
        })
    }

    /// Stores some values at once: no more than [`BATCH_BYTES`](kad_http::api::BATCH_BYTES), or a single one.
    pub(crate) fn store_many(&self, items: &[(Key, Vec<u8>)], query: &StoreQuery) -> Result<Vec<Stored>, Failure> {
        let value = |(key, bytes): &(Key, Vec<u8>)| BatchValue { key: *key, value: BASE64_STANDARD.encode(bytes) };
        let batch = Batch { values: items.iter().map(value).collect() };
        let body = serde_json::to_vec(&batch).map_err(|error| Failure::System(error.into()))?;
        self.call("POST", "control/values", query, &body)
    }

    /// Whether the daemon reaches its network, and why. That it does not is no failure.
    pub(crate) fn ready(&self) -> Result<Readiness, Failure> {
        let mut response = self.request("GET", "ready", "", &[], &self.agent)?;
        let text = response.body_mut().read_to_string().map_err(|error| self.failure(error))?;
        serde_json::from_str(&text).map_err(|_| problem(&text))
    }

    /// What happens at the daemon, as lines of server-sent events, and its numbers this often. Ends when the daemon does.
    pub(crate) fn events(&self, stats: Duration) -> Result<impl BufRead + use<>, Failure> {
        let query = format!("stats={}ms", stats.as_millis());
        // A stream has no end to wait for.
        let agent = agent(None);
        let mut response = self.request("GET", "events", &query, &[], &agent)?;
        if !response.status().is_success() {
            let text = response.body_mut().read_to_string().map_err(|error| self.failure(error))?;
            return Err(problem(&text));
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    pub(crate) fn find(&self, key: Key, query: &FindQuery) -> Result<FoundAll, Failure> {
        self.call("GET", &format!("control/values/{key}"), query, &[])
    }

    /// Takes back what the daemon published: it publishes it no longer, or it is deleted everywhere.
    pub(crate) fn remove(&self, key: Key, removal: &Removal) -> Result<Forgotten, Failure> {
        self.call("DELETE", &format!("control/values/{key}"), removal, &[])
    }

    pub(crate) fn stop(&self) -> Result<(), Failure> {
        self.send("POST", "control/stop", "", &[]).map(drop)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        query: &impl Serialize,
        body: &[u8],
    ) -> Result<T, Failure> {
        let query = serde_urlencoded::to_string(query).map_err(|error| Failure::Daemon(error.to_string()))?;
        let text = self.send(method, path, &query, body)?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::Daemon(format!("what this version does not know: {error}")))
    }

    /// Sends a request, and answers with the body of a success.
    fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Result<String, Failure> {
        let mut response = self.request(method, path, query, body, &self.agent)?;
        let text = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let text = text.map_err(|error| self.failure(error))?;
        if response.status().is_success() { Ok(text) } else { Err(problem(&text)) }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
        agent: &ureq::Agent,
    ) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let ControlFile { address, token, .. } = &self.control;
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{address}/{path}?{query}"))
            .header("Authorization", format!("Bearer {token}"))
            .body(body)
            .map_err(|error| Failure::Daemon(error.to_string()))?;
        agent.run(request).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(_) => Failure::Timeout,
            // The daemon ended without removing its file.
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => Failure::NoDaemon(self.directory.clone()),
            other => Failure::Daemon(other.to_string()),
        }
    }
}

fn agent(timeout: Option<Duration>) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(timeout).http_status_as_error(false).proxy(None);
    config.build().new_agent()
}

/// What the daemon said is wrong, in the words of the command line.
fn problem(text: &str) -> Failure {
    let Ok(problem) = serde_json::from_str::<Problem>(text) else {
        return Failure::Daemon(text.trim().to_owned());
    };
    match (problem.error.as_str(), problem.len, problem.max) {
        ("too_large", len, Some(max)) => Failure::TooLarge { len: len.unwrap_or_default(), max },
        ("timeout", ..) => Failure::Timeout,
        ("unreachable", ..) => Failure::Unreachable("any address that the daemon knows".into()),
        ("refused" | "not_durable", ..) => Failure::StoredNowhere(problem.message),
        ("incomplete", ..) => Failure::Incomplete(problem.message),
        ("lifetime", ..) => Failure::Setting(problem.message),
        _ => Failure::Daemon(problem.message),
    }
}

/// The bytes of a value as the daemon printed it.
pub(crate) fn bytes(found: &Found) -> Result<Vec<u8>, Failure> {
    BASE64_STANDARD.decode(&found.value).map_err(|error| Failure::Daemon(error.to_string()))
}
