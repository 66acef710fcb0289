//! What requests say besides their bodies.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use kad_tokio::{Copies, Digest, Key};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Refusal;

/// A query whose mistakes are told as problems.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(Refusal::bad("query", error.to_string())),
        }
    }
}

/// How a value is to be stored.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storing {
    ttl: Option<String>,
    copies: Option<String>,
    timeout: Option<String>,
}

impl Storing {
    /// Its lifetime: from the query, or the header `Kad-TTL`.
    pub(crate) fn ttl(&self, headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
        let header = headers.get("kad-ttl").map(|value| value.to_str().unwrap_or("?"));
        self.ttl.as_deref().or(header).map(|text| span("ttl", text)).transpose()
    }

    /// How many copies to wait for; the rest is an error.
    pub(crate) fn copies(&self) -> Result<Option<Copies>, Refusal> {
        let wrong = |_| Refusal::bad("query", "copies: `all`, or how many other nodes must have it, up to 255");
        match self.copies.as_deref() {
            None => Ok(None),
            Some("all") => Ok(Some(Copies::All)),
            Some(count) => count.parse().map(|count| Some(Copies::AtLeast(count))).map_err(wrong),
        }
    }

    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Refusal> {
        self.timeout.as_deref().map(|text| span("timeout", text)).transpose()
    }
}

/// Which value is wanted.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// A list of all instead of one.
    pub(crate) all: Option<String>,
    digest: Option<String>,
    timeout: Option<String>,
}

impl Wanted {
    pub(crate) fn digest(&self) -> Result<Option<Digest>, Refusal> {
        self.digest.as_deref().map(digest).transpose()
    }

    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Refusal> {
        self.timeout.as_deref().map(|text| span("timeout", text)).transpose()
    }
}

/// A key: 64 hexadecimal digits, no more and no less.
pub(crate) fn key(text: &str) -> Result<Key, Refusal> {
    text.parse()
        .map_err(|error| Refusal::bad("key", format!("`{text}` is no key: {error}; it has 64 hexadecimal digits")))
}

/// A digest: 32 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    let number =
        number.ok_or_else(|| Refusal::bad("digest", format!("`{text}` is no digest: it has 32 hexadecimal digits")));
    number.map(|number| Digest(number.to_be_bytes()))
}

/// A span of time, as in `90s` or `1h 30m`.
pub(crate) fn span(name: &str, text: &str) -> Result<Duration, Refusal> {
    humantime::parse_duration(text)
        .map_err(|error| Refusal::bad("query", format!("{name}: `{text}` is no span of time like 90s or 1h: {error}")))
}

/// Whether the client has what this tag names (`If-None-Match`, RFC 9110, section 13.1.2).
pub(crate) fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
