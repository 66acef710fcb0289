//! The number of copies of this node's own values, as reported by their holders.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use kad_tokio::{Dht, Digest, Error, Held, Key};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::api::{AtRisk, Durability};
use crate::problem::Refusal;
use crate::request::Asked;
use crate::state::Shared;

/// The number of own values with remembered audits; there may be more values.
const REMEMBERED: usize = 65_536;
/// Parallel lookups of keys.
const AT_A_TIME: usize = 16;
/// The default number of values audited per request; the next request audits others.
const BATCH: usize = 256;
/// The maximum number of values audited per request.
const BATCH_MAX: usize = 4096;
/// The time for which an audit counts.
const FRESH: Duration = Duration::from_secs(60);
/// The time limit of the audits of a request.
const PATIENCE: Duration = Duration::from_secs(20);
/// The maximum number of values listed.
const NAMED: usize = 100;

type Place = (Key, Digest);

/// The audits by value.
#[derive(Default)]
pub(crate) struct Audits(Mutex<HashMap<Place, Audit>>);

#[derive(Clone, Copy)]
struct Audit {
    at: Instant,
    copies: usize,
}

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demand {
    /// Copies on other nodes.
    copies: Option<usize>,
    /// The maximum number of values to audit.
    limit: Option<usize>,
}

/// `GET /durable`: 200 if every audited value has enough copies on other nodes, else 503.
pub(crate) async fn durable(State(context): Shared, Asked(demand): Asked<Demand>) -> Result<Response, Refusal> {
    let (wanted, limit) = (demand.copies.unwrap_or(1), demand.limit.unwrap_or(BATCH));
    if limit > BATCH_MAX {
        return Err(Refusal::bad("query", format!("limit: at most {BATCH_MAX} values at a time")));
    }
    let own = own_values(&context.dht).await?;
    // One audit at a time: concurrent requests use its result.
    let mut audits = context.audits.0.lock().await;
    let (failed, error) = audit(&context.dht, &mut audits, &own, limit).await;
    let known = summary(&audits, own.len(), wanted);
    let report = Durability { durable: known.durable && failed == 0, failed, error, ..known };
    let status = if report.durable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(report)).into_response())
}

async fn own_values(dht: &Dht) -> Result<Vec<Place>, Error> {
    let (mut own, mut after) = (Vec::new(), None);
    loop {
        let page = dht.held(after, 1000, true).await?;
        own.extend(page.values.iter().map(|Held { key, digest, .. }| (*key, *digest)));
        after = page.next;
        if after.is_none() || own.len() >= REMEMBERED {
            own.truncate(REMEMBERED);
            return Ok(own);
        }
    }
}

/// Audits the values with the oldest audits. Returns the number of failed audits, and a reason.
async fn audit(dht: &Dht, audits: &mut HashMap<Place, Audit>, own: &[Place], limit: usize) -> (usize, Option<String>) {
    let present: std::collections::HashSet<&Place> = own.iter().collect();
    audits.retain(|place, _| present.contains(place));
    let mut due: Vec<_> = own.iter().map(|place| (audits.get(place).map(|audit| audit.at), *place)).collect();
    due.retain(|(at, _)| at.is_none_or(|at| at.elapsed() > FRESH));
    due.sort_unstable();
    due.truncate(limit);
    let until = tokio::time::Instant::now() + PATIENCE;
    let look = |(_, (key, digest)): (Option<Instant>, Place)| async move {
        let holders = tokio::time::timeout_at(until, dht.holders(key)).await.unwrap_or(Err(Error::Timeout));
        (key, digest, holders)
    };
    let mut looks = stream::iter(due.into_iter().map(look)).buffer_unordered(AT_A_TIME);
    let (mut failed, mut error) = (0, None);
    while let Some((key, digest, holders)) = looks.next().await {
        match holders {
            Ok(holders) => {
                let copies = holders.iter().find(|(other, _)| *other == digest).map_or(0, |(_, count)| *count);
                audits.insert((key, digest), Audit { at: Instant::now(), copies });
            }
            Err(why) => {
                failed += 1;
                error.get_or_insert_with(|| why.to_string());
            }
        }
    }
    (failed, error)
}

fn summary(audits: &HashMap<Place, Audit>, values: usize, wanted: usize) -> Durability {
    let mut copies = BTreeMap::new();
    for audit in audits.values() {
        *copies.entry(audit.copies).or_insert(0) += 1;
    }
    let poor = audits.iter().filter(|(_, audit)| audit.copies < wanted);
    let mut at_risk: Vec<_> = poor
        .map(|((key, digest), audit)| AtRisk { key: *key, digest: digest.to_string(), copies: audit.copies })
        .collect();
    at_risk.sort_by_key(|value| (value.copies, value.key));
    at_risk.truncate(NAMED);
    let oldest = audits.values().map(|audit| audit.at.elapsed()).max();
    Durability {
        durable: at_risk.is_empty() && (values == 0 || !audits.is_empty()),
        wanted,
        values,
        audited: audits.len(),
        copies,
        at_risk,
        oldest_audit_seconds: oldest.map(|span| span.as_secs_f64()),
        failed: 0,
        error: None,
    }
}
