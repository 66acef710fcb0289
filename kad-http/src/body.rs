//! Reading of bodies, with limits of size and time.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;

use crate::problem::Refusal;
use crate::state::Context;

/// The extra bytes read of a body that is too large, so that its sender gets to read the response.
const DISCARDED: usize = 1 << 20;

/// Reads a body of up to `max` bytes. A body in one piece is not copied.
pub(crate) async fn read(context: &Context, body: Body, max: usize) -> Result<Bytes, Refusal> {
    let limit = context.settings.body_timeout;
    match tokio::time::timeout(limit, collect(context, body, max)).await {
        Ok(bytes) => bytes,
        Err(_) => {
            let message = format!("the body did not arrive within {}", humantime::format_duration(limit));
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", message))
        }
    }
}

async fn collect(context: &Context, mut body: Body, max: usize) -> Result<Bytes, Refusal> {
    let announced = body.size_hint().exact().and_then(|len| usize::try_from(len).ok());
    let too_large = |len| Refusal::too_large(len, context.dht.value_max());
    if let Some(len) = announced.filter(|&len| len > max) {
        discard(&mut body).await;
        // The length of a form is not the length of its value.
        return Err(too_large((max == context.dht.value_max()).then_some(len)));
    }
    match Limited::new(&mut body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(too_large(None))
        }
        Err(error) => Err(Refusal::bad("body", format!("the body ended early: {error}"))),
    }
}

async fn discard(body: &mut Body) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let len = frame.data_ref().map_or(0, Bytes::len);
        if len >= left {
            return;
        }
        left -= len;
    }
}
