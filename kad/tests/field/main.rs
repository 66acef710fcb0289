//! What people hit when they run daemons: cases from the field, each as an operator meets it.
//!
//! One program for all of them, because linking costs more than running. `docs/troubleshooting.md` says what an operator sees.

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod answers;
mod command_line;
mod daemon;
mod host;
mod paths;
mod peers;
mod workers;
