//! Nodes on real sockets.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod common;

mod burst;
mod calls;
mod deletes;
mod durable;
mod host;
mod networks;
mod recording;
mod values;
mod watching;
mod workers;
