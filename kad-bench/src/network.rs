//! Nodes on loopback, in this process, each on threads of its own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use kad_tokio::{Builder, Dht, Limits, NetworkId, NodeId};
use tokio::runtime::Runtime;

use crate::clock::{ThreadId, workers};
use crate::failure::Failure;

/// How long anything may take that must happen before something can be measured.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it has happened.
const PAUSE: Duration = Duration::from_millis(10);

/// The runtime of those who call nodes.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A network of this run's own: nobody else's nodes, on ports that were given back, can meet in it.
pub(crate) fn network_id() -> NetworkId {
    NetworkId::named(&format!("kad-bench {}", std::process::id()))
}

/// A node on a free port of loopback, in this benchmark's own network, with room for what is stored in it.
pub(crate) fn node(bootstrap: Option<&Dht>) -> Builder {
    let limits = Limits { items: 1 << 20, bytes: 1 << 34, ..Limits::new(NodeId::from_bytes([0; 32])) };
    Dht::builder()
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .network(network_id())
        .bootstrap(bootstrap.map(|dht| dht.local_addr().to_string()))
        .workers(1)
        .leave_timeout(Duration::ZERO)
        .limits(limits)
}

/// Starts a node with so many workers, and says which threads they are.
pub(crate) fn start(builder: Builder, count: usize) -> Result<(Dht, Vec<ThreadId>), Failure> {
    let before = workers()?;
    let dht = builder.start()?;
    // A thread has its name a moment after it was started.
    let begun = Instant::now();
    loop {
        let threads: Vec<ThreadId> = workers()?.difference(&before).copied().collect();
        if threads.len() == count {
            return Ok((dht, threads));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Void("a node does not have as many threads as it was told".into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A network of `count` nodes that all know each other, each made by `configure`.
pub(crate) async fn network(count: usize, configure: impl Fn(Builder) -> Builder) -> Result<Vec<Dht>, Failure> {
    let mut nodes: Vec<Dht> = Vec::new();
    for _ in 0..count {
        let dht = configure(node(nodes.first())).start()?;
        if !nodes.is_empty() {
            dht.joined().await?;
        }
        nodes.push(dht);
    }
    acquaint(&nodes, count - 1).await?;
    Ok(nodes)
}

/// Waits until every node knows so many others, and looks for them meanwhile.
pub(crate) async fn acquaint(nodes: &[Dht], others: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut ignorant: BTreeSet<usize> = (0..nodes.len()).collect();
    while !ignorant.is_empty() {
        for number in ignorant.clone() {
            if nodes[number].stats().await?.contacts >= others {
                ignorant.remove(&number);
            } else {
                nodes[number].lookup(*nodes[number].id().as_key()).await?;
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Void(format!("{} nodes do not know {others} others", ignorant.len())));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Closes nodes, and waits until they are gone.
pub(crate) async fn close(nodes: &[Dht]) -> Result<(), Failure> {
    for dht in nodes {
        dht.close().await?;
    }
    for dht in nodes {
        dht.closed().await;
    }
    Ok(())
}
