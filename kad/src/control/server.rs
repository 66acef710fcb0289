//! The daemon's side.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kad_tokio::{Dht, Error, Key};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::api::{FindQuery, FoundAll, Patience, Problem, StoreQuery};
use crate::operations;

/// What handlers need.
struct Control {
    dht: Dht,
    token: String,
    stop: mpsc::Sender<()>,
}

/// Serves the control interface until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, dht: Dht, token: String, stop: mpsc::Sender<()>) {
    let value_max = dht.value_max();
    let control = Arc::new(Control { dht, token, stop });
    let app = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/lookup/{key}", get(lookup))
        .route("/v1/values/{key}", get(find).put(store).delete(forget))
        .route("/v1/stop", post(self::stop))
        .layer(DefaultBodyLimit::max(value_max + 1))
        .layer(middleware::from_fn_with_state(control.clone(), authorise))
        .with_state(control);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the control interface failed");
    }
}

/// Nobody without the token gets anything.
async fn authorise(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Comparing hashes takes the same time however much of the token is right.
    if Key::hash(shown) == Key::hash(&control.token) {
        return next.run(request).await;
    }
    let message = "the control interface needs the token of the daemon's data directory";
    (StatusCode::UNAUTHORIZED, Json(Problem::new("unauthorised", message))).into_response()
}

/// An error as a response.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl Problem {
    fn new(error: &str, message: &str) -> Self {
        Self { error: error.into(), message: message.into(), len: None, max: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match &self.0 {
            Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Error::Lifetime => (StatusCode::BAD_REQUEST, "lifetime"),
            Error::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Error::Truncated => (StatusCode::INSUFFICIENT_STORAGE, "incomplete"),
            Error::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
            Error::Refused(_) => (StatusCode::INSUFFICIENT_STORAGE, "refused"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
        };
        let mut problem = Problem::new(error, &self.0.to_string());
        if let Error::TooLarge { len, max } = self.0 {
            (problem.len, problem.max) = (Some(len), Some(max));
        }
        (status, Json(problem)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Refusal>;
type Shared = State<Arc<Control>>;

async fn status(State(control): Shared) -> Answer<crate::api::Status> {
    Ok(Json(operations::status(&control.dht).await?))
}

async fn peers(State(control): Shared) -> Answer<Vec<crate::api::Peer>> {
    Ok(Json(operations::peers(&control.dht).await?))
}

async fn lookup(
    State(control): Shared,
    Path(key): Path<Key>,
    Query(patience): Query<Patience>,
) -> Answer<crate::api::Lookup> {
    within(patience.timeout_ms, operations::lookup(&control.dht, key)).await
}

async fn store(
    State(control): Shared,
    Path(key): Path<Key>,
    Query(query): Query<StoreQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<crate::api::Stored> {
    // The length is for the client to tell: no more was read than can be stored.
    let body = body.map_err(|_| Error::TooLarge { len: 0, max: control.dht.value_max() })?;
    Ok(Json(operations::store(&control.dht, key, body, &query).await?))
}

async fn find(State(control): Shared, Path(key): Path<Key>, Query(query): Query<FindQuery>) -> Answer<FoundAll> {
    Ok(Json(operations::find(&control.dht, key, &query).await?))
}

async fn forget(State(control): Shared, Path(key): Path<Key>) -> Answer<crate::api::Forgotten> {
    Ok(Json(operations::forget(&control.dht, key).await?))
}

async fn stop(State(control): Shared) -> StatusCode {
    // A second request while the first is being carried out changes nothing.
    let _ = control.stop.try_send(());
    StatusCode::ACCEPTED
}

async fn within<T>(timeout_ms: u64, call: impl Future<Output = Result<T, Error>>) -> Answer<T> {
    let result = tokio::time::timeout(Duration::from_millis(timeout_ms), call).await;
    Ok(Json(result.unwrap_or(Err(Error::Timeout))?))
}
