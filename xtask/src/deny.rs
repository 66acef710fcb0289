//! What this project stands on: licences, sources, releases that were taken back, known vulnerabilities.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::chores::{cargo, root};

/// Checks all dependencies.
pub(crate) fn deny() -> Result<(), String> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // It waits for others most of the time: optimised it would take four times as long to build.
        cargo(&["install", "--locked", "--debug", "cargo-deny"])?;
    }
    cargo(&["deny", "check", "licenses", "bans", "sources"])?;
    // What was taken back since this machine has looked last.
    cargo(&["update", "--quiet", "--dry-run"])?;
    match cargo(&["deny", "fetch", "db"]) {
        Ok(()) => cargo(&["deny", "--offline", "check", "advisories"]),
        Err(error) => {
            taken_back()?;
            unknown(&error)
        }
    }
}

/// The database of vulnerabilities is a repository on GitHub, which not every machine reaches; registries have no copy.
fn unknown(error: &str) -> Result<(), String> {
    let required = std::env::var("KAD_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == "advisories") {
        return Err(format!("the database of vulnerabilities cannot be had: {error}"));
    }
    eprintln!(
        "\nleft out: VULNERABILITIES AND ABANDONED CRATES ARE NOT CHECKED: their database (RustSec) cannot be reached."
    );
    eprintln!("Where it can: cargo xtask deny; with KAD_REQUIRE=advisories in the environment it is a failure if not.");
    Ok(())
}

/// Releases that were taken back ("yanked") are in the registry's own index. cargo-deny looks there only when it has a database
/// of vulnerabilities: here one that is empty.
fn taken_back() -> Result<(), String> {
    let directory = root().join("target/deny");
    let fail = |error: std::io::Error| format!("{}: {error}", directory.display());
    let empty = directory.join("empty");
    if !empty.join(".git").exists() {
        fs::create_dir_all(empty.join("crates")).map_err(fail)?;
        fs::write(empty.join("crates/README"), "Nothing is known.\n").map_err(fail)?;
        git(&empty, &["init", "--quiet", "--initial-branch=main"])?;
        git(&empty, &["add", "."])?;
        git(
            &empty,
            &["-c", "user.name=xtask", "-c", "user.email=xtask@localhost", "commit", "--quiet", "-m", "Nothing"],
        )?;
    }
    let directory = directory.canonicalize().map_err(fail)?;
    let config = directory.join("deny.toml");
    let (url, path) = (format!("file://{}/empty", directory.display()), directory.display());
    let text = format!(
        "[graph]\nall-features = true\n[advisories]\nyanked = \"deny\"\ndb-path = '{path}'\ndb-urls = ['{url}']\n"
    );
    fs::write(&config, text).map_err(fail)?;
    cargo(&["deny", "--config", &config.to_string_lossy(), "check", "advisories"])
}

fn git(directory: &Path, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("git").current_dir(directory).args(arguments).status();
    match status.map_err(|error| format!("git: {error}"))?.success() {
        true => Ok(()),
        false => Err(format!("git {}", arguments.join(" "))),
    }
}
