//! What only the owner of the node may do: how commands reach a running daemon.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kad_tokio::Error;

use crate::api::{FindQuery, Forgotten, FoundAll, StoreQuery, Stored};
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

/// `GET /control/values/{key}`: values with everything that is known of them.
pub(crate) async fn find(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(query): Asked<FindQuery>,
) -> Answer<FoundAll> {
    Ok(Json(operations::find(&context.dht, key(&text)?, &query).await?))
}

/// `DELETE /control/values/{key}`: no longer publishes what this node published, and says how much that was.
pub(crate) async fn forget(State(context): Shared, Path(text): Path<String>) -> Answer<Forgotten> {
    Ok(Json(operations::forget(&context.dht, key(&text)?).await?))
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
