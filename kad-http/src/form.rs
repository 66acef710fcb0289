//! Values in forms: the field `value`, any bytes.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use percent_encoding::percent_decode;

use crate::problem::Refusal;

/// The field that holds the value.
const FIELD: &str = "value";

/// The form of a body, by its `Content-Type`.
pub(crate) enum Kind {
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `multipart/form-data`, with its boundary.
    Multipart(String),
    /// Anything else: the body is the value.
    Raw {
        /// Whether the request has a `Content-Type`.
        is_named: bool,
    },
}

impl Kind {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(named) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Raw { is_named: false }) };
        let named = String::from_utf8_lossy(named.as_bytes());
        let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Ok(Self::UrlEncoded),
            "multipart/form-data" => multer::parse_boundary(&named)
                .map(Self::Multipart)
                .map_err(|error| malformed(&format!("its boundary: {error}"))),
            _ => Ok(Self::Raw { is_named: true }),
        }
    }

    /// Returns the maximum size of a body with a value of this size.
    pub(crate) const fn body_max(&self, value_max: usize) -> usize {
        /// Other fields, headers of parts, boundaries.
        const AROUND: usize = 16 << 10;
        match self {
            // Every byte may be escaped as three.
            Self::UrlEncoded => value_max.saturating_mul(3).saturating_add(AROUND),
            Self::Multipart(_) => value_max.saturating_add(AROUND),
            Self::Raw { .. } => value_max,
        }
    }

    /// Returns the value in a body.
    pub(crate) async fn value(self, body: Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::UrlEncoded => url_encoded(&body),
            Self::Multipart(boundary) => multipart(body, boundary).await,
            Self::Raw { is_named } if body.is_empty() && !is_named => Err(Refusal::bad(
                "no_value",
                "there is no value: send one as a body or as the form field `value`; for an empty one set Content-Type",
            )),
            Self::Raw { .. } => Ok(body),
        }
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::bad("malformed", format!("the form is malformed: {what}"))
}

fn none() -> Refusal {
    Refusal::bad(
        "no_value",
        "the form has no field `value`; to store a body as it is, send it with another Content-Type",
    )
}

fn twice() -> Refusal {
    malformed("it has the field `value` more than once")
}

fn url_encoded(body: &[u8]) -> Result<Bytes, Refusal> {
    let mut value = None;
    for pair in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, text) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
        if decoded(name)? == FIELD.as_bytes() && value.replace(decoded(text)?).is_some() {
            return Err(twice());
        }
    }
    value.map(Bytes::from).ok_or_else(none)
}

/// Decodes urlencoded bytes. An incomplete escape is an error, because the value would be ambiguous.
fn decoded(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let is_escape = |at: usize| text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if text.iter().enumerate().any(|(at, &byte)| byte == b'%' && !is_escape(at)) {
        return Err(malformed("a `%` must be followed by two hexadecimal digits"));
    }
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    Ok(percent_decode(&spaced).collect())
}

async fn multipart(body: Bytes, boundary: String) -> Result<Bytes, Refusal> {
    let mut form = Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let (mut value, wrong) = (None, |error: multer::Error| malformed(&error.to_string()));
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let is_value = field.name() == Some(FIELD);
        let bytes = field.bytes().await.map_err(wrong)?;
        if is_value && value.replace(bytes).is_some() {
            return Err(twice());
        }
    }
    value.ok_or_else(none)
}
