#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod call;
mod driver;
mod error;
mod exchange;
mod joining;
mod leaving;
mod memory;
mod newcomers;
mod regions;
mod report;
mod role;
mod serve;
mod upkeep;

pub use call::{CallSlot, Notify, Outcome, Request, VALUES_PER_FIND};
pub use driver::Driver;
pub use error::Error;
pub use exchange::{Exchange, Link, Sent};
pub use joining::Joining;
pub use memory::NodeMemory;
pub use regions::regions;
pub use report::{Copies, Found, Pong, Receipt, StoreOptions, lifetime_ms};
pub use role::{FullNode, JOIN_LIMIT, Joined, Next, Role, Visitor};
pub use serve::{Aside, Response, Shelves, copy_part, next_transmit, receive};
pub use upkeep::{Upkeep, UpkeepStats};
