//! The commands, one per file.

mod bulk;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod detach;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod forget;
pub(crate) mod get;
pub(crate) mod lookup;
pub(crate) mod man;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod put;
mod reload;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use kad_tokio::{Capacity, Dht, Role};

use crate::args::Target;
use crate::client::{Client, Place};
use crate::error::Failure;
use crate::input;

/// The target of a command.
pub(crate) enum Peer {
    /// A running daemon.
    Daemon(Client),
    /// A short-lived node.
    Own(Dht),
}

impl Peer {
    /// Returns the daemon or, with bootstrap addresses, a short-lived node that has joined.
    pub(crate) async fn of(target: &Target) -> Result<Self, Failure> {
        if target.bootstrap.is_empty() {
            return Ok(Self::Daemon(Client::of(&Place::of(target)?, target.timeout)?));
        }
        let dht = client_node(&target.network, target.timeout, &target.bootstrap)?;
        match dht.joined().await {
            Ok(_) => Ok(Self::Own(dht)),
            // The time limit of the command may be shorter than the first attempt to join.
            Err(_) => Err(Failure::Unreachable(target.bootstrap.join(", "))),
        }
    }
}

/// Closes a short-lived node. Its work is done, so a failure to send GOODBYE does not matter.
pub(crate) async fn leave(dht: &Dht) {
    let _ = dht.close().await;
}

/// Starts a client node. It accepts values of any size that a network may allow.
pub(crate) fn client_node(network: &str, timeout: Duration, bootstrap: &[String]) -> Result<Dht, Failure> {
    let start = |listen: SocketAddr| {
        Dht::builder()
            .network(input::network(network))
            .listen(listen)
            .role(Role::Client)
            .capacity(Capacity::SMALL)
            .value_max(daemon::VALUE_MAX_MAX)
            .timeout(timeout)
            .bootstrap(bootstrap)
            .socket_buffer(512 << 10)
            .cache_found(false)
            .watch_host(false)
            .start()
    };
    // Uses both address families if the host has both.
    let started = start((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| start(([0, 0, 0, 0], 0).into()));
    Ok(started?)
}
