//! What is where, and who may call it.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use tower_http::cors::CorsLayer;

use crate::problem::Refusal;
use crate::state::Context;
use crate::{control, dashboard, durable, events, gateway, guard, health, metrics, trace, views};

/// Everything that the server serves.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let mut router = Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{file}", get(dashboard::file))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi))
        .merge(operations(&context));
    if context.settings.gateway {
        router = router.merge(gateway());
    }
    if context.token.is_some() {
        router = router.nest("/control", control(&context));
    }
    router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
    let origins = &context.changeable.borrow().origins.clone();
    if context.settings.gateway && !origins.is_empty() {
        router = router.layer(cors(origins));
    }
    router
        .layer(from_fn_with_state(context.clone(), guard::everybody))
        .layer(from_fn_with_state(context.clone(), metrics::count))
        .layer(from_fn(trace::trace))
        .with_state(context)
}

type Routes = Router<Arc<Context>>;

fn gateway() -> Routes {
    Router::new()
        .route("/", post(gateway::post))
        .route("/{key}", get(gateway::get).put(gateway::put).delete(gateway::delete))
        .route("/name/{name}", get(gateway::get_name).put(gateway::put_name))
}

/// What pages of these origins may do with values. The guards refuse them everything else.
fn cors(origins: &[String]) -> CorsLayer {
    let shown = [header::LOCATION, header::ORIGIN, header::ETAG, header::AGE].into_iter().chain([
        gateway::COPIES,
        gateway::REFUSED,
        gateway::SILENT,
        gateway::DIGEST,
        gateway::TTL,
    ]);
    // What cannot be a header cannot be an origin of a browser either.
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
        .allow_headers([header::CONTENT_TYPE, header::IF_NONE_MATCH, gateway::TTL])
        .expose_headers(shown.collect::<Vec<_>>())
}

/// For this host, or with the token.
fn operations(context: &Arc<Context>) -> Routes {
    Router::new()
        .route("/node", get(views::node))
        .route("/peers", get(views::peers))
        .route("/values", get(views::values))
        .route("/lookup/{key}", get(views::lookup))
        .route("/durable", get(durable::durable))
        .route("/events", get(events::events))
        .route_layer(from_fn_with_state(context.clone(), guard::operators))
}

/// For those who know the token.
fn control(context: &Arc<Context>) -> Routes {
    Router::new()
        .route("/values", post(control::store_many))
        .route("/values/{key}", put(control::store).get(control::find).delete(control::remove))
        .route("/stop", post(control::stop))
        .route_layer(from_fn_with_state(context.clone(), guard::owners))
}

async fn openapi() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], crate::OPENAPI)
}

pub(crate) async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        format!("there is nothing at {}: see /openapi.json", uri.path()),
    )
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    let message = format!("{method} makes no sense at {}: the header Allow says what does", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
