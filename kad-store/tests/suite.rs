//! The tests of all stores, in one program, because linking takes longer than running. Add a new test file here.

mod mock;

mod conformance;
mod disk;
mod disk_kill;
mod flash_power;
mod flash_rules;
mod flash_wear;
mod properties;
