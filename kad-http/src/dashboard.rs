//! `GET /`: a page that shows the node, on top of the other paths. It loads only from this program and runs only its own
//! scripts.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kad_tokio::Key;

use crate::request::has_already;
use crate::router;

/// The Content-Security-Policy: own scripts, styles, pictures and requests; no inline script, no frames, and no elements
/// made from strings (W3C Content Security Policy Level 3, Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page itself.
const PAGE: &str = "";

macro_rules! files {
    ($($name:literal: $kind:literal),* $(,)?) => {
        &[
            (PAGE, "text/html; charset=utf-8", include_str!("../dashboard/index.html")),
            $(($name, $kind, include_str!(concat!("../dashboard/", $name)))),*
        ]
    };
}

/// Name, type and content.
type Source = (&'static str, &'static str, &'static str);

const SOURCES: &[Source] = files! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "contacts.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "get.js": "text/javascript; charset=utf-8",
    "health.js": "text/javascript; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "put.js": "text/javascript; charset=utf-8",
    "ring.js": "text/javascript; charset=utf-8",
    "stored.js": "text/javascript; charset=utf-8",
    "text.js": "text/javascript; charset=utf-8",
    "walk.js": "text/javascript; charset=utf-8",
};

struct File {
    source: Source,
    /// Changes with the content.
    tag: String,
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let tagged = |source: Source| File { source, tag: format!("\"{}\"", Key::hash(source.2)) };
    SOURCES.iter().copied().map(tagged).collect()
});

/// `GET /` and `HEAD /`
pub(crate) async fn page(uri: Uri, headers: HeaderMap) -> Response {
    serve(PAGE, uri, &headers).await
}

/// `GET /dashboard/{file}` and `HEAD /dashboard/{file}`
pub(crate) async fn file(Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    // A path parameter is never empty, so this is not the page.
    serve(&name, uri, &headers).await
}

async fn serve(name: &str, uri: Uri, asked: &HeaderMap) -> Response {
    let Some(File { source: (_, kind, content), tag }) = FILES.iter().find(|file| file.source.0 == name) else {
        return router::not_found(uri).await.into_response();
    };
    // An upgraded program has another page at the same path, so browsers revalidate each time.
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    match has_already(asked, tag) {
        true => (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response(),
        false => (headers, *content).into_response(),
    }
}
