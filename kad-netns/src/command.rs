//! Programs of the system that are run to their end.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::{Error, Result};

/// Runs a program to its end, which must be a success.
///
/// # Errors
/// The system does not start it, or it fails.
pub fn run(command: &mut Command) -> Result<Output> {
    run_with(command, "")
}

/// The same with this text as standard input.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Result<Output> {
    let called = format!("{command:?}");
    let fail = || Error::system(called.clone());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(fail())?;
    if let Some(mut stdin) = child.stdin.take()
        && !input.is_empty()
    {
        stdin.write_all(input.as_bytes()).map_err(fail())?;
    }
    let output = child.wait_with_output().map_err(fail())?;
    if output.status.success() {
        return Ok(output);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: called, status: output.status, message })
}

/// Runs `ip` with these arguments in a network namespace.
///
/// # Errors
/// As for [`run`].
pub fn ip_in(namespace: &str, arguments: &[&str]) -> Result<()> {
    ip(&[&["-netns", namespace], arguments].concat())
}

pub(crate) fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
