//! The program, as those who run it use it.
//!
//! One program for all of them: linking costs more than running. A test of one's own goes into one of these files, or a new one with a
//! line here.

mod common;

mod bulk;
mod commands;
mod daemon;
mod deploy;
mod failures;
mod gateway;
mod service;
mod settings;
mod terminal;
mod tools;
mod traces;
mod tutorial;
