//! Whether the process is up, and whether it reaches its network: two different things.

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

/// An answer of another node proves for so long that the network is reached. Who asks more often than that costs nothing.
const RECENT: Duration = Duration::from_secs(10);
/// How long asking anew may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often is asked anew at the most, whoever wants to know.
const PAUSE: Duration = Duration::from_secs(5);

/// When the network was last asked, and whether it answered.
#[derive(Default)]
pub(crate) struct Reached(Mutex<Option<(Instant, bool)>>);

/// `GET /health`: who reads this knows that the process is up.
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
        Some(span) if span < RECENT => (true, "others have answered lately".into()),
        _ if reached.ask(dht).await => (true, "others have answered when asked just now".into()),
        _ => (false, "no node in the routing table answers".into()),
    }
}

/// Why a node that knows no other is ready: others join through it.
fn alone(stats: &Stats) -> String {
    match stats.remembered {
        0 => "alone: no bootstrap address is configured; it waits for others".into(),
        1 => "alone: no bootstrap address is configured, and the node known from last time has not answered yet".into(),
        count => format!(
            "alone: no bootstrap address is configured, and none of the {count} nodes known from last time has answered yet"
        ),
    }
}

impl Reached {
    /// Looks for this node's own neighbours, unless that was just done. Those who ask meanwhile wait for the same answer.
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
