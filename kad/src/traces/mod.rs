//! Traces for an OpenTelemetry collector, in programs built with the feature `otlp`.

#[cfg(feature = "otlp")]
mod otlp;

use tracing_subscriber::Layer;

#[cfg(feature = "otlp")]
pub(crate) use otlp::Traces;

/// The layer that receives spans.
pub(crate) type Spans<S> = Box<dyn Layer<S> + Send + Sync>;

/// Fails: this program has no traces.
#[cfg(not(feature = "otlp"))]
pub(crate) enum Traces {}

#[cfg(not(feature = "otlp"))]
impl Traces {
    pub(crate) fn to<S>(url: &str, _: &kad_tokio::NodeId) -> Result<(Spans<S>, Self), crate::error::Failure> {
        let why = "this program was built without the feature otlp: cargo install --path kad --features otlp";
        Err(crate::error::Failure::Setting(format!("--otlp {url}: {why}")))
    }
}
