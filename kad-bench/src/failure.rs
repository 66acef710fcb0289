//! What can go wrong with a measurement.

use std::path::PathBuf;

use thiserror::Error;

/// Why there is no figure.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("the system: {0}")]
    System(#[from] std::io::Error),
    #[error("the system: {0}")]
    Errno(#[from] nix::errno::Errno),
    #[error("cannot read or write {file}: {source}")]
    File { file: PathBuf, source: std::io::Error },
    #[error("{file} is not what `kad-bench all --json` prints: {source}")]
    NotResults { file: PathBuf, source: serde_json::Error },
    #[error("{file} has no line `{marker}`: the report is written between two of them")]
    NoMarkers { file: PathBuf, marker: &'static str },
    #[error("cannot draw {file}: {why}")]
    Picture { file: PathBuf, why: String },
    #[error("cannot print the results: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a node did not start: {0}")]
    Start(#[from] kad_tokio::StartError),
    #[error("a node: {0}")]
    Node(#[from] kad_tokio::Error),
    #[cfg(not(feature = "peers"))]
    #[error("built without other implementations: cargo run --release -p kad-bench --features peers -- peers")]
    NoPeers,
    /// A figure would be worth nothing: what was measured did not happen as it should.
    #[error("the measurement is void: {0}")]
    Void(String),
}
