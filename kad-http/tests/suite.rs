//! The server, over real sockets and in a browser.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod browser;
mod common;

mod connections;
mod dashboard;
mod dashboard_looks;
mod guards;
mod openapi;
mod operations;
mod page;
mod values;
