#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod dice;
mod enemy;
mod member;
mod network;
mod oracle;
mod plot;
mod queue;
mod run;
mod scenarios;
mod soak;
mod tally;
mod trace;
mod world;

pub use clock::Clock;
pub use dice::Dice;
pub use enemy::{Enemy, Scheme};
pub use member::{Member, Outcome};
pub use network::{Bursts, Delay, Link, Narrow, Network, PartsPerMillion, REGIONS, Uplink};
pub use oracle::{Oracle, Published, value};
pub use plot::plot;
pub use run::{Action, Churn, Run, Workload};
pub use scenarios::{Options, SCENARIOS, Scenario, Stage, capacity, play, scenario, settings};
pub use soak::soak;
pub use tally::{Report, Series, Tally, share};
pub use trace::Trace;
pub use world::{Sent, Settings, Step, World};
