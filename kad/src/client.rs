//! How commands reach a running daemon: over HTTP, with its token. The daemon of a data directory says there where it is, for its
//! user only; one elsewhere is named with `--api`.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kad_http::api::{
    Batch, BatchValue, FindQuery, Forgotten, Found, FoundAll, Lookup, Patience, Peer, Pong, Problem, Readiness,
    Removal, Status, Stopping, StoreQuery, Stored,
};
use kad_tokio::Key;
use serde::de::DeserializeOwned;
use ureq::http::{Response, header};

use crate::args::{Elsewhere, Target};
use crate::data_dir::DataDir;
use crate::error::Failure;
use crate::token;

/// How much longer than the call itself the connection may take.
const SLACK: Duration = Duration::from_secs(5);
/// How long the connection itself may take to a daemon elsewhere.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer in bytes: all values of a key, as long as values can be.
const ANSWER_MAX: u64 = 1 << 30;
/// The type of what daemons answer with.
const JSON: &str = "application/json";
/// The type of their errors.
const PROBLEM: &str = "application/problem+json";

/// Where a daemon is to be found.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The one of a data directory on this host.
    Here(DataDir),
    /// One elsewhere.
    Elsewhere { url: String, token: Option<String> },
}

impl Place {
    /// The daemon that a command is meant for.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        match Self::elsewhere(&target.elsewhere)? {
            Some(place) => Ok(place),
            None => Ok(Self::Here(DataDir::new(target.data_dir.clone())?)),
        }
    }

    /// The daemon elsewhere that was named, if any.
    pub(crate) fn elsewhere(elsewhere: &Elsewhere) -> Result<Option<Self>, Failure> {
        let Some(url) = elsewhere.api.clone() else { return Ok(None) };
        let token = elsewhere.token.as_deref().map(token::read).transpose()?;
        Ok(Some(Self::Elsewhere { url, token }))
    }
}

/// A connection to a running daemon.
pub(crate) struct Client {
    place: Place,
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// A request, with what all of them have.
#[derive(Default)]
struct Request<'r> {
    method: &'r str,
    path: &'r str,
    query: Vec<(&'static str, String)>,
    body: &'r [u8],
}

impl Client {
    /// The daemon of a place.
    pub(crate) fn of(place: &Place, timeout: Duration) -> Result<Self, Failure> {
        let (url, token) = match place {
            Place::Elsewhere { url, token } => (url.clone(), token.clone()),
            Place::Here(data_dir) => {
                let control = data_dir.read_control()?;
                (format!("http://{}", control.address), Some(control.token))
            }
        };
        Ok(Self { place: place.clone(), url, token, agent: agent(Some(timeout + SLACK), timeout) })
    }

