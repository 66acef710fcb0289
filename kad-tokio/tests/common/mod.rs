//! Networks on loopback.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;

use kad_tokio::{Builder, Dht, NetworkId};

/// A free port of loopback.
pub(crate) const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A network of this test's own: a port that another test gives back must not lead one into the other.
pub(crate) fn own_network() -> NetworkId {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    NetworkId::named(&format!("{test} {}", std::process::id()))
}

/// A node on a free port of loopback, in the test's own network.
pub(crate) fn lone() -> Builder {
    Dht::builder().listen(SocketAddr::from(LOOPBACK)).network(own_network())
}

/// A node that joins through others.
pub(crate) fn node(bootstrap: &[&Dht]) -> Builder {
    lone().bootstrap(bootstrap.iter().map(|dht| dht.local_addr().to_string()))
}

/// A network of `count` nodes, each of which joined through the one before it, made by `configure`.
pub(crate) async fn network_of(count: usize, configure: impl Fn(Builder) -> Builder) -> Vec<Dht> {
    let mut nodes: Vec<Dht> = Vec::new();
    for number in 0..count {
        let bootstrap: Vec<&Dht> = nodes.last().into_iter().collect();
        let dht = configure(node(&bootstrap)).start().expect("loopback has free ports");
        if number > 0 {
            dht.joined().await.expect("the one before it answers");
        }
        nodes.push(dht);
    }
    nodes
}

/// A network of `count` nodes with the defaults.
pub(crate) async fn network(count: usize) -> Vec<Dht> {
    network_of(count, |builder| builder).await
}

/// Bytes that differ from value to value and from place to place.
pub(crate) fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + number * 7) as u8).collect()
}
