//! What only the owner of the node may do: how commands reach a running daemon.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use kad_tokio::Error;

use crate::api::{BATCH_BYTES, Batch, FindQuery, Forgotten, FoundAll, Removal, StoreQuery, Stored};
use crate::problem::Refusal;
use crate::request::{Asked, key};
use crate::state::Shared;
use crate::{body, operations};

type Answer<T> = Result<Json<T>, Refusal>;

/// `PUT /control/values/{key}`: stores a value, and answers with the whole receipt.
pub(crate) async fn store(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(query): Asked<StoreQuery>,
    body: Body,
) -> Answer<Stored> {
    let key = key(&text)?;
    let value = body::read(&context, body, context.dht.value_max()).await?;
    Ok(Json(operations::store_locked(&context.dht, &context.locks, key, value, &query).await?))
}

/// `POST /control/values`: stores several values at once, and answers with their receipts in the same order.
pub(crate) async fn store_many(
    State(context): Shared,
    Asked(query): Asked<StoreQuery>,
    body: Body,
) -> Answer<Vec<Stored>> {
    // What fills it up by half as much again is base 64 and what is around the values.
    let max = context.dht.value_max().max(BATCH_BYTES);
    let text = body::read(&context, body, max + max / 2).await?;
    let batch: Batch = serde_json::from_slice(&text).map_err(|error| Refusal::bad("body", error.to_string()))?;
    let items = batch.values.iter().map(|value| match BASE64_STANDARD.decode(&value.value) {
        Ok(bytes) => Ok((value.key, Bytes::from(bytes))),
        Err(error) => Err(Refusal::bad("body", format!("the value under {}: {error}", value.key))),
    });
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(operations::store_many_locked(&context.dht, &context.locks, items, &query).await?))
}

/// `GET /control/values/{key}`: values with everything that is known of them.
pub(crate) async fn find(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(query): Asked<FindQuery>,
) -> Answer<FoundAll> {
    Ok(Json(operations::find(&context.dht, key(&text)?, &query).await?))
}

/// `DELETE /control/values/{key}`: no longer publishes what this node published, or deletes it, and says how much that was.
pub(crate) async fn remove(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(Removal { everywhere, timeout_ms }): Asked<Removal>,
) -> Answer<Forgotten> {
    let (key, dht) = (key(&text)?, &context.dht);
    match everywhere {
        true => within(timeout_ms, context.locks.take_back(dht, key, None)).await,
        false => within(timeout_ms, operations::forget(dht, key)).await,
    }
}

/// `POST /control/stop`: asks the program to end.
pub(crate) async fn stop(State(context): Shared) -> StatusCode {
    context.settings.stop.notify_one();
    StatusCode::ACCEPTED
}

/// Ends a call after some milliseconds.
pub(crate) async fn within<T>(timeout_ms: u64, call: impl Future<Output = Result<T, Error>>) -> Answer<T> {
    let result = tokio::time::timeout(Duration::from_millis(timeout_ms), call).await;
    Ok(Json(result.unwrap_or(Err(Error::Timeout))?))
}
