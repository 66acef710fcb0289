//! Numbers for Prometheus, in the OpenMetrics text format. Every name is described in `docs/metrics.md`.

use std::fmt;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kad_tokio::Stats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::help::help;
use crate::operations::counters;
use crate::problem::Refusal;
use crate::state::Shared;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What requests are counted by: nothing that a client chooses freely.
#[derive(Clone, PartialEq, Eq, Hash, EncodeLabelSet, Debug)]
struct Labels {
    method: &'static str,
    status: u16,
}

/// What this server counts itself.
pub(crate) struct Counters {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) accept_errors: Counter,
    pub(crate) watchers: Gauge,
    pub(crate) events_missed: Counter,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("kad");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests answered, by method and status", requests.clone());
        // A tenth of a millisecond to some thirteen seconds.
        let seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 18));
        registry.register(
            "http_request_seconds",
            "Time from the start of an HTTP request to the head of its answer",
            seconds.clone(),
        );
        let connections = Gauge::default();
        registry.register("http_connections", "HTTP connections open", connections.clone());
        let accept_errors = Counter::default();
        registry.register(
            "http_accept_errors",
            "HTTP connections that the operating system failed to hand over",
            accept_errors.clone(),
        );
        let watchers = Gauge::default();
        registry.register("http_watchers", "Clients following /events", watchers.clone());
        let events_missed = Counter::default();
        registry.register("http_events_missed", "Events that slow clients of /events missed", events_missed.clone());
        Self { registry, requests, seconds, connections, accept_errors, watchers, events_missed }
    }
}

/// Counts every request.
pub(crate) async fn count(State(context): Shared, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let _under_way = context.under_way.subscribe();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    let labels = Labels { method, status: response.status().as_u16() };
    context.counters.requests.get_or_create(&labels).inc();
    context.counters.seconds.observe(start.elapsed().as_secs_f64());
    response
}

/// `GET /metrics`
pub(crate) async fn metrics(State(context): Shared) -> Result<Response, Refusal> {
    let mut registry = Registry::with_prefix("kad");
    registry.register_collector(Box::new(Snapshot(context.dht.stats().await?)));
    let mut text = String::new();
    let encoded = encode_registry(&mut text, &registry)
        .and_then(|()| encode_registry(&mut text, &context.counters.registry))
        .and_then(|()| encode_eof(&mut text));
    match encoded {
        Ok(()) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", error.to_string())),
    }
}

/// A node at one moment.
#[derive(Debug)]
struct Snapshot(Stats);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, count) in counters(&self.0) {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help(name), None, counter.metric_type())?)?;
        }
        let help = "Datagrams received, by worker";
        let mut workers = encoder.encode_descriptor("worker_datagrams_in", help, None, MetricType::Counter)?;
        for (worker, count) in self.0.received.iter().enumerate() {
            ConstCounter::new(*count).encode(workers.encode_family(&[("worker", worker.to_string())])?)?;
        }
        for (name, help, value) in gauges(&self.0) {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn gauges(stats: &Stats) -> [(&'static str, &'static str, f64); 12] {
    [
        ("uptime_seconds", "Time since the node was started", stats.uptime.as_secs_f64()),
        (
            "joined",
            "1 if the node has reached its network or has none to reach, else 0",
            f64::from(u8::from(stats.joined)),
        ),
        ("contacts", "Contacts in the routing table", stats.contacts as f64),
        ("buckets", "Buckets of the routing table in use", stats.buckets as f64),
        ("calls", "Calls in progress", stats.calls as f64),
        ("operations", "Operations under way", stats.operations as f64),
        ("transfers", "Values being pulled", stats.transfers as f64),
        ("store_items", "Values held", stats.items as f64),
        ("store_bytes", "Bytes of the values held", stats.bytes as f64),
        ("memory_bytes", "Memory of the node in bytes, without its store", stats.memory as f64),
        (
            "socket_receive_buffer_bytes",
            "Receive buffer that the operating system granted to each UDP socket, in bytes",
            stats.socket.receive_buffer as f64,
        ),
        (
            "socket_send_buffer_bytes",
            "Send buffer that the operating system granted to each UDP socket, in bytes",
            stats.socket.send_buffer as f64,
        ),
    ]
}

/// Counts something for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
