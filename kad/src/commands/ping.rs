//! `kad ping`

use std::time::Duration;

use super::client_node;
use crate::args::Ping;
use crate::error::Failure;
use crate::{operations, output};

pub(crate) async fn run(args: Ping) -> Result<(), Failure> {
    let unreachable = || Failure::Unreachable(args.address.clone());
    let address = tokio::net::lookup_host(&args.address).await.ok().and_then(|mut found| found.next());
    let address = address.ok_or_else(unreachable)?;
    // The question is whether the node can be reached from here, not from a daemon: so always from a node of its own.
    let dht = client_node(&args.network, args.timeout, &[])?;
    for number in 0..args.count {
        if number > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let pong = tokio::time::timeout(args.timeout, operations::ping(&dht, address)).await;
        let Ok(Ok(pong)) = pong else { return Err(unreachable()) };
        match args.output.json {
            true => output::json(&pong)?,
            false => output::line(&format!("{} at {}: {:.3} ms", pong.node.id, pong.node.address, pong.milliseconds))?,
        }
    }
    Ok(())
}
