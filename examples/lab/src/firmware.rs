//! Building firmware.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::elf::{self, Sizes};
use crate::process::run;

const TARGET: &str = "thumbv7em-none-eabihf";

/// A firmware that was built.
#[derive(Debug, Clone)]
pub struct Firmware {
    elf: PathBuf,
}

impl Firmware {
    /// Builds an application of `examples/firmware` with so much static RAM; fails if it does not fit.
    pub fn build(application: &str, ram_kib: u32) -> Result<Self> {
        let directory = directory();
        let built = directory.join("target").join(TARGET).join("release").join(application);
        let elf = directory.join("target/lab").join(format!("{application}-{ram_kib}"));
        let fail = |error: std::io::Error| format!("{}: {error}", elf.display());
        fs::create_dir_all(directory.join("target/lab")).map_err(fail)?;
        // Tests run at the same time, and every build leaves its result at the same place.
        let lock = File::create(directory.join("target/lab/lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let mut cargo = toolchain()?.cargo(&directory);
        cargo.args(["build", "--locked", "--release", "--bin", application]).env("KAD_RAM_KIB", ram_kib.to_string());
        run(&mut cargo)?;
        // In one step, as the file may be in use.
        fs::copy(&built, elf.with_extension("new")).map_err(fail)?;
        fs::rename(elf.with_extension("new"), &elf).map_err(fail)?;
        Ok(Self { elf })
    }

    /// The ELF file.
    pub fn elf(&self) -> &Path {
        &self.elf
    }

    /// The memory that the firmware takes.
    pub fn sizes(&self) -> Result<Sizes> {
        elf::sizes(&fs::read(&self.elf).map_err(|error| error.to_string())?)
    }
}

fn directory() -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the lab is among the examples");
    examples.join("firmware")
}

/// What builds for the boards.
pub(crate) enum Toolchain {
    /// As rustup installs it, with the boards' target.
    Rustup,
    /// Debian's, which brings the sources of `core`.
    Debian,
}

/// Finds what builds for the boards, or says what is missing.
pub(crate) fn toolchain() -> Result<Toolchain> {
    let says = |rustc: &str, what: &str| {
        let output = run(clean(Command::new(rustc).args(["--target", TARGET, "--print", what]))).ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    if says("rustc", "target-libdir").is_some_and(|libraries| libraries.exists()) {
        return Ok(Toolchain::Rustup);
    }
    let sources =
        says("/usr/bin/rustc", "sysroot").map(|sysroot| sysroot.join("lib/rustlib/src/rust/library/Cargo.lock"));
    if sources.is_some_and(|sources| sources.exists()) && Path::new("/usr/bin/cargo").exists() {
        return Ok(Toolchain::Debian);
    }
    let debian = "the packages rustc-web, cargo-web, rust-web-src and lld";
    Err(format!("nothing builds for boards (`rustup target add {TARGET}`, or Debian: {debian})"))
}

impl Toolchain {
    fn cargo(&self, directory: &Path) -> Command {
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
        let foreign = ["CARGO", "RUST", "LD_LIBRARY_PATH"].iter().any(|prefix| text.starts_with(prefix));
        let network = text.starts_with("CARGO_NET") || text.starts_with("CARGO_HTTP") || text.starts_with("CARGO_REG");
        if foreign && !network && !kept.contains(&&*text) {
            command.env_remove(name);
        }
    }
    command
}
