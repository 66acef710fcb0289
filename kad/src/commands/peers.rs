//! `kad peers`

use std::time::Duration;

use super::Peer;
use crate::args::Peers;
use crate::error::Failure;
use crate::output;
use kad_http::operations;

pub(crate) async fn run(args: Peers) -> Result<(), Failure> {
    let peers = match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.peers()?,
        Peer::Own(dht) => operations::peers(&dht).await?,
    };
    if args.output.json {
        return output::json(&peers);
    }
    let mut table = output::table(["bucket", "node", "address", "round trip", "idle", "failures"]);
    for peer in &peers {
        table.add_row([
            peer.bucket.to_string(),
            peer.node.id.to_string(),
            peer.node.address.to_string(),
            peer.milliseconds.map_or(String::new(), |time| format!("{time:.3} ms")),
            output::span(Duration::from_secs_f64(peer.idle_seconds)),
            peer.failures.to_string(),
        ]);
    }
    output::line(&table.to_string())?;
    output::line(&output::count(peers.len(), "contact", "contacts"))
}
