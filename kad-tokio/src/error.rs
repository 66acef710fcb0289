//! What can go wrong, and whether trying again may help.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kad_core::ConfigError;
use kad_wire::ItemStatus;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is in use, not one of this host, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The recording cannot be written.
    #[error("cannot record to {}: {source}", file.display())]
    Record {
        /// The file, which must not exist.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store on disk cannot be opened.
    #[error("{0}")]
    Disk(#[from] kad_store::DiskError),
    /// A setting makes no sense.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A setting of the builder makes no sense.
    #[error("{0}")]
    Setting(&'static str),
    /// The system gave no thread, no randomness, or no runtime.
    #[error("the system refused a resource: {0}")]
    System(#[source] io::Error),
}

/// Why a call did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node was closed.
    #[error("the node is closed")]
    Closed,
    /// The call's deadline came first.
    #[error("nothing was decided before the deadline")]
    Timeout,
    /// Not one of the known nodes answered.
    #[error("no node of the network answers")]
    Unreachable,
    /// The value is larger than this node takes. Nothing was stored.
    #[error("the value has {len} bytes; at most {max} can be stored")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The lifetime is zero or longer than the network's longest, seven days. Nothing was stored.
    #[error("the lifetime must be at least a millisecond and at most seven days")]
    Lifetime,
    /// There are more values than a find takes in, or larger ones than this node takes. What came before is right.
    #[error("there are more values, or larger ones, than this node takes in")]
    Truncated,
    /// This node's own store does not take the value, which it must serve. Nothing was stored.
    #[error("this node's own store does not take the value: {0:?}")]
    Refused(ItemStatus),
    /// This node's own store could not write down what was asked for, so it was not done.
    #[error("this node's own store could not write it")]
    NotDurable,
}

impl Error {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Unreachable | Self::NotDurable | Self::Refused(ItemStatus::Full | ItemStatus::Busy)
        )
    }
}
