//! `kad ping`

use std::net::SocketAddr;
use std::time::Instant;

use kad_http::api::{Patience, Pong};
use kad_http::operations;
use kad_tokio::Dht;

use super::{client_node, leave};
use crate::args::Ping;
use crate::client::{Client, Place};
use crate::error::Failure;
use crate::output;

/// The sender of the pings: a short-lived node, which tests reachability from this host, or a remote daemon, which tests it
/// from its host.
enum From {
    Here(Dht, Vec<SocketAddr>),
    Elsewhere(Client),
}

pub(crate) async fn run(args: Ping) -> Result<(), Failure> {
    let mut start = Instant::now();
    let from = match Place::elsewhere(&args.elsewhere)? {
        Some(place) => From::Elsewhere(Client::of(&place, args.timeout)?),
        None => From::Here(client_node(&args.network, args.timeout, &[])?, addresses(&args).await?),
    };
    for number in 0..args.count {
        if number > 0 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            start = Instant::now();
        }
        let pong = ping(&args, &from, start).await?;
        match args.output.json {
            true => output::json(&pong)?,
            false => output::line(&format!("{} at {}: {:.3} ms", pong.node.id, pong.node.address, pong.milliseconds))?,
        }
    }
    if let From::Here(dht, _) = &from {
        leave(dht).await;
    }
    Ok(())
}

/// Resolves a name, within the time limit of the command.
async fn addresses(args: &Ping) -> Result<Vec<SocketAddr>, Failure> {
    let unreachable = |why: &str| Failure::Unreachable(format!("{}: {why}", args.address));
    match tokio::time::timeout(args.timeout, kad_tokio::resolve(&args.address)).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(unreachable(&error.to_string())),
        Err(_) => Err(unreachable("the resolver does not answer")),
    }
}

async fn ping(args: &Ping, from: &From, start: Instant) -> Result<Pong, Failure> {
    let left = args.timeout.saturating_sub(start.elapsed());
    match from {
        From::Elsewhere(client) => {
            client.ping(&args.address, &Patience { timeout: Some(left) }).map_err(|failure| match failure {
                Failure::Timeout | Failure::Unreachable(_) => Failure::Unreachable(args.address.clone()),
                other => other,
            })
        }
        From::Here(dht, addresses) => match tokio::time::timeout(left, operations::ping(dht, addresses)).await {
            Ok(Ok(pong)) => Ok(pong),
            _ => Err(Failure::Unreachable(args.address.clone())),
        },
    }
}
