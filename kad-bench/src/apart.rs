//! Measurements in a process of their own.

use std::process::{Command, Stdio};

use crate::args::Measure;
use crate::failure::Failure;
use crate::results::Results;

/// Runs this program once more, and waits for what it has measured.
pub(crate) fn apart(suite: &[&str], measure: &Measure) -> Result<Results, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(suite).arg("--json").args(["--seconds", &measure.seconds.to_string()]);
    command.arg("--directory").arg(&measure.directory).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output()?;
    // Figures are printed even if operations failed: whoever has all of them judges.
    serde_json::from_slice(&output.stdout)
        .map_err(|_| Failure::Void(format!("`{}` ended without figures: {}", suite.join(" "), output.status)))
}
