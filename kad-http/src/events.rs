//! `GET /events`: the node's activity as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use futures_util::{Stream, StreamExt as _};
use kad_tokio::{Copied, Events, Key, NodeEvent, Purpose};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use std::sync::Arc;

use crate::api::{Began, CopiesMade, Ended, Lookup, Missed, Node, Peer, Progress, milliseconds};
use crate::metrics::Counted;
use crate::operations;
use crate::problem::Refusal;
use crate::request::{Asked, key, span};
use crate::state::{Context, Shared};

/// The default interval of statistics.
const STATS: Duration = Duration::from_secs(2);
/// The shortest interval of statistics.
const STATS_MIN: Duration = Duration::from_millis(100);
/// The interval of keep-alives on an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interest {
    /// Only events of this key.
    key: Option<String>,
    /// The interval of statistics; `0s`: never.
    stats: Option<String>,
}

pub(crate) async fn events(State(context): Shared, Asked(interest): Asked<Interest>) -> Result<Response, Refusal> {
    let key = interest.key.as_deref().map(key).transpose()?;
    // With a key, the default is no statistics.
    let default = if key.is_some() { Duration::ZERO } else { STATS };
    let stats = interest.stats.as_deref().map_or(Ok(default), |text| span("stats", text))?;
    let full = |_| Refusal::unavailable("too_many_watchers", "the number of clients of /events has reached its limit");
    let place = context.watchers.clone().try_acquire_owned().map_err(full)?;
    let events = context.dht.watch().await?;
    let follower = Follower::new(context.clone(), events, place, key, stats);
    let hello = event("hello", &operations::status(&context.dht).await?);
    let stream = stream::once(async { Ok(hello) }).chain(follower.stream());
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One client.
struct Follower {
    events: Events,
    key: Option<Key>,
    ticks: Option<Interval>,
    running: watch::Receiver<()>,
    context: Arc<Context>,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

/// An event for a client.
enum Next {
    Happened(Option<Result<Arc<NodeEvent>, kad_tokio::Missed>>),
    Tick,
    Stopped,
}

impl Follower {
    fn new(
        context: Arc<Context>,
        events: Events,
        place: OwnedSemaphorePermit,
        key: Option<Key>,
        stats: Duration,
    ) -> Self {
        let ticks = (!stats.is_zero()).then(|| {
            let mut ticks = interval(stats.max(STATS_MIN));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let running = context.running.clone();
        let counted = Counted::new(&context.counters.watchers);
        Self { events, key, ticks, running, context, _place: place, _counted: counted }
    }

    /// Returns the client's stream, which ends with the node or the server. The client sets its pace.
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.next().await;
            event.map(|event| (Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let next = tokio::select! {
                happened = self.events.next() => Next::Happened(happened),
                () = tick(&mut self.ticks) => Next::Tick,
                _ = self.running.changed() => Next::Stopped,
            };
            match next {
                Next::Happened(Some(Ok(happened))) if self.key.is_none_or(|key| happened.is_about(&key)) => {
                    return Some(self.show(&happened));
                }
                Next::Happened(Some(Ok(_))) => {}
                Next::Happened(Some(Err(missed))) => {
                    self.context.counters.events_missed.inc_by(missed.0);
                    return Some(event("missed", &Missed { events: missed.0 }));
                }
                Next::Tick => return Some(event("stats", &operations::status(&self.context.dht).await.ok()?)),
                Next::Happened(None) | Next::Stopped => return None,
            }
        }
    }

    fn show(&self, happened: &NodeEvent) -> Event {
        match happened {
            NodeEvent::Began { operation, purpose, key } => event("began", &began(*operation, *purpose, *key)),
            NodeEvent::Step { operation, key, step, after } => {
                let after = milliseconds(*after);
                event("step", &Progress { operation: *operation, key: *key, after, step: step.into() })
            }
            NodeEvent::Ended { operation, purpose, lookup, stored } => {
                let stored = stored.iter().map(copied).collect();
                let lookup = Lookup::from(lookup);
                let (operation, purpose) = (*operation, name(*purpose).into());
                event("ended", &Ended { operation, purpose, key: lookup.target, lookup, stored })
            }
            NodeEvent::Cancelled { operation, purpose, key } => event("cancelled", &began(*operation, *purpose, *key)),
            NodeEvent::Joined { answered } => event("joined", &json!({ "answered": answered })),
            NodeEvent::ContactAdded(peer) => event("contact_added", &Peer::new(&self.context.dht.id(), peer)),
            NodeEvent::ContactLost(contact) => event("contact_lost", &Node::from(*contact)),
            other => event("other", &json!({ "debug": format!("{other:?}") })),
        }
    }
}

fn copied(copied: &Copied) -> CopiesMade {
    CopiesMade {
        key: copied.key,
        digest: copied.digest.to_string(),
        elsewhere: copied.elsewhere,
        refused: copied.refused,
        silent: copied.silent,
    }
}

fn began(operation: u64, purpose: Purpose, key: Key) -> Began {
    Began { operation, purpose: name(purpose).into(), key }
}

const fn name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Lookup => "lookup",
        Purpose::Find => "find",
        Purpose::Store => "store",
        Purpose::Ping => "ping",
        Purpose::Join => "join",
        Purpose::Cache => "cache",
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    // Plain data with text keys always serialises.
    event.json_data(data).unwrap_or_else(|_| Event::default().event(name))
}

/// The next tick, if there are any.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
