#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod builder;
mod clock;
mod command;
mod dht;
mod error;
mod feed;
mod host;
mod outlet;
mod places;
mod reach;
mod recycled;
mod report;
mod socket;
mod supervisor;
mod tasks;
mod vault;
mod worker;

pub use builder::{Builder, WORKERS_MAX};
pub use clock::Clock;
pub use dht::{Dht, Find, FindAll, StoreMany, StoreOne};
pub use error::{Error, Gap, StartError};
pub use feed::{Copied, Events, Missed, NodeEvent, Purpose};
pub use reach::{Unreachable, resolve};
pub use report::{
    Copies, Duplicate, Held, HeldPage, Lookup, Peer, Pong, Receipt, Refused, SocketStats, Stats, Step, Value,
};
pub use socket::{SocketProbe, probe_sockets};
pub use supervisor::CloseReason;

pub use bytes::Bytes;
pub use kad_core::{Capacity, Config, Role, Walk};
pub use kad_store::{self as store, DiskError, DiskStore, Limits, MemoryStore, Moment, Store};
pub use kad_upkeep::UpkeepStats;
pub use kad_wire::{
    self as wire, Contact, DeleteLock, Digest, Endpoint, ItemStatus, ItemType, Key, NetworkId, NodeId, TypeMask,
};
