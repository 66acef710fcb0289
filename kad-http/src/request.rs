//! What requests say besides their bodies.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use kad_tokio::{Copies, Digest, ItemType, Key};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{FindQuery, StoreQuery, TTL, UP_TO, type_name};
use crate::problem::Refusal;

/// How long an operation may take if not told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// What the query asks for; the lifetime may be in the header `Kad-TTL` instead.
    pub(crate) fn query(&self, headers: &HeaderMap) -> Result<StoreQuery, Refusal> {
        let header = headers.get("kad-ttl").map(|value| value.to_str().unwrap_or("?"));
        let ttl = self.ttl.as_deref().or(header).map_or(Ok(TTL), |text| span("ttl", text))?;
        Ok(StoreQuery { ttl, content: false, copies: self.copies()?, timeout: timeout(self.timeout.as_deref())? })
    }

    /// How many copies to wait for; the rest is an error.
    fn copies(&self) -> Result<Option<Copies>, Refusal> {
        let wrong = |_| {
            Refusal::bad(
                "query",
                "copies: `all`, or how many other nodes must have it, up to 255; or `up-to-` and that",
            )
        };
        let Some(text) = self.copies.as_deref() else { return Ok(None) };
        Ok(Some(match text.strip_prefix(UP_TO) {
            Some(count) => Copies::UpTo(count.parse().map_err(wrong)?),
            None if text == "all" => Copies::All,
            None => Copies::AtLeast(text.parse().map_err(wrong)?),
        }))
    }
}

/// Which value is wanted.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    all: Option<String>,
    digest: Option<String>,
    #[serde(rename = "type")]
    item_type: Option<String>,
    newer_than: Option<String>,
    timeout: Option<String>,
}

/// All values under a key instead of one.
#[derive(Clone, Copy)]
pub(crate) enum All {
    /// A list without their bytes.
    Listed,
    /// With their bytes.
    Values,
}

impl Wanted {
    pub(crate) fn all(&self) -> Result<Option<All>, Refusal> {
        match self.all.as_deref() {
            None => Ok(None),
            Some("" | "list") => Ok(Some(All::Listed)),
            Some("values") => Ok(Some(All::Values)),
            Some(_) => Err(Refusal::bad("query", "all: nothing or `list` for a list, `values` for the values too")),
        }
    }

    pub(crate) fn query(&self) -> Result<FindQuery, Refusal> {
        let item_type = self.item_type.as_deref().map(item_type).transpose()?;
        let newer_than = self.newer_than.as_deref().map(|text| span("newer_than", text)).transpose()?;
        Ok(FindQuery { all: self.all.is_some(), item_type, newer_than, timeout: timeout(self.timeout.as_deref())? })
    }

    pub(crate) fn digest(&self) -> Result<Option<Digest>, Refusal> {
        self.digest.as_deref().map(digest).transpose()
    }
}

fn item_type(text: &str) -> Result<ItemType, Refusal> {
    let known = [ItemType::RAW, ItemType::CONTENT].into_iter().find(|known| type_name(*known) == text);
    known.ok_or_else(|| Refusal::bad("query", format!("type: raw or content, not `{text}`")))
}

/// What a DELETE is about.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forgetting {
    digest: Option<String>,
    /// Whether all copies are deleted, not only this node's publishing ended.
    #[serde(default = "always")]
    pub(crate) everywhere: bool,
    timeout: Option<String>,
}

const fn always() -> bool {
    true
}

impl Forgetting {
    pub(crate) fn digest(&self) -> Result<Option<Digest>, Refusal> {
        self.digest.as_deref().map(digest).transpose()
    }

    pub(crate) fn timeout(&self) -> Result<Duration, Refusal> {
        Ok(timeout(self.timeout.as_deref())?.unwrap_or(PATIENCE))
    }
}

/// How long to try.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    timeout: Option<String>,
}

impl Patience {
    pub(crate) fn timeout(&self) -> Result<Duration, Refusal> {
        Ok(timeout(self.timeout.as_deref())?.unwrap_or(PATIENCE))
    }
}

fn timeout(text: Option<&str>) -> Result<Option<Duration>, Refusal> {
    text.map(|text| span("timeout", text)).transpose()
}

/// A key: 64 hexadecimal digits, no more and no less.
pub(crate) fn key(text: &str) -> Result<Key, Refusal> {
    text.parse().map_err(|error| Refusal::bad("key", format!("`{text}` is no key: {error}")))
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
