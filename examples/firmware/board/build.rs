//! Writes the linker's memory map: the budgets of static RAM and of stack are regions of their own, so that the linker
//! refuses a firmware that exceeds them.

use std::path::PathBuf;
use std::{env, fs};

/// Static RAM (.data, .bss, .uninit) in KiB.
const RAM: (&str, u32) = ("KAD_RAM_KIB", 64);
/// Stack in KiB.
const STACK: (&str, u32) = ("KAD_STACK_KIB", 16);

fn main() {
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(directory.join("memory.x"), memory_map(kib(RAM), kib(STACK))).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", directory.display());
    println!("cargo::rerun-if-changed=build.rs");
}

fn kib((name, default): (&str, u32)) -> u32 {
    println!("cargo::rerun-if-env-changed={name}");
    match env::var(name) {
        Err(_) => default,
        Ok(value) => match value.parse() {
            Ok(kib @ 1..=2048) => kib,
            _ => panic!("{name}={value}: a number of KiB from 1 to 2048 is expected"),
        },
    }
}

/// The stack lies below the static RAM, at the start of the board's memory: a stack that overflows meets an address
/// where nothing is, and faults, instead of overwriting variables.
fn memory_map(ram: u32, stack: u32) -> String {
    format!(
        "MEMORY
{{
  FLASH : ORIGIN = 0x00000000, LENGTH = 1M
  STACK : ORIGIN = 0x20000000, LENGTH = {stack}K
  RAM   : ORIGIN = 0x20000000 + {stack}K, LENGTH = {ram}K
}}
_stack_end = ORIGIN(STACK);
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
"
    )
}
