//! Values over HTTP: stored with POST and PUT, read with GET and HEAD, no longer published with DELETE.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kad_tokio::{Copies, Find, ItemType, Key, Receipt, StoreOne, TypeMask, Value};

use crate::api::{Listed, Listing, millis, type_name};
use crate::form::Kind;
use crate::problem::Refusal;
use crate::request::{Asked, Storing, Wanted, digest, has_already, key};
use crate::state::{Context, Shared};
use crate::{body, guard, operations};

/// Nodes that hold the value, this one included.
pub(crate) const COPIES: HeaderName = HeaderName::from_static("kad-copies");
/// Nodes that were asked to hold it, and refused.
pub(crate) const REFUSED: HeaderName = HeaderName::from_static("kad-refused");
/// Nodes that were asked to hold it, and did not answer.
pub(crate) const SILENT: HeaderName = HeaderName::from_static("kad-silent");
/// The identity of a value among those of its key.
pub(crate) const DIGEST: HeaderName = HeaderName::from_static("kad-digest");
/// What is left of a value's life, in seconds.
pub(crate) const TTL: HeaderName = HeaderName::from_static("kad-ttl");

/// `POST /`: stores a value under its own hash.
pub(crate) async fn post(
    State(context): Shared,
    Asked(storing): Asked<Storing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let kind = Kind::of(&headers)?;
    let max = context.dht.value_max();
    let value = kind.body_max(max);
    let value = kind.value(body::read(&context, body, value).await?).await?;
    if value.len() > max {
        return Err(Refusal::too_large(Some(value.len()), max));
    }
    let (key, store) = (Key::hash(&value), context.dht.store_content(value.clone()));
    stored_as_asked(&context, (key, value), store, &storing, &headers).await
}

/// `PUT /{key}`: stores a value under a chosen key, beside those that are there.
pub(crate) async fn put(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(storing): Asked<Storing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    put_at(&context, key(&text)?, &storing, &headers, body).await
}

/// `PUT /name/{name}`: the same under the hash of a name.
pub(crate) async fn put_name(
    State(context): Shared,
    Path(name): Path<String>,
    Asked(storing): Asked<Storing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    put_at(&context, Key::hash(name), &storing, &headers, body).await
}

async fn put_at(
    context: &Context,
    key: Key,
    storing: &Storing,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let value = body::read(context, body, context.dht.value_max()).await?;
    let store = context.dht.store(key, value.clone());
    stored_as_asked(context, (key, value), store, storing, headers).await
}

async fn stored_as_asked(
    context: &Context,
    (key, value): (Key, Bytes),
    mut store: StoreOne,
    storing: &Storing,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let copies = storing.copies()?;
    if let Some(ttl) = storing.ttl(headers)? {
        store = store.ttl(ttl);
    }
    if let Some(copies) = copies {
        store = store.copies(copies);
    }
    if let Some(timeout) = storing.timeout()? {
        store = store.timeout(timeout);
    }
    let receipt = context.locks.store(&key, &value, store).await?;
    match copies {
        _ if receipt.copies == 0 => Err(nowhere(&receipt)),
        Some(Copies::AtLeast(wanted)) if receipt.elsewhere < usize::from(wanted) => Err(too_few(&receipt, wanted)),
        _ => Ok(stored(&receipt, value)),
    }
}

/// The copies that are counted here exist: their holders have said so.
fn stored(receipt: &Receipt, value: Bytes) -> Response {
    let mut response = Response::new(Body::from(value));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    inert(headers);
    headers.insert(header::LOCATION, shown(format!("/{}", receipt.key)));
    headers.insert(DIGEST, shown(receipt.digest));
    headers.insert(COPIES, receipt.copies.into());
    headers.insert(REFUSED, receipt.refused.len().into());
    headers.insert(SILENT, receipt.silent.len().into());
    response
}

