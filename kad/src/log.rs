//! The log of daemons and commands, and traces if configured.

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use kad_tokio::NodeId;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::args::{Daemon, LogFormat, Verbosity};
use crate::config::Setting;
use crate::error::Failure;
use crate::traces::Traces;

/// The usual variable of Rust programs.
const COMMON: &str = "RUST_LOG";

/// Returns the log filter of a daemon: `--log`, else `-v` or `-q`, else `KAD_LOG`, else `RUST_LOG`, else the file, else the
/// default. `log` is the value from all sources but the second and the fourth, and `source` is its source.
pub(crate) fn filter(log: &str, source: &'static str, verbosity: Verbosity) -> Setting {
    let level = match verbosity {
        Verbosity { quiet: true, .. } => Some("warn"),
        Verbosity { verbose: 0, .. } => None,
        Verbosity { verbose: 1, .. } => Some("debug"),
        Verbosity { .. } => Some("trace"),
    };
    let common = || std::env::var(COMMON).ok().filter(|filter| !filter.trim().is_empty());
    let (value, source) = match (source, level) {
        ("flag", _) => (log.to_owned(), source),
        (_, Some(level)) => (level.to_owned(), "flag"),
        ("environment", _) => (log.to_owned(), source),
        _ => common().map_or((log.to_owned(), source), |filter| (filter, "environment")),
    };
    Setting { values: vec![value], source, is_list: false }
}

/// Starts the log of a command if `-v` or `RUST_LOG` asks for it.
pub(crate) fn start_command(verbosity: Verbosity) {
    let filter = match verbosity.verbose {
        0 => EnvFilter::try_from_env(COMMON).ok().filter(|_| !verbosity.quiet),
        1 => Some(EnvFilter::new("debug")),
        _ => Some(EnvFilter::new("trace")),
    };
    let Some(filter) = filter else { return };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
    let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter);
    // The only subscriber of this process: it cannot be there already.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// The log of this process. Dropping it sends pending traces.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    file: Option<LogFile>,
    _traces: Option<Traces>,
}

/// Starts the log of a daemon.
pub(crate) fn start(args: &Daemon, id: &NodeId) -> Result<Log, Failure> {
    let (filter, handle) = reload::Layer::new(parse(&args.log)?);
    let file = args.log_file.as_deref().map(LogFile::open).transpose()?;
    let is_terminal = file.is_none() && std::io::stderr().is_terminal();
    let writer = match file.clone() {
        Some(file) => BoxMakeWriter::new(move || file.now()),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_terminal);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Text => Box::new(lines.with_target(false).with_filter(filter)),
        LogFormat::Json => Box::new(lines.json().with_filter(filter)),
    };
    let (layer, traces) = args.otlp.as_deref().map(|url| Traces::to(url, id)).transpose()?.unzip();
    // The only subscriber of this process: it cannot be there already.
    let _ = tracing_subscriber::registry().with(lines).with(layer).try_init();
    Ok(Log { filter: handle, file, _traces: traces })
}

fn parse(filter: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(filter).map_err(|error| Failure::Setting(format!("--log {filter}: {error}")))
}

impl Log {
    /// Changes the filter.
    ///
    /// # Errors
    /// [`Failure::Setting`].
    pub(crate) fn set_filter(&self, filter: &str) -> Result<(), Failure> {
        let filter = parse(filter)?;
        self.filter.reload(filter).map_err(|error| Failure::Setting(format!("--log: {error}")))
    }

    /// Reopens the log by its name, after a rotation renamed the file. Returns the name if this process opened the log.
    ///
    /// # Errors
    /// [`Failure::File`]; the log continues in the old file.
    pub(crate) fn reopen(&self) -> Result<Option<&Path>, Failure> {
        let Some(file) = &self.file else { return Ok(None) };
        file.reopen()?;
        Ok(Some(&file.path))
    }
}

/// A log file that can be reopened.
#[derive(Clone)]
struct LogFile {
    path: PathBuf,
    file: Arc<RwLock<Arc<File>>>,
    /// Whether standard error goes to the same file, as that of a daemon in the background does.
    is_stderr: bool,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = append(path)?;
        let is_stderr = is_stderr(&file);
        Ok(Self { path: path.into(), file: Arc::new(RwLock::new(Arc::new(file))), is_stderr })
    }

    fn now(&self) -> Arc<File> {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reopen(&self) -> Result<(), Failure> {
        let file = append(&self.path)?;
        if self.is_stderr {
            follow(&file).map_err(|source| Failure::File { what: "write", path: self.path.clone(), source })?;
        }
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        Ok(())
    }
}

/// Opens a log for appending.
pub(crate) fn append(path: &Path) -> Result<File, Failure> {
    let file = File::options().create(true).append(true).open(path);
    file.map_err(|source| Failure::File { what: "write", path: path.into(), source })
}

#[cfg(unix)]
fn is_stderr(file: &File) -> bool {
    use rustix::fs::fstat;
    let same =
        |one: rustix::fs::Stat, other: rustix::fs::Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    matches!((fstat(file), fstat(std::io::stderr())), (Ok(file), Ok(stderr)) if same(file, stderr))
}

/// Redirects standard error, for example panics, to this file.
#[cfg(unix)]
fn follow(file: &File) -> std::io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}

#[cfg(not(unix))]
fn is_stderr(_: &File) -> bool {
    false
}

#[cfg(not(unix))]
fn follow(_: &File) -> std::io::Result<()> {
    Ok(())
}
