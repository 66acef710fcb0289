//! Nodes on a wire, step by step.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod bench;

mod addresses;
mod batches;
mod hostile;
mod paths;
mod properties;
