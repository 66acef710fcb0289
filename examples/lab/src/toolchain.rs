//! What builds for microcontrollers.

use std::path::{Path, PathBuf};
use std::process::Command;

use kad_netns::run;

use crate::Result;

/// A toolchain with a target that has no operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// As rustup installs it, with the target.
    Rustup,
    /// Debian's, which brings the sources of `core`.
    Debian,
}

impl Toolchain {
    /// Finds what builds for a target, or says what is missing.
    pub fn find(target: &str) -> Result<Self> {
        let says = |rustc: &str, what: &str| {
            let output = run(clean(Command::new(rustc).args(["--target", target, "--print", what]))).ok()?;
            Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
        };
        if says("rustc", "target-libdir").is_some_and(|libraries| libraries.exists()) {
            return Ok(Self::Rustup);
        }
        let sources =
            says("/usr/bin/rustc", "sysroot").map(|sysroot| sysroot.join("lib/rustlib/src/rust/library/Cargo.lock"));
        if sources.is_some_and(|sources| sources.exists()) && Path::new("/usr/bin/cargo").exists() {
            return Ok(Self::Debian);
        }
        let debian = "the packages rustc-web, cargo-web, rust-web-src and lld";
        Err(format!("nothing builds for boards (`rustup target add {target}`, or Debian: {debian})"))
    }

    /// Its cargo, in a directory that has a `debian.toml` for Debian's.
    pub fn cargo(self, directory: &Path) -> Command {
        let mut command = match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian => Command::new("/usr/bin/cargo"),
        };
        if let Self::Debian = self {
            command.args(["--config", "debian.toml"]);
        }
        clean(&mut command);
        command.current_dir(directory);
        command
    }
}

/// Forgets what the cargo that runs the test has set, and what is meant for the host's programs.
fn clean(command: &mut Command) -> &mut Command {
    let kept = ["CARGO_HOME", "RUSTUP_HOME"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = ["CARGO", "RUST", "LD_LIBRARY_PATH", "SMOLTCP"].iter().any(|prefix| text.starts_with(prefix));
        let network = text.starts_with("CARGO_NET") || text.starts_with("CARGO_HTTP") || text.starts_with("CARGO_REG");
        if foreign && !network && !kept.contains(&&*text) {
            command.env_remove(name);
        }
    }
    command
}
