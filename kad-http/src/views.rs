//! What operators see of a node.

use axum::Json;
use axum::extract::{Path, State};
use kad_tokio::{Digest, Held, HeldPage, Key};
use serde::Deserialize;

use crate::api::{HeldValue, Holding, Lookup, Peer, Status, millis, type_name};
use crate::control::within;
use crate::operations;
use crate::problem::Refusal;
use crate::request::{Asked, digest, key};
use crate::state::Shared;

/// Values on a page, if not told otherwise.
const PAGE: usize = 100;
/// Values on a page at the most.
const PAGE_MAX: usize = 1000;
/// How long a lookup may take if not told otherwise, in milliseconds.
const LOOKUP_MS: u64 = 30_000;

/// `GET /node`
pub(crate) async fn node(State(context): Shared) -> Result<Json<Status>, Refusal> {
    let status = operations::status(&context.dht).await?;
    Ok(Json(Status { settings: context.changeable.borrow().shown.clone(), ..status }))
}

/// `GET /peers`
pub(crate) async fn peers(State(context): Shared) -> Result<Json<Vec<Peer>>, Refusal> {
    Ok(Json(operations::peers(&context.dht).await?))
}

/// How long to try.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    timeout_ms: Option<u64>,
}

/// `GET /lookup/{key}`
pub(crate) async fn lookup(
    State(context): Shared,
    Path(text): Path<String>,
    Asked(patience): Asked<Patience>,
) -> Result<Json<Lookup>, Refusal> {
    let key = key(&text)?;
    within(patience.timeout_ms.unwrap_or(LOOKUP_MS), operations::lookup(&context.dht, key)).await
}

/// Which page of the values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// What the last page named as `next`: key, hyphen, digest.
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
