//! Networks in virtual time.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod answers;
mod attacks;
mod determinism;
mod duplicates;
mod lifetimes;
mod lookups;
mod paths;
mod peers;
mod scenarios;
mod small;
mod transfers;
mod upkeep;
mod values;
