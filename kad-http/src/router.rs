//! The paths and their permissions.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::cors::CorsLayer;

use crate::problem::Refusal;
use crate::state::Context;
use crate::{dashboard, durable, events, gateway, guard, health, metrics, negotiation, stores, trace, views};

/// Returns the routes of the server.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let mut router = Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{file}", get(dashboard::file))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi))
        .merge(operations(&context));
    if context.settings.gateway || !context.tokens.is_empty() {
        router = router.merge(values(&context));
    }
    if !context.tokens.is_empty() {
        let stop = post(views::stop).route_layer(from_fn_with_state(context.clone(), guard::owners));
        router = router.route("/stop", stop);
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

/// Routes for every client or, without the gateway, with the token.
fn values(context: &Arc<Context>) -> Routes {
    Router::new()
        .route("/", post(stores::post))
        .route("/{key}", get(gateway::get).put(stores::put).delete(gateway::delete))
        .route("/name/{name}", get(gateway::get_name).put(stores::put_name))
        .route_layer(from_fn_with_state(context.clone(), guard::users))
}

/// The CORS layer for values. The guards refuse other origins everything else.
fn cors(origins: &[String]) -> CorsLayer {
    let shown = [header::LOCATION, header::ORIGIN, header::ETAG, header::AGE, header::RETRY_AFTER].into_iter().chain([
        stores::COPIES,
        stores::REFUSED,
        stores::SILENT,
        gateway::DIGEST,
        gateway::TTL,
        negotiation::APPLIED,
    ]);
    // A text that cannot be a header cannot be an origin of a browser either.
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
        .allow_headers([header::ACCEPT, header::CONTENT_TYPE, header::IF_NONE_MATCH, gateway::TTL, negotiation::PREFER])
        .expose_headers(shown.collect::<Vec<_>>())
}

/// Routes for this host, or with the token.
fn operations(context: &Arc<Context>) -> Routes {
    Router::new()
        .route("/node", get(views::node))
        .route("/peers", get(views::peers))
        .route("/values", get(views::values).post(stores::post_many))
        .route("/lookup/{key}", get(views::lookup))
        .route("/ping/{address}", get(views::ping))
        .route("/durable", get(durable::durable))
        .route("/events", get(events::events))
        .route_layer(from_fn_with_state(context.clone(), guard::operators))
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
    let message = format!("{method} is not supported at {}: see the header Allow", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
