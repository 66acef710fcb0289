//! What can go wrong.

use kad_core::ConfigError;

pub use kad_upkeep::Error;

/// Why a node could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting makes no sense, or does not fit the memory.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The port is in use, or 0.
    #[error("the port is in use, or 0")]
    Port,
    /// A buffer is too small: the datagram buffer must hold the largest datagram that the node takes or sends, the socket's
    /// buffers one each, and there must be a place for a call.
    #[error("a buffer is too small")]
    Buffers,
    /// The network stack was not made with [`Neighbours::driver`](crate::Neighbours::driver).
    #[error("the network stack was not made with Neighbours::driver")]
    Neighbours,
}
