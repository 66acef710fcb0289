//! What the chores do.

use std::ffi::OsStr;
use std::iter::once;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// All packages, with features that can be had together: what they stand on is built once, for lints, tests and all. Not among
/// them are the other implementations that kad-bench can be compared with, which would double what is built.
const ALL: [&str; 3] = ["--workspace", "--features", "kad/otlp,kad-embassy/proto-ipv6,kad-embassy/log"];
/// defmt needs a linker script of its own: with it the crate is only looked at.
const LOOKED_AT: [&str; 2] = ["--features", "kad-embassy/defmt"];

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program of this toolchain in the repository, or says what failed.
fn run(name: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Result<(), String> {
    run_command(Command::new(name).args(arguments).envs(environment.iter().copied()).current_dir(root()))
}

/// Runs a command, or says what failed.
pub(crate) fn run_command(command: &mut Command) -> Result<(), String> {
    let words: Vec<_> = once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let words = words.join(" ");
    eprintln!("\n--- {words}");
    let start = Instant::now();
    let status = command.status().map_err(|error| format!("{words}: {error}"))?;
    if !status.success() {
        return Err(format!("{words}: {status}"));
    }
    eprintln!("--- done in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    run("cargo", &[], arguments)
}

/// Everything that a change must pass.
pub(crate) fn test() -> Result<(), String> {
    format()?;
    let looked_at = [&ALL[..], &LOOKED_AT].concat();
    cargo(&[&["clippy"], &looked_at[..], &["--all-targets", "--", "--deny", "warnings"]].concat())?;
    // Tests of one package that run programs of another find them where this program is: they are built first, with all else.
    let programs = std::env::current_exe().map_err(|error| error.to_string())?;
    let programs = programs.parent().unwrap_or(&programs).to_string_lossy();
    run("cargo", &[("KAD_PROGRAMS", &programs)], &[&["test"], &ALL[..]].concat())?;
    run("cargo", &[("RUSTDOCFLAGS", "--deny warnings")], &[&["doc", "--no-deps"], &looked_at[..]].concat())?;
    regressions()?;
    firmware()?;
    gate()
}

/// The workspace, and those that are workspaces of their own.
fn format() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    for manifest in ["fuzz/Cargo.toml", "gate/Cargo.toml", "footprint/Cargo.toml", "examples/firmware/Cargo.toml"] {
        cargo(&["fmt", "--manifest-path", manifest, "--all", "--check"])?;
    }
    Ok(())
}

/// What of the firmware needs no toolchain for its boards. It is a workspace of its own, and is built and run by the tests
/// of kad-lab, where there is such a toolchain.
fn firmware() -> Result<(), String> {
    let manifest = ["--manifest-path", "examples/firmware/Cargo.toml"];
    let board = ["--package", "kad-board-mps2"];
    cargo(&[&["clippy"], &manifest[..], &board, &["--all-targets", "--", "--deny", "warnings"]].concat())?;
    cargo(&[&["test"], &manifest[..], &board].concat())
}

/// What the fuzzers found once must not come back. Their crate is a workspace of its own, so it is looked at by itself.
fn regressions() -> Result<(), String> {
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    cargo(&[&["clippy"], &manifest[..], &["--all-targets", "--", "--deny", "warnings"]].concat())?;
    cargo(&[&["test"], &manifest[..]].concat())
}

/// Links a program without std whose panic handler does not exist: the linker finds it missing if any panic can be reached.
/// At two optimisation levels, because the proof is the optimiser's.
pub(crate) fn gate() -> Result<(), String> {
    let target = host()?;
    for level in ["3", "s"] {
        let flags = "-C link-arg=-nostartfiles -C link-arg=-lc -C relocation-model=static";
        let environment = [("CARGO_PROFILE_RELEASE_OPT_LEVEL", level), ("RUSTFLAGS", flags)];
        run("cargo", &environment, &["build", "--release", "--manifest-path", "gate/Cargo.toml", "--target", &target])?;
    }
    // The control: with a panic that can be reached, the same program must not link.
    eprintln!("\n--- the control, which must not link");
    let control = Command::new("cargo")
        .args(["build", "--release", "--manifest-path", "gate/Cargo.toml", "--target", &target])
        .args(["--features", "control"])
        .env("RUSTFLAGS", "-C link-arg=-nostartfiles -C link-arg=-lc -C relocation-model=static")
        .current_dir(root())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&control.stderr);
    if control.status.success() || !said.contains("a_panic_can_be_reached") {
        return Err(format!("the gate does not notice a panic: {said}"));
    }
    eprintln!("--- it does not");
    Ok(())
}

/// Every scenario of the simulator at its own size, and five hundred small networks of all shapes.
pub(crate) fn sim() -> Result<(), String> {
    let kad_sim = ["run", "--release", "-p", "kad-sim", "--"];
    cargo(&[&kad_sim[..], &["check"]].concat())?;
    cargo(&[&kad_sim[..], &["soak", "--seeds", "500"]].concat())
}

/// The triple of this machine's toolchain.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not name its host".into())
}
