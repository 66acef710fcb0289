//! Errors as responses: problem documents (RFC 9457), `application/problem+json`.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kad_tokio::Error;

use crate::api::{Problem, Stored};

/// Where the kinds of problems are described: their codes are headings there.
const KINDS: &str = "https://github.com/kad-dht/kad/blob/main/docs/problems.md#";

/// Every kind of problem: its code, and what it is in a few words.
const TITLES: [(&str, &str); 28] = [
    ("address", "Not an address"),
    ("body", "Unreadable body"),
    ("busy", "Too many calls under way"),
    ("closed", "The node is closed"),
    ("cross_origin", "A page of another origin"),
    ("digest", "Not a digest"),
    ("host", "Called by another name"),
    ("incomplete", "Incomplete"),
    ("key", "Not a key"),
    ("lifetime", "Impossible lifetime"),
    ("malformed", "Malformed form"),
    ("method_not_allowed", "Method not allowed"),
    ("metrics", "Metrics failed"),
    ("no_such_path", "No such path"),
    ("no_value", "No value"),
    ("not_durable", "Not written to disk"),
    ("not_found", "No such value"),
    ("not_published", "Not published by this node"),
    ("query", "Wrong query"),
    ("refused", "Refused by this node's store"),
    ("slow", "The request took too long"),
    ("stored_nowhere", "Stored nowhere"),
    ("timeout", "Timeout"),
    ("too_few_copies", "Too few copies"),
    ("too_large", "Value too large"),
    ("too_many_watchers", "Too many watchers"),
    ("unauthorised", "The token is missing or wrong"),
    ("unreachable", "No node answers"),
];

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let title = TITLES.iter().find(|(known, _)| *known == code).map(|(_, title)| *title);
        let title = title.or(status.canonical_reason()).unwrap_or("Error");
        let problem = Problem {
            kind: format!("{KINDS}{code}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.into(),
            len: None,
            max: None,
            receipt: None,
        };
        Self { problem: Box::new(problem), header: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The value, or what it came in, is larger than can be stored. The length may not be known.
    pub(crate) fn too_large(len: Option<usize>, max: usize) -> Self {
        let detail = match len {
            Some(len) => Error::TooLarge { len, max }.to_string(),
            None => format!("the value is larger than the {max} bytes that can be stored"),
        };
        let mut refusal = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        (refusal.problem.len, refusal.problem.max) = (len, Some(max));
        refusal
    }

    /// Only the owner of the node may do this.
    pub(crate) fn unauthorised(detail: String) -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorised", detail);
        Self { header: Some((header::WWW_AUTHENTICATE, "Bearer realm=\"kad\"")), ..refusal }
    }

    /// A token that opens nothing (RFC 6750, section 3.1).
    pub(crate) fn wrong_token() -> Self {
        let refusal = Self::unauthorised("this is not the token of the daemon".into());
        let challenge = "Bearer realm=\"kad\", error=\"invalid_token\"";
        Self { header: Some((header::WWW_AUTHENTICATE, challenge)), ..refusal }
    }

    /// It may work later.
    pub(crate) fn unavailable(code: &str, detail: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { header: Some((header::RETRY_AFTER, "1")), ..refusal }
    }

    /// The same with what was achieved nevertheless.
    pub(crate) fn with_receipt(mut self, receipt: Stored) -> Self {
        self.problem.receipt = Some(Box::new(receipt));
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::TooLarge { len, max } => Self::too_large(Some(len), max),
            Error::Lifetime => Self::bad("lifetime", message),
            Error::Timeout => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message),
            Error::Incomplete(_) => Self::new(StatusCode::BAD_GATEWAY, "incomplete", message),
            Error::Truncated => Self::new(StatusCode::INSUFFICIENT_STORAGE, "incomplete", message),
            Error::Busy => Self::unavailable("busy", message),
            Error::TooFewCopies { .. } => Self::unavailable("too_few_copies", message),
            Error::Unreachable => Self::unavailable("unreachable", message),
            Error::Refused(_) => Self::unavailable("refused", message),
            Error::NotDurable => Self::unavailable("not_durable", message),
            _ => Self::unavailable("closed", message),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
