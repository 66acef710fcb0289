//! Output of commands.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::Failure;

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::System(error.into()))?;
    line(&text)
}

/// Prints a line. A closed pipe is not a failure.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Whether remarks are suppressed (`--quiet`).
static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses remarks and progress from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Prints a remark to standard error: anything but the command's result.
pub(crate) fn remark(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        complain(text);
    }
}

/// Prints an error to standard error, and ignores failures to do so.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes bytes unchanged.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| Failure::File { what: "write", path: "standard output".into(), source }),
    }
}

/// Returns a table with a header.
pub(crate) fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(head);
    table
}

/// Formats a duration with three digits and a unit.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs_f64();
    match secs {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Returns the first digits of an id, enough to distinguish nodes.
pub(crate) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(12).collect()
}

/// Returns a progress bar, if standard error is a terminal.
pub(crate) fn progress(len: usize, what: &'static str, quiet: bool) -> ProgressBar {
    let target = if quiet || QUIET.load(Ordering::Relaxed) {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style = ProgressStyle::with_template("{msg:>8} {bar:40} {pos}/{len} {elapsed}");
    let bar = ProgressBar::with_draw_target(Some(len as u64), target).with_message(what);
    // The template above is valid; the fallback is the default bar.
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// Formats a count with its noun.
pub(crate) fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
