#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod dice;
mod member;
mod network;
mod world;

pub use dice::Dice;
pub use member::{Member, Outcome};
pub use network::{Network, PartsPerMillion};
pub use world::{Sent, Settings, World};
