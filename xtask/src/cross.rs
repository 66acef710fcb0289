//! The program for other systems: checked, built, and run where that is possible.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use kad_lab::Toolchain;

use crate::chores::{root, run_command};
use crate::requirements::{is_installed, left_out};

/// The library and the program.
const PACKAGES: [&str; 4] = ["-p", "kad-tokio", "-p", "kad"];
const MACOS: &str = "aarch64-apple-darwin";
const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
/// What the program is asked to do: a network of five nodes, which checks itself.
const RUN: [&str; 4] = ["dev", "--nodes", "5", "--once"];

/// Checks for macOS; builds for Windows and runs that under Wine; builds a program that is linked with nothing, and runs it.
pub(crate) fn cross() -> Result<(), String> {
    macos()?;
    windows()?;
    musl()
}

/// Nothing here runs a program for macOS, or links one: that takes Apple's libraries.
fn macos() -> Result<(), String> {
    match Toolchain::find(MACOS) {
        Err(missing) => left_out("cross", &format!("macOS: {missing}")),
        Ok(tools) => cargo(tools, "check", MACOS, &[]),
    }
}

fn windows() -> Result<(), String> {
    let tools = match Toolchain::find(WINDOWS) {
        Err(missing) => return left_out("cross", &format!("Windows: {missing}")),
        Ok(tools) => tools,
    };
    let linker = "x86_64-w64-mingw32-gcc";
    if !is_installed(linker) {
        left_out("cross", &format!("linking for Windows: `{linker}` (Debian: gcc-mingw-w64-x86-64-posix)"))?;
        return cargo(tools, "check", WINDOWS, &[]);
    }
    cargo(tools, "build", WINDOWS, &[])?;
    let Some(wine) = wine() else {
        return left_out("cross", "running the program for Windows: `wine` is not installed (Debian: wine64)");
    };
    let prefix = target().join("wine");
    fs::create_dir_all(&prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
    // It is to start neither a desktop nor its own browser and runtime, and to say nothing of what it lacks for them.
    let mut command = Command::new(wine);
    command.env("WINEPREFIX", prefix).env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "mscoree,mshtml=");
    run_command(command.arg(program(WINDOWS, "kad.exe")).args(RUN))
}

/// Debian has the program where no path leads.
fn wine() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/lib/wine/wine64");
    ["wine64", "wine"]
        .into_iter()
        .find(|name| is_installed(name))
        .map(PathBuf::from)
        .or(debian.exists().then_some(debian))
}

fn musl() -> Result<(), String> {
    let tools = match Toolchain::find(MUSL) {
        Err(missing) => return left_out("cross", &format!("musl: {missing}")),
        Ok(tools) => tools,
    };
    let mut flags = Vec::new();
    if tools == Toolchain::Debian {
        if !is_installed("musl-gcc") {
            return left_out("cross", "musl: `musl-gcc` is not installed (Debian: musl-tools)");
        }
        flags = vec!["--config".to_owned(), format!("target.{MUSL}.rustflags=['-L', '{}']", unwinder()?.display())];
    }
    cargo(tools, "build", MUSL, &flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    let program = program(MUSL, "kad");
    is_static(&program)?;
    run_command(Command::new(program).args(RUN))
}

/// A directory with GCC's unwinder, under the name by which Rust asks for LLVM's.
fn unwinder() -> Result<PathBuf, String> {
    let found =
        Command::new("gcc").arg("-print-file-name=libgcc_eh.a").output().map_err(|error| format!("gcc: {error}"))?;
    let found = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    let directory = target().join("unwinder");
    let link = directory.join("libunwind.a");
    let made = fs::create_dir_all(&directory).and_then(|()| match link.exists() {
        true => Ok(()),
        false => symlink(&found, &link),
    });
    made.map_err(|error| format!("{}: {error}", link.display()))?;
    Ok(directory)
}

/// A program that is linked with nothing names no interpreter, which would find what it is linked with.
fn is_static(program: &Path) -> Result<(), String> {
    use object::{Object as _, ObjectSection as _};
    let bytes = fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    let file = object::File::parse(&*bytes).map_err(|error| format!("{}: {error}", program.display()))?;
    match file.sections().any(|section| section.name() == Ok(".interp")) {
        true => Err(format!("{} is not static", program.display())),
        false => Ok(()),
    }
}

fn cargo(tools: Toolchain, what: &str, target: &str, more: &[&str]) -> Result<(), String> {
    let mut cargo = tools.cargo(&root().join("xtask"));
    cargo.env("CARGO_TARGET_DIR", self::target());
    run_command(cargo.args(more).args([what, "--locked", "--target", target]).args(PACKAGES))
}

/// Apart from what this machine's own toolchain builds.
fn target() -> PathBuf {
    root().join("target/cross")
}

fn program(target: &str, name: &str) -> PathBuf {
    self::target().join(target).join("debug").join(name)
}
