//! What a daemon writes about itself: a log, and traces where they were asked for.

use std::io::IsTerminal as _;

use kad_tokio::NodeId;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::args::{Daemon, LogFormat};
use crate::error::Failure;
use crate::traces::Traces;

/// Starts the log. Traces that are not sent yet are sent when what this returns is dropped.
pub(crate) fn start(args: &Daemon, id: &NodeId) -> Result<Option<Traces>, Failure> {
    let filter = EnvFilter::try_new(&args.log);
    let filter = filter.map_err(|error| Failure::Setting(format!("--log {}: {error}", args.log)))?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Text => Box::new(lines.with_target(false).with_filter(filter)),
        LogFormat::Json => Box::new(lines.json().with_filter(filter)),
    };
    let (layer, traces) = args.otlp.as_deref().map(|url| Traces::to(url, id)).transpose()?.unzip();
    // The only subscriber of this process: it cannot be there already.
    let _ = tracing_subscriber::registry().with(lines).with(layer).try_init();
    Ok(traces)
}
