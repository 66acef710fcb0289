//! The project's chores. `cargo xtask` lists them.

mod chores;
mod cross;
mod deny;
mod footprint;
mod fuzz;
mod instructions;
mod requirements;
#[cfg(test)]
mod suites;

use std::process::ExitCode;

/// A chore: its name, what it does, and how.
type Chore = (&'static str, &'static str, fn() -> Result<(), String>);

const CHORES: [Chore; 8] = [
    (
        "test",
        "everything that a change must pass: format, lints, tests, documentation, former findings, the panic-free gate",
        chores::test,
    ),
    (
        "gate",
        "only the gate: kad-wire and kad-core link without std, without an allocator and without a panic",
        chores::gate,
    ),
    ("sim", "every scenario of the simulator at its own size, and five hundred small networks", chores::sim),
    (
        "fuzz",
        "every fuzz target for 30 seconds, or as many as are given: `cargo xtask fuzz 600` (needs a C++ compiler)",
        fuzz::fuzz,
    ),
    (
        "footprint",
        "how much memory boards need, compared with docs/footprint.md, which `cargo xtask footprint --update` writes anew \
         (needs a toolchain for boards and QEMU)",
        footprint::footprint,
    ),
    (
        "instructions",
        "how many instructions the core's hot paths take, compared with docs/instructions.md, which `cargo xtask instructions \
         --update` writes anew (needs valgrind)",
        instructions::instructions,
    ),
    (
        "cross",
        "the program for other systems: checked for macOS, built for Windows and run under Wine, built without shared \
         libraries (musl) and run",
        cross::cross,
    ),
    (
        "deny",
        "licences and sources of all dependencies, releases that were taken back, known vulnerabilities",
        deny::deny,
    ),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((_, _, run)) = CHORES.iter().find(|(known, _, _)| *known == name) else {
        eprintln!("usage: cargo xtask CHORE\n");
        for (name, what, _) in CHORES {
            eprintln!("  {name:<12} {what}");
        }
        return ExitCode::from(2);
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
