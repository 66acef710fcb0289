//! Operations for operators.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kad_tokio::{Digest, Error, Held, HeldPage, Key};
use serde::Deserialize;

use crate::api::{HeldValue, Holding, Lookup, Peer, Pong, Status, Stopping, millis, type_name};
use crate::operations;
use crate::problem::Refusal;
use crate::request::{Asked, Patience, digest, key};
use crate::state::Shared;

/// The default number of values on a page.
const PAGE: usize = 100;
/// The maximum number of values on a page.
const PAGE_MAX: usize = 1000;

/// `GET /node`
pub(crate) async fn node(State(context): Shared) -> Result<Json<Status>, Refusal> {
    let status = operations::status(&context.dht).await?;
    Ok(Json(Status { settings: context.changeable.borrow().shown.clone(), ..status }))
}

/// `GET /peers`
pub(crate) async fn peers(State(context): Shared) -> Result<Json<Vec<Peer>>, Refusal> {
    Ok(Json(operations::peers(&context.dht).await?))
}

/// `GET /lookup/{key}`
pub(crate) async fn lookup(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(patience): Asked<Patience>,
) -> Result<Json<Lookup>, Refusal> {
    let key = key(&text)?;
    Ok(Json(within(patience.timeout()?, operations::lookup(&context.dht, key)).await?))
}

/// `GET /ping/{address}`: whether a node answers at an address, as ADDRESS:PORT or NAME:PORT.
pub(crate) async fn ping(
    State(context): Shared,
    Path(address): Path<String>,
    Asked(patience): Asked<Patience>,
) -> Result<Json<Pong>, Refusal> {
    let ping = async {
        let addresses: Vec<SocketAddr> = match tokio::net::lookup_host(&address).await {
            Ok(addresses) => addresses.collect(),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                return Err(Refusal::bad("address", format!("`{address}` is not ADDRESS:PORT or NAME:PORT: {error}")));
            }
            Err(error) => {
                return Err(Refusal::unavailable("unreachable", format!("cannot look up {address}: {error}")));
            }
        };
        Ok(operations::ping(&context.dht, &addresses).await?)
    };
    let pong = tokio::time::timeout(patience.timeout()?, ping).await;
    Ok(Json(pong.unwrap_or_else(|_| Err(Error::Timeout.into()))?))
}

/// `POST /stop`: stops the program.
pub(crate) async fn stop(State(context): Shared) -> (StatusCode, Json<Stopping>) {
    context.settings.stop.notify_one();
    (StatusCode::ACCEPTED, Json(Stopping { pid: std::process::id() }))
}

/// Limits the time of a call.
pub(crate) async fn within<T>(timeout: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
    let result = tokio::time::timeout(timeout, call).await;
    Ok(result.unwrap_or(Err(Error::Timeout))?)
}

/// The page of the values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The `next` of the last page: key, hyphen, digest.
    after: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    own: bool,
}

/// `GET /values`
pub(crate) async fn values(State(context): Shared, Asked(page): Asked<Page>) -> Result<Json<Holding>, Refusal> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::bad("query", format!("limit: 1 to {PAGE_MAX} values a page")));
    }
    let after = page.after.as_deref().map(place).transpose()?;
    let HeldPage { values, next } = context.dht.held(after, limit, page.own).await?;
    let next = next.map(|(key, digest)| format!("{key}-{digest}"));
    Ok(Json(Holding { values: values.iter().map(held).collect(), next }))
}

fn place(text: &str) -> Result<(Key, Digest), Refusal> {
    let (before, after) = text.split_once('-').unwrap_or((text, ""));
    Ok((key(before)?, digest(after)?))
}

fn held(held: &Held) -> HeldValue {
    HeldValue {
        key: held.key,
        digest: held.digest.to_string(),
        item_type: type_name(held.item_type),
        bytes: held.len,
        age_ms: millis(held.age),
        ttl_ms: millis(held.ttl),
        own: held.own,
    }
}
