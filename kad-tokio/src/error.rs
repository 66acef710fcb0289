//! What can go wrong, and whether trying again may help.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kad_core::ConfigError;
use kad_wire::ItemStatus;

use crate::report::Receipt;

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
    /// Too many calls are under way at this node: this one got no place before its deadline. Nothing was asked of other nodes.
    #[error("too many calls are under way at this node")]
    Busy,
    /// Fewer other nodes hold a value than was asked for. It is in this node's own store and is published: the receipts, one
    /// for each value of the call, say who holds it now.
    #[error("{}", too_few(receipts))]
    TooFewCopies {
        /// What was achieved, in the order of the values. [`Receipt::reached`] tells which have enough.
        receipts: Vec<Receipt>,
    },
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
    /// A value may exist that did not come: a node announced it and it could not be fetched, or too few of the nodes that may
    /// have it answered. What came before is right.
    #[error("{0}")]
    Incomplete(Gap),
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

/// What is missing from an incomplete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Nodes nearest to the key that are known, k at the most.
    pub nearest: usize,
    /// Of these, those that answered.
    pub answered: usize,
    /// Values that nodes announced and that could not be fetched from them. If this is 0, too few of the nearest answered.
    pub unfetched: usize,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nearest, answered, unfetched } = self;
        match unfetched {
            0 => write!(f, "only {answered} of the {nearest} nearest nodes answered: another may have a value"),
            1 => f.write_str("another node has a value that could not be fetched from it"),
            _ => write!(f, "other nodes have {unfetched} values that could not be fetched from them"),
        }
    }
}

impl Error {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Busy
                | Self::TooFewCopies { .. }
                | Self::Unreachable
                | Self::Incomplete(_)
                | Self::NotDurable
                | Self::Refused(ItemStatus::Full | ItemStatus::Busy)
        )
    }
}

fn too_few(receipts: &[Receipt]) -> String {
    match receipts {
        [receipt] => format!(
            "{} other nodes hold the value, fewer than asked for ({} refused, {} did not answer)",
            receipt.elsewhere,
            receipt.refused.len(),
            receipt.silent.len()
        ),
        _ => {
            let failed = receipts.iter().filter(|receipt| !receipt.reached).count();
            format!("{failed} of {} values are held by fewer other nodes than asked for", receipts.len())
        }
    }
}
