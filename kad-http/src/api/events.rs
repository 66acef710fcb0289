//! Types of `/events`, besides those of other responses.

use kad_tokio::Key;
use serde::{Deserialize, Serialize};

use super::{Lookup, Step};

/// An operation that has begun, or was cancelled.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Began {
    pub operation: u64,
    pub purpose: String,
    pub key: Key,
}

/// A step of an operation.
#[derive(Serialize, Deserialize, Debug)]
pub struct Progress {
    pub operation: u64,
    pub key: Key,
    /// Milliseconds since the operation began.
    pub after: f64,
    #[serde(flatten)]
    pub step: Step,
}

/// The end of an operation.
#[derive(Serialize, Deserialize, Debug)]
pub struct Ended {
    pub operation: u64,
    pub purpose: String,
    pub key: Key,
    pub lookup: Lookup,
    pub stored: Vec<CopiesMade>,
}

/// The result of a store for one value.
#[derive(Serialize, Deserialize, Debug)]
pub struct CopiesMade {
    pub key: Key,
    pub digest: String,
    pub elsewhere: usize,
    pub refused: usize,
    pub silent: usize,
}

/// Events that a slow client missed.
#[derive(Serialize, Deserialize, Debug)]
pub struct Missed {
    pub events: u64,
}
