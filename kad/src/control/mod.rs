//! The control interface: how commands reach a running daemon. HTTP on loopback, with a token that only the daemon's user
//! can read.

pub(crate) mod client;
pub(crate) mod server;
