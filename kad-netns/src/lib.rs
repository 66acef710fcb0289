//! A virtual network on this machine: hosts with addresses of their own, joined by a bridge, which loses, delays and cuts
//! off what it is told to.
//!
//! ```no_run
//! # #[cfg(target_os = "linux")]
//! # fn main() -> Result<(), kad_netns::Error> {
//! use kad_netns::Network;
//!
//! let network = Network::start()?;
//! let a = network.host("a", &["10.77.0.1/24"])?;
//! let b = network.host("b", &["10.77.0.2/24"])?;
//! a.run("ping", &["-c", "1", "10.77.0.2"])?;
//! network.lose(100)?;
//! network.partition(&[&[&a], &[&b]])?;
//! network.heal()?;
//! # Ok(())
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```
//!
//! The hosts are Linux network namespaces, which takes root, iproute2 and nftables. Nothing of the network outlives the
//! process that made it, in whatever way that ends. On other systems this crate is empty.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod command;
mod error;
mod faults;
mod host;
mod network;
mod process;
mod requirements;

pub use command::{ip_in, run};
pub use error::Error;
pub use host::Host;
pub use network::Network;
pub use process::Process;
pub use requirements::{is_installed, is_possible, is_required, left_out, missing};

/// What this crate's functions answer with.
pub type Result<T> = std::result::Result<T, Error>;
