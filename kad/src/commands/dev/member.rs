//! The members of the network, and their addresses.

use std::net::SocketAddr;
use std::path::PathBuf;

use kad_tokio::NodeId;
use serde::Serialize;

use crate::error::Failure;
use crate::output;

/// The maximum number of members in a table.
const SHOWN: usize = 50;

/// A node of the network.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) id: NodeId,
    pub(super) up: bool,
    /// Its UDP address for other nodes.
    pub(super) address: SocketAddr,
    /// Its HTTP address.
    pub(super) http: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
}

/// Prints a table of the members.
pub(super) fn print(members: &[Member]) -> Result<(), Failure> {
    let mut table = output::table(["node", "id", "UDP", "HTTP", "where"]);
    for member in members.iter().take(SHOWN) {
        let place = member.namespace.clone().or(member.data_dir.as_ref().map(|path| path.display().to_string()));
        table.add_row([
            format!("{}{}", member.number, if member.up { "" } else { " (down)" }),
            output::short(&member.id),
            member.address.to_string(),
            format!("http://{}", member.http),
            place.unwrap_or_default(),
        ]);
    }
    output::line(&table.to_string())?;
    match members.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => output::line(&format!("and {more} more: --json lists all")),
    }
}
