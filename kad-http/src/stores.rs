//! Stores over HTTP: one value with POST or PUT, many with one POST.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use kad_tokio::{Copies, Key};

use crate::api::{BATCH_BYTES, Batch, BatchValue, StoreQuery, Stored};
use crate::form::Kind;
use crate::gateway::{DIGEST, inert, shown};
use crate::negotiation::{APPLIED, Return, wants_json};
use crate::problem::Refusal;
use crate::request::{Asked, Storing, key};
use crate::state::{Context, Shared};
use crate::{body, operations};

/// Nodes that hold the value, this one included.
pub(crate) const COPIES: HeaderName = HeaderName::from_static("kad-copies");
/// Nodes that were asked to hold it, and refused.
pub(crate) const REFUSED: HeaderName = HeaderName::from_static("kad-refused");
/// Nodes that were asked to hold it, and did not answer.
pub(crate) const SILENT: HeaderName = HeaderName::from_static("kad-silent");

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
    let query = StoreQuery { content: true, ..storing.query(&headers)? };
    store(&context, Key::hash(&value), value, &query, &headers).await
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
    let query = storing.query(headers)?;
    let value = body::read(context, body, context.dht.value_max()).await?;
    store(context, key, value, &query, headers).await
}

async fn store(
    context: &Context,
    key: Key,
    value: Bytes,
    query: &StoreQuery,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let stored = operations::store_locked(&context.dht, &context.locks, key, value.clone(), query).await?;
    match query.copies {
        // Who waits for nobody learns of nobody.
        Some(Copies::AtLeast(0)) => {}
        _ if stored.copies == 0 => return Err(nowhere(stored)),
        Some(Copies::AtLeast(wanted)) if stored.elsewhere < usize::from(wanted) => {
            return Err(too_few(stored, &wanted.to_string()));
        }
        Some(Copies::All) if !stored.reached && stored.elsewhere > 0 => {
            return Err(too_few(stored, "all that are nearest"));
        }
        Some(Copies::UpTo(wanted)) if !stored.reached => return Err(too_few(stored, &wanted.to_string())),
        // There are others, and none has it.
        _ if !stored.reached && stored.elsewhere == 0 => return Err(too_few(stored, "1")),
        _ => {}
    }
    Ok(accepted(stored, value, headers))
}

/// The copies that are counted here exist: their holders have said so. The value comes back, as clients of the first version
/// expect, unless the client would rather have the receipt, or nothing.
fn accepted(stored: Stored, value: Bytes, asked: &HeaderMap) -> Response {
    let (wanted, location) = (Return::of(asked), shown(format!("/{}", stored.key)));
    let counts = [(COPIES, stored.copies), (REFUSED, stored.refused.len()), (SILENT, stored.silent.len())];
    let tag = shown(&stored.digest);
    let mut response = match wanted {
        Some(Return::Minimal) => Response::new(Body::empty()),
        None if wants_json(asked) => Json(stored).into_response(),
        None | Some(Return::Representation) => {
            let mut response = Response::new(Body::from(value));
            inert(response.headers_mut());
            response
        }
    };
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(DIGEST, tag);
    headers.extend(counts.map(|(name, count)| (name, count.into())));
    if let Some(wanted) = wanted {
        headers.insert(APPLIED, HeaderValue::from_static(wanted.applied()));
    }
    response
}

fn nowhere(stored: Stored) -> Refusal {
    let first = stored.refused.first().map(|refused| format!(", one with {:?}", refused.reason)).unwrap_or_default();
    let (refused, silent) = (stored.refused.len(), stored.silent.len());
    let detail = format!("stored nowhere: {refused} nodes refused{first}, {silent} did not answer");
    Refusal::unavailable("stored_nowhere", detail).with_receipt(stored)
}

fn too_few(stored: Stored, wanted: &str) -> Refusal {
    let detail = format!(
        "{} other nodes hold it, not {wanted}; it is published all the same: ask for less with `copies`, or see /peers",
        stored.elsewhere
    );
    Refusal::unavailable("too_few_copies", detail).with_receipt(stored)
}

/// `POST /values`: stores several values at once, and returns their receipts in the same order. Values for the same nodes travel
/// together. Each receipt says how many copies there are: fewer than were asked for are no error here.
pub(crate) async fn post_many(
    State(context): Shared,
    Asked(storing): Asked<Storing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Vec<Stored>>, Refusal> {
    let query = storing.query(&headers)?;
    // What fills it up by half as much again is base 64 and what is around the values.
    let max = context.dht.value_max().max(BATCH_BYTES);
    let text = body::read(&context, body, max + max / 2).await?;
    let batch: Batch = serde_json::from_slice(&text).map_err(|error| Refusal::bad("body", error.to_string()))?;
    let (mut contents, mut others) = (Vec::new(), Vec::new());
    for (place, value) in batch.values.iter().enumerate() {
        let (key, bytes) = decoded(place, value)?;
        let group = if value.key.is_none() { &mut contents } else { &mut others };
        group.push((place, (key, bytes)));
    }
    let (contents, others) = tokio::try_join!(
        store_all(&context, contents, StoreQuery { content: true, ..query.clone() }),
        store_all(&context, others, query),
    )?;
    let mut stored = contents;
    stored.extend(others);
    stored.sort_by_key(|(place, _)| *place);
    Ok(Json(stored.into_iter().map(|(_, stored)| stored).collect()))
}

fn decoded(place: usize, value: &BatchValue) -> Result<(Key, Bytes), Refusal> {
    let bytes = BASE64_STANDARD.decode(&value.value).map_err(|error| {
        let which = value.key.map_or_else(|| format!("value {place}"), |key| format!("the value under {key}"));
        Refusal::bad("body", format!("{which}: {error}"))
    })?;
    Ok((value.key.unwrap_or_else(|| Key::hash(&bytes)), bytes.into()))
}

/// Stores values of one type, and returns the receipt of each with its place.
async fn store_all(
    context: &Context,
    items: Vec<(usize, (Key, Bytes))>,
    query: StoreQuery,
) -> Result<Vec<(usize, Stored)>, Refusal> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let (places, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
    let stored = operations::store_many_locked(&context.dht, &context.locks, items, &query).await?;
    Ok(places.into_iter().zip(stored).collect())
}