fn nowhere(receipt: &Receipt) -> Refusal {
    let first = receipt.refused.first().map(|refused| format!(", one with {:?}", refused.status)).unwrap_or_default();
    let (refused, silent) = (receipt.refused.len(), receipt.silent.len());
    let message = format!("stored nowhere: {refused} nodes refused{first}, {silent} did not answer");
    Refusal::unavailable("stored_nowhere", message)
}

fn too_few(receipt: &Receipt, wanted: u8) -> Refusal {
    let message = format!(
        "{} other nodes hold it, not {wanted}; it is published all the same: ask for less with `copies`, or see /peers",
        receipt.elsewhere
    );
    Refusal::unavailable("too_few_copies", message)
}

/// `GET /{key}` and `HEAD /{key}`
pub(crate) async fn get(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key(&text)?;
    let timeout = wanted.timeout()?;
    let prepare = |find: Find| timeout.map_or(find.clone(), |timeout| find.timeout(timeout));
    if wanted.all.is_some() {
        return list(key, prepare(context.dht.find_all(key))).await;
    }
    let value = match wanted.digest()? {
        Some(digest) => with_digest(prepare(context.dht.find_all(key)), digest).await?,
        None => operations::first(&context.dht, key, prepare).await?,
    };
    answer(key, value, wanted.digest()?.is_some(), &headers)
}

/// `GET /name/{name}`: the newest of what anybody put under the name.
pub(crate) async fn get_name(
    State(context): Shared,
    Path(name): Path<String>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (key, timeout) = (Key::hash(name), wanted.timeout()?);
    let prepare = |find: Find| {
        let find = find.types(TypeMask::only(ItemType::RAW));
        timeout.map_or(find.clone(), |timeout| find.timeout(timeout))
    };
    if wanted.all.is_some() {
        return list(key, prepare(context.dht.find_all(key))).await;
    }
    let value = match wanted.digest()? {
        Some(digest) => with_digest(prepare(context.dht.find_all(key)), digest).await?,
        None => prepare(context.dht.find(key)).await?,
    };
    answer(key, value, wanted.digest()?.is_some(), &headers)
}

async fn with_digest(find: Find, digest: kad_tokio::Digest) -> Result<Option<Value>, Refusal> {
    let mut values = find.values();
    while let Some(value) = values.next().await {
        let value = value?;
        if value.digest == digest {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn answer(key: Key, value: Option<Value>, is_pinned: bool, asked: &HeaderMap) -> Result<Response, Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("there is no value under {key}"));
    let value = value.ok_or_else(none)?;
    let tag = format!("\"{}\"", value.digest);
    let is_known = has_already(asked, &tag);
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(value.bytes) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    inert(headers);
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

async fn list(key: Key, find: Find) -> Result<Response, Refusal> {
    let (values, incomplete) = operations::all(find).await?;
    if values.is_empty() {
        return answer(key, None, false, &HeaderMap::new());
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
    Ok(axum::Json(Listing { key, values: values.iter().map(listed).collect(), incomplete }).into_response())
}

/// What a DELETE is about.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forgetting {
    digest: Option<String>,
}

/// `DELETE /{key}`: what was published through this server is deleted, at all who hold it; what the node published otherwise is
/// no longer published. Only for its owner: others could undo writes.
pub(crate) async fn delete(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(forgetting): Asked<Forgetting>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    guard::may_operate(&context, &uri, &headers)?;
    let key = key(&text)?;
    let chosen = forgetting.digest.as_deref().map(digest).transpose()?;
    let taken = context.locks.take_back(&context.dht, key, chosen).await?;
    if taken.values + taken.deleted > 0 {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("this node publishes no such value under {key}");
    Err(Refusal::new(StatusCode::NOT_FOUND, "not_published", message))
}

/// A value is bytes of a stranger: no browser shall take it for a page or a script of this server.
fn inert(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

/// A header of something that prints as plain ASCII.
fn shown(value: impl std::fmt::Display) -> HeaderValue {
    // Digits and names of ours: they are never refused.
    HeaderValue::try_from(value.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
