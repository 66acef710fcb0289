#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod dice;
mod member;
mod network;
mod queue;
mod trace;
mod world;

pub use clock::Clock;
pub use dice::Dice;
pub use member::{Member, Outcome};
pub use network::{Bursts, Delay, Link, Network, PartsPerMillion, REGIONS, Uplink};
pub use trace::Trace;
pub use world::{Sent, Settings, Step, World};
