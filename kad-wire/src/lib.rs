#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod codec;
mod contact;
mod item;
mod key;
pub mod limits;
mod message;
mod offer;
mod prefix;
mod reply;
mod request;
mod steering;
mod time;
mod tombstone;

pub use contact::{Audience, Contact, Contacts, Endpoint, Scope};
pub use item::{DeleteLock, Digest, Invalid, ItemHeader, ItemType, TypeMask, item_flags};
pub use key::{Distance, Key, NodeId, ParseKeyError};
pub use message::{Datagram, DecodeError};
pub use offer::{Answer, Offer, Query, Sink};
pub use prefix::{
    Envelope, MaxDatagram, NetworkId, Prefix, Token, TransactionId, VERSION_AUTHENTICATED, VERSION_PLAIN,
    VERSION_SEALED,
};
pub use reply::{
    Chunk, ItemStatus, NodesWriter, Refusal, Reply, ReplyHead, StoredItem, StoredItems, StoredWriter, Value, ValueItem,
    ValueItems, ValueWriter, reply_flags,
};
pub use request::{
    FindNode, FindValue, Hole, Holes, Pull, Request, RequestFlags, Store, StoreItem, StoreItems, StoreMode, StoreWriter,
};
pub use steering::Steering;
pub use time::Instant;
pub use tombstone::Tombstone;
