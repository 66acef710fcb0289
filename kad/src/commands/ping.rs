//! `kad ping`

use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::Dht;
use tokio::task::JoinSet;

use super::{client_node, leave};
use crate::args::Ping;
use crate::error::Failure;
use crate::output;
use kad_http::api::Pong;
use kad_http::operations;

pub(crate) async fn run(args: Ping) -> Result<(), Failure> {
    let unreachable = || Failure::Unreachable(args.address.clone());
    let addresses: Vec<_> = tokio::net::lookup_host(&args.address).await.map_err(|_| unreachable())?.collect();
    // The question is whether the node can be reached from here, not from a daemon: so always from a node of its own.
    let dht = client_node(&args.network, args.timeout, &[])?;
    for number in 0..args.count {
        if number > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let pong = tokio::time::timeout(args.timeout, first_answer(&dht, &addresses)).await;
        let Ok(Some(pong)) = pong else { return Err(unreachable()) };
        match args.output.json {
            true => output::json(&pong)?,
            false => output::line(&format!("{} at {}: {:.3} ms", pong.node.id, pong.node.address, pong.milliseconds))?,
        }
    }
    leave(&dht).await;
    Ok(())
}

/// A name may have several addresses, not all of which lead somewhere: the first that answers counts.
pub(super) async fn first_answer(dht: &Dht, addresses: &[SocketAddr]) -> Option<Pong> {
    let mut pings = JoinSet::new();
    for &address in addresses {
        let dht = dht.clone();
        pings.spawn(async move { operations::ping(&dht, address).await });
    }
    while let Some(pong) = pings.join_next().await {
        if let Ok(Ok(pong)) = pong {
            return Some(pong);
        }
    }
    None
}
