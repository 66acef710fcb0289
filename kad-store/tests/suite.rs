//! All stores.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod mock;

mod conformance;
mod disk;
mod disk_kill;
mod flash_power;
mod flash_rules;
mod flash_wear;
mod properties;
