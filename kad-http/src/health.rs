//! Liveness (the process is up) and readiness (it reaches its network).

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kad_tokio::{Dht, Error, Stats};
use tokio::sync::Mutex;

use crate::api::{Health, Readiness};
use crate::problem::Refusal;
use crate::state::Shared;

/// The time for which an answer of another node proves that the network is reached.
const RECENT: Duration = Duration::from_secs(10);
/// The time limit of a new lookup.
const PATIENCE: Duration = Duration::from_secs(3);
/// The shortest interval of new lookups, for all clients together.
const PAUSE: Duration = Duration::from_secs(5);

/// The time and result of the last lookup.
#[derive(Default)]
pub(crate) struct Reached(Mutex<Option<(Instant, bool)>>);

/// `GET /health`: the process is up.
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "up".into(), version: env!("CARGO_PKG_VERSION").into() })
}

/// `GET /ready`: whether other nodes answer.
pub(crate) async fn ready(State(context): Shared) -> Result<Response, Refusal> {
    let stats = context.dht.stats().await?;
    let heard = context.dht.peers().await?.iter().map(|peer| peer.idle).min();
    let (ready, reason) = judge(&context.dht, &context.reached, &stats, heard).await;
    let readiness =
        Readiness { ready, contacts: stats.contacts, heard_seconds: heard.map(|span| span.as_secs_f64()), reason };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

async fn judge(dht: &Dht, reached: &Reached, stats: &Stats, heard: Option<Duration>) -> (bool, String) {
    if let Some(duplicate) = stats.duplicate {
        return (false, format!("another node has this node's id, at {}: stop one of the two", duplicate.address));
    }
    match heard {
        _ if !stats.joined => (false, "no bootstrap node has answered yet".into()),
        _ if stats.contacts == 0 => (true, alone(stats)),
        Some(span) if span < RECENT => (true, "other nodes answered recently".into()),
        _ if reached.ask(dht).await => (true, "other nodes answered just now".into()),
        _ => (false, "no node in the routing table answers".into()),
    }
}

/// Returns the reason why a node without contacts is ready: other nodes join through it.
fn alone(stats: &Stats) -> String {
    match stats.remembered {
        0 => "alone: no bootstrap address is configured; the node waits for others to join".into(),
        1 => "alone: no bootstrap address is configured, and the saved contact has not answered yet".into(),
        count => format!(
            "alone: no bootstrap address is configured, and none of the {count} saved contacts has answered yet"
        ),
    }
}

impl Reached {
    /// Looks up this node's own id, unless that was just done. Concurrent callers wait for the same result.
    async fn ask(&self, dht: &Dht) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < PAUSE
        {
            return answered;
        }
        let lookup = tokio::time::timeout(PATIENCE, dht.lookup(*dht.id().as_key())).await;
        let answered = lookup.unwrap_or(Err(Error::Timeout)).is_ok_and(|lookup| lookup.closest().next().is_some());
        *last = Some((Instant::now(), answered));
        answered
    }
}
