//! Saved contacts of a daemon: after a restart it finds its network even if the bootstrap nodes are gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kad_tokio::{Dht, NodeId, Peer};
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

/// The number of saved contacts: enough that some are online later, and no more than a join can ask.
const KEPT: usize = 16;
/// The interval of saving.
const INTERVAL: Duration = Duration::from_secs(300);

/// A contact in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: NodeId,
    address: SocketAddr,
}

/// Returns the saved addresses, to join through besides the bootstrap addresses. Ignores an invalid file.
pub(crate) fn load(data_dir: &DataDir) -> Vec<String> {
    let text = match data_dir.read_contacts() {
        Ok(Some(text)) => text,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "cannot read the saved contacts");
            return Vec::new();
        }
    };
    match serde_json::from_slice::<Vec<Kept>>(&text) {
        Ok(kept) => kept.iter().take(KEPT).map(|kept| kept.address.to_string()).collect(),
        Err(error) => {
            tracing::warn!(%error, "the saved contacts are invalid");
            Vec::new()
        }
    }
}

/// Saves the node's contacts periodically, until the future is dropped.
pub(crate) async fn keep(dht: &Dht, data_dir: &DataDir) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(INTERVAL).await;
        save(dht, data_dir).await;
    }
}

/// Saves the node's contacts. A node without contacts keeps the old file.
pub(crate) async fn save(dht: &Dht, data_dir: &DataDir) {
    let chosen = choose(dht.peers().await.unwrap_or_default());
    if chosen.is_empty() {
        return;
    }
    let written = serde_json::to_vec_pretty(&chosen).map_err(|error| crate::error::Failure::System(error.into()));
    if let Err(error) = written.and_then(|text| data_dir.write_contacts(&text)) {
        tracing::warn!(%error, "cannot save the contacts");
    }
}

/// Returns the contacts that answered most recently, from all buckets in turn: a whole part of the network may disappear at
/// once.
fn choose(peers: Vec<Peer>) -> Vec<Kept> {
    let mut by_bucket: BTreeMap<usize, Vec<Peer>> = BTreeMap::new();
    for peer in peers.into_iter().filter(|peer| peer.failures == 0) {
        by_bucket.entry(peer.bucket).or_default().push(peer);
    }
    for bucket in by_bucket.values_mut() {
        // `pop` takes the last one first.
        bucket.sort_by_key(|peer| std::cmp::Reverse(peer.idle));
    }
    let mut chosen = Vec::new();
    while chosen.len() < KEPT && !by_bucket.is_empty() {
        by_bucket.retain(|_, bucket| match bucket.pop() {
            Some(peer) => {
                chosen.push(Kept { id: peer.contact.id, address: peer.contact.endpoint.into() });
                true
            }
            None => false,
        });
    }
    chosen.truncate(KEPT);
    chosen
}
