//! A short run of every fuzz target. What they do and what to do with a finding: `fuzz/README.md`.

use std::process::Command;

use crate::chores::{cargo, root, run_command};
use crate::requirements::{is_installed, left_out};

/// Each target with its longest input, in bytes: longer ones are slower and find nothing that short ones do not.
const TARGETS: [(&str, usize); 5] =
    [("decode", 1300), ("node", 160), ("transfers", 400), ("stores", 256), ("recording", 1024)];

/// How long a target is run unless the command line says otherwise.
const SECONDS: u64 = 30;

/// The mistakes looked for are broken promises, not broken memory: the crates forbid `unsafe`. Comparisons are not traced,
/// which is most of the time otherwise and helps little with inputs that are lists of steps.
const FLAGS: [&str; 3] = ["-s", "none", "--no-trace-compares"];

/// Runs each target for a while.
pub(crate) fn fuzz() -> Result<(), String> {
    let seconds = match std::env::args().nth(2) {
        Some(text) => text.parse().map_err(|_| format!("not a number of seconds: {text}"))?,
        None => SECONDS,
    };
    if !["c++", "g++", "clang++"].into_iter().any(is_installed) {
        return left_out("fuzz", "libFuzzer takes a C++ compiler (Debian: g++)");
    }
    if !Command::new("cargo").args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success()) {
        cargo(&["install", "--locked", "--debug", "cargo-fuzz"])?;
    }
    for (target, longest) in TARGETS {
        let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        std::fs::create_dir_all(root().join(&corpus)).map_err(|error| format!("{corpus}: {error}"))?;
        let (time, longest) = (format!("-max_total_time={seconds}"), format!("-max_len={longest}"));
        let mut command = Command::new("cargo");
        // Coverage is an unstable feature of rustc, of which this is enough: no other toolchain is needed.
        command.current_dir(root()).env("RUSTC_BOOTSTRAP", "1");
        command.args(["fuzz", "run"]).args(FLAGS).args([target, &corpus, &seeds, "--"]);
        command.args([&time, &longest, "-len_control=0", "-timeout=20", "-print_final_stats=1"]);
        run_command(&mut command)?;
    }
    Ok(())
}
