//! Errors as responses: `application/problem+json` (RFC 9457) with a code for programs and a message for people.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kad_tokio::Error;

use crate::api::Problem;

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Box<Problem>,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        let problem = Problem { status: status.as_u16(), ..Problem::new(error, message) };
        Self { status, problem: Box::new(problem), header: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad(error: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, message)
    }

    /// The value, or what it came in, is larger than can be stored. The length may not be known.
    pub(crate) fn too_large(len: Option<usize>, max: usize) -> Self {
        let message = match len {
            Some(len) => Error::TooLarge { len, max }.to_string(),
            None => format!("the value is larger than the {max} bytes that can be stored"),
        };
        let mut refusal = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
        (refusal.problem.len, refusal.problem.max) = (len, Some(max));
        refusal
    }

    /// Only the owner of the node may do this.
    pub(crate) fn unauthorised(message: &str) -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorised", message);
        Self { header: Some((header::WWW_AUTHENTICATE, "Bearer")), ..refusal }
    }

    /// It may work later.
    pub(crate) fn unavailable(error: &str, message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, error, message);
        Self { header: Some((header::RETRY_AFTER, "1")), ..refusal }
    }
}

impl Problem {
    /// A problem of a request that came to no status of its own.
    pub fn new(error: &str, message: impl Into<String>) -> Self {
        Self { status: 0, error: error.into(), message: message.into(), len: None, max: None }
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
            Error::Unreachable => Self::unavailable("unreachable", message),
            Error::Refused(_) => Self::unavailable("refused", message),
            Error::NotDurable => Self::unavailable("not_durable", message),
            _ => Self::unavailable("closed", message),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
