//! What can go wrong, and whether trying again may help.

use kad_wire::ItemStatus;

use crate::report::Receipt;

/// Why a call did not do what it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Every place for a call is taken: wait for another call to end, or give the node more.
    #[error("every place for a call is taken")]
    Busy,
    /// The node is leaving, or has left.
    #[error("the node is closed")]
    Closed,
    /// The deadline came first.
    #[error("timed out")]
    Timeout,
    /// Fewer other nodes hold the value than was asked for: the receipt says how many. If this node keeps what it stores, the
    /// value is in its store and is republished; what the store began goes on.
    #[error("{} other nodes hold the value, fewer than asked for", .0.elsewhere)]
    TooFewCopies(Receipt),
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
    /// A value may exist that did not come: a node announced it and it could not be fetched, or fewer than half of the nodes
    /// that may have it answered. What came before is right.
    #[error("too few nodes answered, or a value could not be fetched")]
    Incomplete,
    /// There are more values, or larger ones, than there is memory for. What came before is right.
    #[error("there are more values, or larger ones, than there is memory for")]
    Truncated,
    /// This node's own store does not take the value, which it must serve. Nothing was stored.
    #[error("this node's own store does not take the value: {0:?}")]
    Refused(ItemStatus),
    /// The operation would have needed more datagrams than it may send.
    #[error("the operation needs more datagrams than it may send")]
    Budget,
}

impl Error {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Timeout
                | Self::TooFewCopies(_)
                | Self::Unreachable
                | Self::Incomplete
                | Self::Budget
                | Self::Refused(ItemStatus::Full | ItemStatus::Busy)
        )
    }
}
