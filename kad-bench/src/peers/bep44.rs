//! mainline: the DHT of BitTorrent (BEP 5), with immutable values (BEP 44).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainline::async_dht::AsyncDht;
use mainline::{Dht, Id, Testnet};

use super::{Members, per_node};
use crate::clock::resident;
use crate::cluster::{NODES, item};
use crate::drive::Outcome;
use crate::failure::Failure;

/// Nodes, and clients. The network ends when it is dropped.
pub(super) struct Mainline {
    nodes: Vec<AsyncDht>,
    clients: Vec<AsyncDht>,
    /// Where each value is: under the hash that its put answered with.
    places: Mutex<HashMap<u64, Id>>,
    _network: Testnet,
}

impl Members for Mainline {
    const NAME: &'static str = "mainline 8.0.1";
    /// BEP 44 takes no more than 1000 bytes.
    const LENGTHS: &'static [usize] = &[64];

    async fn start() -> Result<(Self, f64), Failure> {
        let before = resident()?;
        let network = Testnet::builder(NODES).build()?;
        let memory = per_node(before)?;
        let nodes = network.nodes.iter().map(|node| node.clone().as_async()).collect();
        let mut clients = Vec::new();
        for _ in 0..NODES {
            let mut builder = Dht::builder();
            builder.bootstrap(&network.bootstrap).bind_address(Ipv4Addr::LOCALHOST);
            let client = builder.build()?.as_async();
            if !client.bootstrapped().await {
                return Err(Failure::Void("a client of mainline finds no network".into()));
            }
            clients.push(client);
        }
        Ok((Self { nodes, clients, places: Mutex::default(), _network: network }, memory))
    }

    async fn put(&self, number: u64, bytes: usize) -> Outcome {
        let (_, value) = item(number, bytes);
        match self.nodes[number as usize % NODES].put_immutable(&value).await {
            Ok(place) => {
                self.places().insert(number, place);
                Outcome::Right
            }
            Err(_) => Outcome::Wrong,
        }
    }

    async fn get(&self, number: u64, bytes: usize) -> Outcome {
        let (_, value) = item(number, bytes);
        let place = self.places().get(&number).copied();
        let Some(place) = place else { return Outcome::Wrong };
        match self.clients[number as usize % NODES].get_immutable(place).await {
            Some(found) if *found == *value => Outcome::Right,
            _ => Outcome::Wrong,
        }
    }
}

impl Mainline {
    fn places(&self) -> MutexGuard<'_, HashMap<u64, Id>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
