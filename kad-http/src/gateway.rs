//! Values over HTTP: GET, HEAD and DELETE.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kad_tokio::{Digest, Error, ItemType, Key, Value};

use crate::api::{FindQuery, Forgotten, Listed, Listing, millis, type_name};
use crate::negotiation::wants_json;
use crate::problem::Refusal;
use crate::request::{All, Asked, Forgetting, Wanted, has_already, key};
use crate::state::{Context, Shared};
use crate::views::within;
use crate::{guard, operations};

/// The header with the digest of a value.
pub(crate) const DIGEST: HeaderName = HeaderName::from_static("kad-digest");
/// The header with the remaining lifetime in seconds.
pub(crate) const TTL: HeaderName = HeaderName::from_static("kad-ttl");

/// `GET /{key}` and `HEAD /{key}`
pub(crate) async fn get(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    read(&context, key(&text)?, &wanted, wanted.query()?, &headers).await
}

/// `GET /name/{name}`: the newest value under the name, from any publisher.
pub(crate) async fn get_name(
    State(context): Shared,
    Path(name): Path<String>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // The hash of a name is not the hash of the value stored there.
    let query = wanted.query()?;
    let query = FindQuery { item_type: query.item_type.or(Some(ItemType::RAW)), ..query };
    read(&context, Key::hash(name), &wanted, query, &headers).await
}

async fn read(
    context: &Context,
    key: Key,
    wanted: &Wanted,
    query: FindQuery,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let digest = wanted.digest()?;
    match (wanted.all()?, digest) {
        (Some(All::Listed), _) => list(context, key, &query).await,
        (Some(All::Values), _) => match operations::find(&context.dht, key, &query).await? {
            found if found.values.is_empty() => Err(nothing(key)),
            found => Ok(Json(found).into_response()),
        },
        (None, Some(digest)) => {
            let value = with_digest(context, key, &query, digest).await?;
            answer(key, value, true, headers)
        }
        (None, None) => answer(key, operations::first(&context.dht, key, &query).await?, false, headers),
    }
}

async fn with_digest(context: &Context, key: Key, query: &FindQuery, digest: Digest) -> Result<Option<Value>, Refusal> {
    let mut values = operations::each(&context.dht, key, query);
    while let Some(value) = values.next().await {
        let value = value?;
        if value.digest == digest {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn nothing(key: Key) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("there is no value under {key}"))
}

fn answer(key: Key, value: Option<Value>, is_pinned: bool, asked: &HeaderMap) -> Result<Response, Refusal> {
    let value = value.ok_or_else(|| nothing(key))?;
    let is_json = wants_json(asked);
    // JSON is another representation of the value and has its own tag.
    let tag = format!("\"{}{}\"", value.digest, if is_json { "-json" } else { "" });
    let mut response = match (has_already(asked, &tag), is_json) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => Json(operations::found(key, &value)).into_response(),
        (false, false) => Response::new(Body::from(value.bytes)),
    };
    let headers = response.headers_mut();
    if !is_json {
        inert(headers);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::ETAG, shown(tag));
    headers.insert(header::ORIGIN, shown(value.origin));
    headers.insert(header::AGE, value.age.as_secs().into());
    headers.insert(TTL, value.ttl.as_secs().into());
    // A chosen key may have a newer value at any time; content and a named digest never change.
    let caching = match is_pinned || value.item_type == ItemType::CONTENT {
        true => shown(format!("public, max-age={}, immutable", (value.age + value.ttl).as_secs())),
        false => HeaderValue::from_static("no-cache"),
    };
    headers.insert(header::CACHE_CONTROL, caching);
    Ok(response)
}

async fn list(context: &Context, key: Key, query: &FindQuery) -> Result<Response, Refusal> {
    let (values, incomplete) = operations::all(&context.dht, key, query).await?;
    if values.is_empty() {
        return Err(nothing(key));
    }
    let listed = |value: &Value| Listed {
        location: format!("/{key}?digest={}", value.digest),
        digest: value.digest.to_string(),
        item_type: type_name(value.item_type),
        bytes: value.bytes.len(),
        origin: value.origin,
        age_ms: millis(value.age),
        ttl_ms: millis(value.ttl),
    };
    Ok(Json(Listing { key, values: values.iter().map(listed).collect(), incomplete }).into_response())
}

/// `DELETE /{key}`: removes all copies of values published through this server; stops republishing other values of the node.
/// Only for the owner, because other clients could undo writes.
pub(crate) async fn delete(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(forgetting): Asked<Forgetting>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    guard::may_operate(&context, &uri, &headers)?;
    let key = key(&text)?;
    let (chosen, timeout) = (forgetting.digest()?, forgetting.timeout()?);
    let taken = match forgetting.everywhere {
        true => within(timeout, context.locks.take_back(&context.dht, key, chosen)).await?,
        false => within(timeout, forget(&context, key, chosen)).await?,
    };
    if taken.values + taken.deleted == 0 {
        let detail = format!("this node publishes no such value under {key}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_published", detail));
    }
    match wants_json(&headers) {
        true => Ok(Json(taken).into_response()),
        false => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Only stops republishing.
async fn forget(context: &Context, key: Key, chosen: Option<Digest>) -> Result<Forgotten, Error> {
    match chosen {
        None => operations::forget(&context.dht, key).await,
        Some(digest) => {
            let values = usize::from(context.dht.forget_value(key, digest).await?);
            Ok(Forgotten { key, values, deleted: 0, undeleted: None })
        }
    }
}

/// Sets the headers of untrusted bytes: no browser may run a value as a page or a script of this server.
pub(crate) fn inert(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

/// Returns a header from a value that prints as ASCII.
pub(crate) fn shown(value: impl std::fmt::Display) -> HeaderValue {
    // Digits and names of ours: they are never refused.
    HeaderValue::try_from(value.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