    pub(crate) fn status(&self) -> Result<Status, Failure> {
        self.call(Request { method: "GET", path: "node", ..Request::default() })
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, Failure> {
        self.call(Request { method: "GET", path: "peers", ..Request::default() })
    }

    pub(crate) fn lookup(&self, key: Key, patience: &Patience) -> Result<Lookup, Failure> {
        let path = format!("lookup/{key}");
        self.call(Request { method: "GET", path: &path, query: patience.pairs(), ..Request::default() })
    }

    /// Has the daemon ping an address.
    pub(crate) fn ping(&self, address: &str, patience: &Patience) -> Result<Pong, Failure> {
        let path = format!("ping/{}", address.replace('%', "%25"));
        self.call(Request { method: "GET", path: &path, query: patience.pairs(), ..Request::default() })
    }

    /// Stores a value. Fewer copies than were asked for are in the receipt, and no failure here.
    pub(crate) fn store(&self, key: Key, value: &[u8], query: &StoreQuery) -> Result<Stored, Failure> {
        let path = if query.content { String::new() } else { key.to_string() };
        let method = if query.content { "POST" } else { "PUT" };
        let answer = self.ask(Request { method, path: &path, query: query.pairs(), body: value })?;
        match answer {
            Ok(text) => self.read(&text),
            Err(Problem { receipt: Some(receipt), .. }) => Ok(*receipt),
            Err(problem) => Err(match self.failure_of(problem) {
                Failure::TooLarge { max, .. } => Failure::TooLarge { len: value.len(), max },
                other => other,
            }),
        }
    }

    /// Stores some values at once: no more than [`BATCH_BYTES`](kad_http::api::BATCH_BYTES), or a single one.
    pub(crate) fn store_many(&self, items: &[(Key, Vec<u8>)], query: &StoreQuery) -> Result<Vec<Stored>, Failure> {
        let value = |(key, bytes): &(Key, Vec<u8>)| BatchValue {
            key: (!query.content).then_some(*key),
            value: BASE64_STANDARD.encode(bytes),
        };
        let batch = Batch { values: items.iter().map(value).collect() };
        let body = serde_json::to_vec(&batch).map_err(|error| Failure::System(error.into()))?;
        self.call(Request { method: "POST", path: "values", query: query.pairs(), body: &body })
    }

    /// Whether the daemon reaches its network, and why. That it does not is no failure.
    pub(crate) fn ready(&self) -> Result<Readiness, Failure> {
        let mut response = self.send(&Request { method: "GET", path: "ready", ..Request::default() }, &self.agent)?;
        let text = response.body_mut().read_to_string().map_err(|error| self.failure(error))?;
        match kind(&response) {
            JSON => self.read(&text),
            _ => Err(self.refused(&response, &text)?),
        }
    }

    /// What happens at the daemon, as lines of server-sent events, and its numbers this often. Ends when the daemon does.
    pub(crate) fn events(&self, stats: Duration) -> Result<impl BufRead + use<>, Failure> {
        let query = vec![("stats", format!("{}ms", stats.as_millis()))];
        // A stream has no end to wait for.
        let agent = agent(None, CONNECT);
        let mut response = self.send(&Request { method: "GET", path: "events", query, body: &[] }, &agent)?;
        if !response.status().is_success() {
            let text = response.body_mut().read_to_string().map_err(|error| self.failure(error))?;
            return Err(self.refused(&response, &text)?);
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    pub(crate) fn find(&self, key: Key, query: &FindQuery) -> Result<FoundAll, Failure> {
        let path = key.to_string();
        let request = Request { method: "GET", path: &path, query: query.pairs(), body: &[] };
        let found = match query.all {
            true => self.call(request),
            false => self.call(request).map(|found: Found| FoundAll { values: vec![found], incomplete: None }),
        };
        found.map_err(|failure| match failure {
            Failure::NotFound(_) => Failure::NotFound(key.to_string()),
            other => other,
        })
    }

    /// Takes back what the daemon published: it publishes it no longer, or it is deleted everywhere.
    pub(crate) fn remove(&self, key: Key, removal: &Removal) -> Result<Forgotten, Failure> {
        let path = key.to_string();
        let request = Request { method: "DELETE", path: &path, query: removal.pairs(), body: &[] };
        self.call(request).map_err(|failure| match failure {
            Failure::NotFound(_) => Failure::NotFound(format!("{key} that this daemon published")),
            other => other,
        })
    }

    pub(crate) fn stop(&self) -> Result<Stopping, Failure> {
        self.call(Request { method: "POST", path: "stop", ..Request::default() })
    }

    fn call<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Failure> {
        match self.ask(request)? {
            Ok(text) => self.read(&text),
            Err(problem) => Err(self.failure_of(problem)),
        }
    }

    /// Sends a request, and returns the body of a success, or what the daemon says is wrong.
    fn ask(&self, request: Request<'_>) -> Result<Result<String, Problem>, Failure> {
        let mut response = self.send(&request, &self.agent)?;
        let text = response.body_mut().with_config().limit(ANSWER_MAX).lossy_utf8(true).read_to_string();
        let text = text.map_err(|error| self.failure(error))?;
        match (response.status().is_success(), kind(&response)) {
            (true, JSON) => Ok(Ok(text)),
            (false, PROBLEM) => Ok(Err(self.read(&text)?)),
            _ => Err(self.stranger(&response)),
        }
    }

    fn send(&self, request: &Request<'_>, agent: &ureq::Agent) -> Result<Response<ureq::Body>, Failure> {
        let query = serde_urlencoded::to_string(&request.query).map_err(|error| Failure::Daemon(error.to_string()))?;
        let url = format!("{}/{}{}{query}", self.url, request.path, if query.is_empty() { "" } else { "?" });
        tracing::debug!(method = request.method, url, bytes = request.body.len(), "asking the daemon");
        let mut built = ureq::http::Request::builder().method(request.method).uri(url).header(header::ACCEPT, JSON);
        if let Some(token) = &self.token {
            built = built.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if matches!(request.method, "POST" | "PUT") {
            // Any bytes: no form, whose field would be the value.
            built = built.header(header::CONTENT_TYPE, "application/octet-stream");
        }
        let built = built.body(request.body).map_err(|error| Failure::Daemon(error.to_string()))?;
        let response = agent.run(built).map_err(|error| self.failure(error))?;
        tracing::debug!(status = response.status().as_u16(), kind = kind(&response), "answered");
        Ok(response)
    }

    /// Reads what a daemon has answered with.
    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        let unknown = |error| Failure::Daemon(format!("what this version does not know: {error}"));
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => serde_json::from_value(value).map_err(unknown),
            Err(_) => Err(Failure::NotKad { url: self.url.clone(), said: "what is no JSON".into() }),
        }
    }

    /// What is wrong, by an answer that is no success.
    fn refused(&self, response: &Response<ureq::Body>, text: &str) -> Result<Failure, Failure> {
        match kind(response) {
            PROBLEM => Ok(self.failure_of(self.read(text)?)),
            _ => Ok(self.stranger(response)),
        }
    }

    /// This is no answer of a daemon.
    fn stranger(&self, response: &Response<ureq::Body>) -> Failure {
        match &self.place {
            Place::Here(data_dir) => self.stale(data_dir),
            Place::Elsewhere { url, .. } => {
                let kind = match kind(response) {
                    "" => "no content".to_owned(),
                    kind => kind.to_owned(),
                };
                Failure::NotKad { url: url.clone(), said: format!("{} with {kind}", response.status()) }
            }
        }
    }

    /// The daemon of a directory has ended without removing its file, and something else has its port.
    fn stale(&self, data_dir: &DataDir) -> Failure {
        Failure::Stale { directory: data_dir.path().into(), url: self.url.clone() }
    }

    fn failure(&self, error: ureq::Error) -> Failure {
        let why = match &error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => "no answer in time".to_owned(),
            ureq::Error::Timeout(_) => return Failure::Timeout,
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "no such host".to_owned(),
            ureq::Error::ConnectionFailed => "no connection".to_owned(),
            ureq::Error::Protocol(_) => {
                return match &self.place {
                    Place::Here(data_dir) => self.stale(data_dir),
                    Place::Elsewhere { url, .. } => Failure::NotKad { url: url.clone(), said: error.to_string() },
                };
            }
            other => return Failure::Daemon(other.to_string()),
        };
        match &self.place {
            // The daemon ended without removing its file.
            Place::Here(data_dir) => Failure::NoDaemon { directory: data_dir.path().into(), is_needed: false },
            Place::Elsewhere { url, .. } => Failure::NoAnswer { url: url.clone(), why },
        }
    }

    /// What the daemon says is wrong, in the words of the command line.
    fn failure_of(&self, problem: Problem) -> Failure {
        match (problem.code.as_str(), problem.len, problem.max) {
            ("too_large", len, Some(max)) => Failure::TooLarge { len: len.unwrap_or_default(), max },
            ("timeout" | "busy", ..) => Failure::Timeout,
            ("not_found" | "not_published", ..) => Failure::NotFound(problem.detail),
            ("unreachable", ..) => Failure::Unreachable("any address that the daemon knows".into()),
            ("refused" | "not_durable" | "stored_nowhere", ..) => Failure::StoredNowhere(problem.detail),
            ("incomplete", ..) => Failure::Incomplete(problem.detail),
            ("lifetime" | "address", ..) => Failure::Setting(problem.detail),
            ("unauthorised", ..) => match &self.place {
                // The file has the daemon's own token: this is another daemon, on the same port.
                Place::Here(data_dir) => self.stale(data_dir),
                Place::Elsewhere { url, token } => {
                    Failure::NotAllowed { url: url.clone(), has_token: token.is_some(), why: problem.detail }
                }
            },
            ("host", ..) => Failure::NotAllowed { url: self.url.clone(), has_token: true, why: problem.detail },
            _ => Failure::Daemon(problem.detail),
        }
    }
}

fn kind(response: &Response<ureq::Body>) -> &str {
    let named = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

fn agent(timeout: Option<Duration>, patience: Duration) -> ureq::Agent {
    let connect = Some(patience.min(CONNECT));
    let config = ureq::Agent::config_builder()
        .timeout_global(timeout)
        .timeout_resolve(connect)
        .timeout_connect(connect)
        .http_status_as_error(false)
        // A redirection would take the token elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None);
    config.build().new_agent()
}

/// The bytes of a value as the daemon printed it.
pub(crate) fn bytes(found: &Found) -> Result<Vec<u8>, Failure> {
    BASE64_STANDARD.decode(&found.value).map_err(|error| Failure::Daemon(error.to_string()))
}
