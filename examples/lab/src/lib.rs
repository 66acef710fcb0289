//! A network on this machine, for tests: emulated boards, daemons, and the test's own sockets, each at an address of its
//! own, joined by a bridge.
//!
//! ```no_run
//! # fn main() -> kad_lab::Result<()> {
//! if !kad_lab::available() {
//!     return Ok(());
//! }
//! let firmware = kad_lab::Firmware::build("echo", 32)?;
//! let lab = kad_lab::Lab::start()?;
//! let host = lab.host("test", &["10.77.0.1/24"])?;
//! let mut board = lab.board(&firmware, &["ip=10.77.0.11/24", "seed=01", "port=7"])?;
//! board.wait_for("ready", std::time::Duration::from_secs(10))?;
//! host.udp("10.77.0.1:0")?.send_to(b"hello", "10.77.0.11:7").map_err(|error| error.to_string())?;
//! # Ok(())
//! # }
//! ```
//!
//! The network is made of Linux network namespaces, which takes root. Nothing of it outlives the process that made it.

mod board;
mod daemon;
mod dhcp;
mod elf;
mod firmware;
mod network;
mod requirements;
mod tap;
mod toolchain;

pub use board::Board;
pub use daemon::{Daemon, kad_program, program};
pub use dhcp::dhcp_server;
pub use elf::Sizes;
pub use firmware::Firmware;
pub use kad_netns::{Host, Process, is_required};
pub use network::Lab;
pub use requirements::available;
pub use tap::Tap;
pub use toolchain::Toolchain;

/// What went wrong, in words.
pub type Result<T> = std::result::Result<T, String>;
