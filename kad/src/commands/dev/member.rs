//! Who is in the network, and how each is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use kad_tokio::NodeId;
use serde::Serialize;

use crate::error::Failure;
use crate::output;

/// Members that a table shows at the most.
const SHOWN: usize = 50;

/// A node of the network.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) id: NodeId,
    pub(super) up: bool,
    /// Where it is for other nodes, over UDP.
    pub(super) address: SocketAddr,
    /// Where it serves HTTP.
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
