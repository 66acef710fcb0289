//! What can be asked of a node, in the words of the [api](crate::api): the daemon does it for its clients, a short-lived
//! node for its command.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kad_tokio::{Bytes, Copies, Dht, Error, Find, ItemType, Key, Value};

use crate::api::{
    FindQuery, Forgotten, Found, FoundAll, Lookup, Peer, Pong, Refused, Status, Step, StoreQuery, Stored, milliseconds,
    state_name, type_name,
};

pub(crate) async fn store(dht: &Dht, key: Key, bytes: Bytes, query: &StoreQuery) -> Result<Stored, Error> {
    let (len, ttl) = (bytes.len(), Duration::from_millis(query.ttl_ms));
    let item_type = if query.content { ItemType::CONTENT } else { ItemType::RAW };
    let copies = query.quorum.map_or(Copies::All, Copies::AtLeast);
    let timeout = Duration::from_millis(query.timeout_ms);
    let receipt = dht.store(key, bytes).ttl(ttl).item_type(item_type).copies(copies).timeout(timeout).await?;
    let refused =
        receipt.refused.iter().map(|refused| Refused { node: refused.contact.into(), reason: refused.status });
    Ok(Stored {
        key,
        digest: receipt.digest.to_string(),
        bytes: len,
        ttl_ms: query.ttl_ms,
        copies: receipt.copies,
        elsewhere: receipt.elsewhere,
        refused: refused.collect(),
        silent: receipt.silent.iter().map(|contact| (*contact).into()).collect(),
        complete: receipt.complete,
        requests: receipt.requests,
        milliseconds: milliseconds(receipt.duration),
    })
}

/// The values that a query asks for: the first, or all.
pub(crate) async fn find(dht: &Dht, key: Key, query: &FindQuery) -> Result<FoundAll, Error> {
    let start = Instant::now();
    let prepare = |find: Find| {
        let left = Duration::from_millis(query.timeout_ms).saturating_sub(start.elapsed());
        let find = find.timeout(left);
        query.newer_than_ms.map_or(find.clone(), |age| find.not_older_than(Duration::from_millis(age)))
    };
    if query.all {
        return find_all(key, prepare(dht.find_all(key))).await;
    }
    let content = if query.content_first { prepare(dht.find_content(key)).await? } else { None };
    let value = match content {
        Some(content) => Some(content),
        None => prepare(dht.find(key)).await?,
    };
    Ok(FoundAll { values: value.iter().map(|value| found(key, value)).collect(), incomplete: None })
}

async fn find_all(key: Key, find: Find) -> Result<FoundAll, Error> {
    let (mut stream, mut values, mut incomplete) = (find.values(), Vec::new(), None);
    while let Some(value) = stream.next().await {
        match value {
            Ok(value) => values.push(value),
            Err(error) if values.is_empty() => return Err(error),
            Err(error) => incomplete = Some(error.to_string()),
        }
    }
    values.sort_by_key(|value| (value.age, value.digest));
    Ok(FoundAll { values: values.iter().map(|value| found(key, value)).collect(), incomplete })
}

fn found(key: Key, value: &Value) -> Found {
    Found {
        key,
        digest: value.digest.to_string(),
        bytes: value.bytes.len(),
        value: BASE64_STANDARD.encode(&value.bytes),
        item_type: type_name(value.item_type),
        origin: value.origin,
        age_ms: u64::try_from(value.age.as_millis()).unwrap_or(u64::MAX),
        ttl_ms: u64::try_from(value.ttl.as_millis()).unwrap_or(u64::MAX),
    }
}

pub(crate) async fn ping(dht: &Dht, address: SocketAddr) -> Result<Pong, Error> {
    let pong = dht.ping(address).await?;
    Ok(Pong { node: pong.contact.into(), milliseconds: milliseconds(pong.rtt) })
}

pub(crate) async fn lookup(dht: &Dht, target: Key) -> Result<Lookup, Error> {
    let lookup = dht.lookup(target).await?;
    let step = |step: &kad_tokio::Step| Step {
        node: step.contact.into(),
        state: state_name(step.state).into(),
        hops: step.depth,
        order: (step.order > 0).then_some(step.order),
        milliseconds: step.rtt.map(milliseconds),
    };
    Ok(Lookup {
        target,
        closest: lookup.closest().map(Into::into).collect(),
        trace: lookup.steps.iter().map(step).collect(),
        requests: lookup.requests,
        hops: lookup.hops,
        milliseconds: milliseconds(lookup.duration),
        timed_out: lookup.timed_out,
    })
}

pub(crate) async fn forget(dht: &Dht, key: Key) -> Result<Forgotten, Error> {
    Ok(Forgotten { key, values: dht.forget(key).await? })
}

pub(crate) async fn peers(dht: &Dht) -> Result<Vec<Peer>, Error> {
    let peers = dht.peers().await?;
    let peer = |peer: &kad_tokio::Peer| Peer {
        node: peer.contact.into(),
        bucket: peer.bucket,
        milliseconds: peer.rtt.map(milliseconds),
        idle_seconds: peer.idle.as_secs_f64(),
        failures: peer.failures,
    };
    Ok(peers.iter().map(peer).collect())
}

pub(crate) async fn status(dht: &Dht) -> Result<Status, Error> {
    let stats = dht.stats().await?;
    let socket = &stats.socket;
    let mut counters: std::collections::BTreeMap<_, _> =
        stats.core.iter().map(|(name, count)| (name.to_owned(), count)).collect();
    for (name, count) in [
        ("socket_bytes_in", socket.bytes_in),
        ("socket_bytes_out", socket.bytes_out),
        ("socket_send_errors", socket.send_errors),
        ("socket_offload_refused", socket.offload_refused),
        ("socket_send_waits", socket.send_waits),
        ("socket_receive_errors", socket.receive_errors),
        ("socket_withheld", socket.withheld),
        ("worker_notes_dropped", stats.notes_dropped),
        ("store_failed", stats.store_failed),
        ("upkeep_replicated", stats.upkeep.replicated),
        ("upkeep_republished", stats.upkeep.republished),
        ("upkeep_to_newcomers", stats.upkeep.to_newcomers),
        ("upkeep_handed_over", stats.upkeep.handed_over),
        ("upkeep_operations", stats.upkeep.operations),
    ] {
        counters.insert(name.into(), count);
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        id: stats.id,
        address: stats.address,
        observed: stats.observed,
        uptime_seconds: stats.uptime.as_secs_f64(),
        joined: stats.joined,
        value_max: dht.value_max(),
        contacts: stats.contacts,
        buckets: stats.buckets,
        operations: stats.operations,
        transfers: stats.transfers,
        items: stats.items,
        bytes: stats.bytes,
        evicted: stats.evicted,
        memory: stats.memory,
        receive_buffer: socket.receive_buffer,
        send_buffer: socket.send_buffer,
        counters,
    })
}
