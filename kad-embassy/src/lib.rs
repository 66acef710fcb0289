#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod calls;
mod client;
mod duties;
mod error;
mod exchange;
mod handle;
mod home;
mod logs;
mod net;
mod report;
mod runner;
mod space;

pub use calls::{CallSlot, VALUES_PER_FIND};
pub use client::{Client, Cost, Limit};
pub use duties::BOOTSTRAP;
pub use embassy_net::udp::PacketMetadata;
pub use error::{Error, StartError};
pub use handle::Dht;
pub use net::{HeldDatagram, LinkStats, NeighbourDriver, Neighbours, held_len};
pub use report::{Copies, Found, Pong, Receipt, StoreOptions};
pub use runner::{Options, Parts, Runner, start};
pub use space::{Buffers, DATAGRAM, HELD, Place};
pub use static_cell::StaticCell;
