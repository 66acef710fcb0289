#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod error;
mod handle;
mod logs;
mod net;
mod runner;
mod shared;
mod space;

pub use client::{Client, Cost, Limit};
pub use embassy_net::udp::PacketMetadata;
pub use error::{Error, StartError};
pub use handle::Dht;
pub use kad_upkeep::{Copies, Found, Notify, Pong, Receipt, StoreOptions, VALUES_PER_FIND};
pub use net::{HeldDatagram, LinkStats, NeighbourDriver, Neighbours, held_len};
pub use runner::{Options, Parts, Runner, start};
pub use shared::{BOOTSTRAP, CallSlot, CallWaker};
pub use space::{Buffers, DATAGRAM, HELD, Place};
pub use static_cell::StaticCell;
