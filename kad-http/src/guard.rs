//! Permissions. Web pages must neither read nor write through a node on their visitor's machine, and only the owner of a
//! node may inspect or control it.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kad_tokio::Key;

use crate::problem::Refusal;
use crate::state::{Context, Shared};

/// Headers of proxies that mark forwarded requests.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Checks every request: its `Host`, and for changes its origin.
pub(crate) async fn everybody(State(context): Shared, request: Request, next: Next) -> Response {
    let admitted = admit(&context, request.method(), request.uri(), request.headers());
    match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Guards operations: for this host, or with the token.
pub(crate) async fn operators(State(context): Shared, request: Request, next: Next) -> Response {
    match may_operate(&context, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Guards values: for every client if this is a gateway, else with the token.
pub(crate) async fn users(State(context): Shared, request: Request, next: Next) -> Response {
    match context.settings.gateway {
        true => next.run(request).await,
        false => with_token(&context, request, next, "values need").await,
    }
}

/// Guards the stop of the program: with the token only.
pub(crate) async fn owners(State(context): Shared, request: Request, next: Next) -> Response {
    with_token(&context, request, next, "stopping the daemon needs").await
}

async fn with_token(context: &Context, request: Request, next: Next, what: &str) -> Response {
    match has_token(context, request.headers()) {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            Refusal::unauthorised(format!("{what} the daemon's token (Authorization: Bearer)")).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Returns whether a request is from this host, as far as the server can tell, or has the token.
pub(crate) fn may_operate(context: &Context, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    if has_token(context, headers)? {
        return Ok(());
    }
    check_page(&[], uri, headers)?;
    let is_direct = !FORWARDED.iter().any(|name| headers.contains_key(*name));
    let calls_loopback = called(uri, headers).is_some_and(|authority| is_loopback(authority.host()));
    if context.is_loopback && is_direct && calls_loopback {
        return Ok(());
    }
    Err(Refusal::unauthorised("from another host this needs the token of the daemon (Authorization: Bearer)".into()))
}

fn admit(context: &Context, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let changeable = context.changeable.borrow();
    if context.is_loopback || !changeable.hosts.is_empty() {
        check_host(&changeable.hosts, uri, headers)?;
    }
    if method.is_safe() || has_token(context, headers)? {
        Ok(())
    } else {
        check_page(&changeable.origins, uri, headers)
    }
}

/// Refuses a `Host` that is not a name of this server: protection against DNS rebinding.
fn check_host(allowed: &[String], uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(authority) = called(uri, headers) else {
        return Err(Refusal::bad("host", "the request must have exactly one Host header with a name or an address"));
    };
    let host = authority.host();
    let known = |name: &String| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(authority.as_str());
    if is_loopback(host) || allowed.iter().any(known) {
        return Ok(());
    }
    let message = format!("{host} is not a name of this server: allow the name with --http-host, or use its address");
    Err(Refusal::new(StatusCode::FORBIDDEN, "host", message))
}

/// Refuses pages of other origins, unless their origin is allowed. Programs other than browsers send neither header.
fn check_page(allowed: &[String], uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_own = |origin: &str| {
        let authority = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
        called(uri, headers).is_some_and(|called| authority.is_some_and(|authority| authority == called.as_str()))
    };
    let refused = match (text("origin"), text("sec-fetch-site")) {
        (Some(origin), _) if allowed.iter().any(|one| one == origin) => None,
        (Some(origin), _) if !is_own(origin) => Some(origin),
        (_, Some(site)) if site != "same-origin" && site != "none" => Some(site),
        _ => None,
    };
    refused.map_or(Ok(()), |page| {
        let message = format!(
            "a page of another origin ({page}) may not do this; --http-origin allows it to read and write values"
        );
        Err(Refusal::new(StatusCode::FORBIDDEN, "cross_origin", message))
    })
}

/// Returns whether the request has the token. A wrong token is refused even where none is needed.
fn has_token(context: &Context, headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(shown) = headers.get(header::AUTHORIZATION) else { return Ok(false) };
    let shown = shown.to_str().ok().and_then(|value| value.split_once(' '));
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim());
    // The time of comparing hashes does not depend on how much of a token is right.
    let shown = Key::hash(shown);
    match context.tokens.contains(&shown) {
        true => Ok(true),
        false => Err(Refusal::wrong_token()),
    }
}

/// Returns the name and port in the request's `Host`.
fn called(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
