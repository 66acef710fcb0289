//! How much memory boards need: measured, and compared with a table in the documentation.

mod elf;
mod stack;
mod table;

use std::path::PathBuf;
use std::process::Command;

use kad_lab::{Firmware, Toolchain};

use crate::chores::root;
use crate::requirements::left_out;
use elf::Sizes;
use table::{Row, Table};

/// Profiles, and how many KiB of static RAM a firmware with one has.
const PROFILES: [(&str, u32); 4] = [("client_16", 16), ("node_32", 32), ("node_64", 64), ("node_128", 128)];
/// What `examples/firmware` is built for.
const BOARD: &str = "thumbv7em-none-eabihf";
/// What `footprint` is built for: cores of three kinds.
const TARGETS: [&str; 3] = [BOARD, "thumbv6m-none-eabi", "riscv32imac-unknown-none-elf"];

/// Measures, and compares or writes the table.
pub(crate) fn footprint() -> Result<(), String> {
    let update = match std::env::args().nth(2).as_deref() {
        None => false,
        Some("--update") => true,
        Some(other) => return Err(format!("footprint: `{other}`: only --update is known")),
    };
    let missing: Vec<_> = TARGETS.iter().filter_map(|target| Toolchain::find(target).err()).collect();
    if !missing.is_empty() {
        return left_out("footprint", &missing.join("; "));
    }
    let measured = measure()?;
    print!("{}", measured.rows());
    if update {
        return measured.save();
    }
    let grown = Table::load()?.compare(&measured);
    if grown.is_empty() { Ok(()) } else { Err(format!("footprint: {}", grown.join("; "))) }
}

fn measure() -> Result<Table, String> {
    let mut rows = Vec::new();
    let mut firmware = Vec::new();
    for (profile, ram_kib) in PROFILES {
        eprintln!("--- firmware {profile} in {ram_kib} KiB");
        firmware.push(Firmware::build(profile, ram_kib)?);
    }
    let peer = &firmware[2];
    for ((profile, _), firmware) in PROFILES.iter().zip(&firmware) {
        eprintln!("--- stack of {profile}");
        let stack = stack::deepest(profile, firmware.elf(), peer.elf())?;
        rows.push(Row::new("firmware", BOARD, profile, &Sizes::of(firmware.elf())?, stack));
    }
    for target in TARGETS {
        let programs = build(target)?;
        for (profile, _) in PROFILES {
            rows.push(Row::new("node alone", target, profile, &Sizes::of(&programs.join(profile))?, None));
        }
    }
    Ok(Table(rows))
}

/// Builds the programs of `footprint` for a target, and says where they are.
fn build(target: &str) -> Result<PathBuf, String> {
    eprintln!("--- footprint for {target}");
    let directory = root().join("footprint");
    let mut cargo: Command = Toolchain::find(target)?.cargo(&directory);
    let output = cargo.args(["build", "--locked", "--release", "--bins", "--target", target]).output();
    let output = output.map_err(|error| format!("{cargo:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{cargo:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(directory.join("target").join(target).join("release"))
}
