#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod api;
mod body;
mod dashboard;
mod durable;
mod events;
mod form;
mod gateway;
mod guard;
mod health;
mod help;
mod locks;
mod metrics;
mod negotiation;
pub mod operations;
mod problem;
mod request;
mod router;
mod server;
mod settings;
mod state;
mod stores;
mod trace;
mod views;

pub use server::{Handle, Server};
pub use settings::{Changeable, Settings};

/// The description of everything that is served, as OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("../openapi.json");
