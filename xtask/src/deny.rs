//! What this project stands on: licences, sources, releases that were taken back, known vulnerabilities.

use std::process::Command;

use crate::chores::cargo;

/// Checks all dependencies.
pub(crate) fn deny() -> Result<(), String> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // It waits for others most of the time: optimised it would take four times as long to build.
        cargo(&["install", "--locked", "--debug", "cargo-deny"])?;
    }
    cargo(&["deny", "check", "licenses", "bans", "sources"])?;
    match cargo(&["deny", "fetch", "db"]) {
        Ok(()) => cargo(&["deny", "--offline", "check", "advisories"]),
        Err(error) => unknown(&error),
    }
}

/// The database of vulnerabilities is a repository on GitHub, which not every machine reaches; registries have no copy.
fn unknown(error: &str) -> Result<(), String> {
    let required = std::env::var("KAD_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == "advisories") {
        return Err(format!("the database of vulnerabilities cannot be had: {error}"));
    }
    eprintln!(
        "\nleft out: VULNERABLE, ABANDONED AND YANKED CRATES ARE NOT CHECKED: their database (RustSec) cannot be reached."
    );
    eprintln!("Where it can: cargo xtask deny; with KAD_REQUIRE=advisories in the environment it is a failure if not.");
    Ok(())
}
