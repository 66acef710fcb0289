//! Spans over OTLP, as protocol buffers over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use kad_tokio::NodeId;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::Spans;
use crate::error::Failure;

/// The time limit of a request to the collector.
const PATIENCE: Duration = Duration::from_secs(5);

/// The exporter of spans. Dropping it sends pending spans.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Returns the layer that receives spans, and the exporter. The environment configures sampling (`OTEL_TRACES_SAMPLER`).
    pub(crate) fn to<S>(url: &str, id: &NodeId) -> Result<(Spans<S>, Self), Failure>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        if !url.starts_with("http://") {
            let why = "only http is supported, as in http://127.0.0.1:4318: run a collector on this host";
            return Err(Failure::Setting(format!("--otlp {url}: {why}")));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')))
            .with_http_client(Client::new())
            .build()
            .map_err(|error| Failure::Setting(format!("--otlp {url}: {error}")))?;
        let resource = Resource::builder()
            .with_service_name("kad")
            .with_attribute(KeyValue::new("service.instance.id", id.to_string()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let ours = ["kad", "kad_http", "kad_tokio"].map(|target| (target, Level::DEBUG));
        let ours = Targets::new().with_targets(ours).with_default(LevelFilter::OFF);
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("kad")).with_filter(ours);
        Ok((Box::new(spans), Self(provider)))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Sends requests to the collector, on the SDK's thread.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).http_status_as_error(false);
        Self(config.build().into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let (head, mut body) = self.0.run(Request::from_parts(head, &body[..]))?.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
