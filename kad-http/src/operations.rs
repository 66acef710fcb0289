//! What can be asked of a node, in the words of the [api](crate::api): the daemon does it for its clients, a short-lived
//! node for its command.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kad_tokio::{Bytes, Copies, Dht, Error, Find, Gap, ItemStatus, ItemType, Key, Receipt, Value};

use crate::api::{
    Duplicate, FindQuery, Forgotten, Found, FoundAll, Lookup, Peer, Pong, Refused, Status, StoreQuery, Stored, millis,
    milliseconds, type_name,
};
use crate::locks::Locks;

/// Stores a value, and says who holds it.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn store(dht: &Dht, key: Key, bytes: Bytes, query: &StoreQuery) -> Result<Stored, Error> {
    store_locked(dht, &Locks(None), key, bytes, query).await
}

/// The same, with a lock.
pub(crate) async fn store_locked(
    dht: &Dht,
    locks: &Locks,
    key: Key,
    bytes: Bytes,
    query: &StoreQuery,
) -> Result<Stored, Error> {
    let (len, wanted) = (bytes.len(), Wanted::of(query));
    let store = dht.store(key, bytes.clone()).ttl(wanted.ttl).item_type(wanted.item_type);
    let store = store.copies(wanted.copies).timeout(wanted.timeout);
    Ok(stored(locks.store(&key, &bytes, store).await?, len, query))
}

/// Stores several values, those for the same nodes together, and says of each who holds it, in their order. One that this
/// node's own store refuses has no copies; the others are stored.
///
/// # Errors
/// Those of the same call of [`Dht`]: then none was stored, or it is unknown which.
pub async fn store_many(dht: &Dht, items: Vec<(Key, Bytes)>, query: &StoreQuery) -> Result<Vec<Stored>, Error> {
    store_many_locked(dht, &Locks(None), items, query).await
}

/// The same, with locks.
pub(crate) async fn store_many_locked(
    dht: &Dht,
    locks: &Locks,
    items: Vec<(Key, Bytes)>,
    query: &StoreQuery,
) -> Result<Vec<Stored>, Error> {
    let wanted = Wanted::of(query);
    let store = dht.store_many(items.clone()).ttl(wanted.ttl).item_type(wanted.item_type);
    let receipts = locks.store_many(store.copies(wanted.copies).timeout(wanted.timeout)).await?;
    let mut all = Vec::new();
    for (receipt, (key, bytes)) in receipts.into_iter().zip(items) {
        let is_deleted = receipt
            .refused
            .iter()
            .any(|refused| refused.contact.id == dht.id() && refused.status == ItemStatus::Deleted);
        // Once more, by itself, with another lock than the one that was opened.
        let again = match is_deleted {
            true => store_locked(dht, locks, key, bytes.clone(), query).await.ok(),
            false => None,
        };
        all.push(again.unwrap_or_else(|| stored(receipt, bytes.len(), query)));
    }
    Ok(all)
}

/// A query in the words of [`Dht`].
struct Wanted {
    ttl: Duration,
    item_type: ItemType,
    copies: Copies,
    timeout: Duration,
}

impl Wanted {
    fn of(query: &StoreQuery) -> Self {
        Self {
            ttl: Duration::from_millis(query.ttl_ms),
            item_type: if query.content { ItemType::CONTENT } else { ItemType::RAW },
            copies: query.quorum.map_or(Copies::All, Copies::AtLeast),
            timeout: Duration::from_millis(query.timeout_ms),
        }
    }
}

fn stored(receipt: Receipt, len: usize, query: &StoreQuery) -> Stored {
    let refused =
        receipt.refused.iter().map(|refused| Refused { node: refused.contact.into(), reason: refused.status });
    Stored {
        key: receipt.key,
        digest: receipt.digest.to_string(),
        bytes: len,
        ttl_ms: query.ttl_ms,
        copies: receipt.copies,
        elsewhere: receipt.elsewhere,
        refused: refused.collect(),
        silent: receipt.silent.iter().map(|contact| (*contact).into()).collect(),
        complete: receipt.complete,
        ended: receipt.ended,
        requests: receipt.requests,
        milliseconds: milliseconds(receipt.duration),
    }
}

/// The values that a query asks for: the first, or all.
///
/// # Errors
/// Those of [`Dht::find`].
pub async fn find(dht: &Dht, key: Key, query: &FindQuery) -> Result<FoundAll, Error> {
    let start = Instant::now();
    let prepare = |find: Find| {
        let left = Duration::from_millis(query.timeout_ms).saturating_sub(start.elapsed());
        let find = find.timeout(left);
        query.newer_than_ms.map_or(find.clone(), |age| find.not_older_than(Duration::from_millis(age)))
    };
    if query.all {
        return find_all(key, prepare(dht.find_all(key))).await;
    }
    let value = match query.content_first {
        true => first(dht, key, prepare).await?,
        false => prepare(dht.find(key)).await?,
    };
    Ok(FoundAll { values: value.iter().map(|value| found(key, value)).collect(), incomplete: None })
}

/// The value under a key: the content whose hash is the key, if there is any, and else the newest of what anybody put there.
/// Content costs one lookup, and so does nothing.
///
/// # Errors
/// Those of [`Dht::find`].
pub async fn first(dht: &Dht, key: Key, prepare: impl Fn(Find) -> Find) -> Result<Option<Value>, Error> {
    match prepare(dht.find(key)).await? {
        Some(other) if other.item_type != ItemType::CONTENT => match prepare(dht.find_content(key)).await {
            Ok(content) => Ok(content.or(Some(other))),
            // Few answered, and none of them named any content: the other is the best that is known.
            Err(Error::Incomplete(Gap { unfetched: 0, .. })) => Ok(Some(other)),
            Err(error) => Err(error),
        },
        found => Ok(found),
    }
}

async fn find_all(key: Key, find: Find) -> Result<FoundAll, Error> {
    let (values, incomplete) = all(find).await?;
    Ok(FoundAll { values: values.iter().map(|value| found(key, value)).collect(), incomplete })
}

/// Every value of a find, newest first, and why there may be more.
pub(crate) async fn all(find: Find) -> Result<(Vec<Value>, Option<String>), Error> {
    let (mut stream, mut values, mut incomplete) = (find.values(), Vec::new(), None);
    while let Some(value) = stream.next().await {
        match value {
            Ok(value) => values.push(value),
            Err(error) if values.is_empty() => return Err(error),
            Err(error) => incomplete = Some(error.to_string()),
        }
    }
    values.sort_by_key(|value| (value.age, value.digest));
    Ok((values, incomplete))
}

fn found(key: Key, value: &Value) -> Found {
    Found {
        key,
        digest: value.digest.to_string(),
        bytes: value.bytes.len(),
        value: BASE64_STANDARD.encode(&value.bytes),
        item_type: type_name(value.item_type),
        origin: value.origin,
        age_ms: millis(value.age),
        ttl_ms: millis(value.ttl),
    }
}

/// Asks whoever is at an address for a sign of life.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn ping(dht: &Dht, address: SocketAddr) -> Result<Pong, Error> {
    let pong = dht.ping(address).await?;
    Ok(Pong { node: pong.contact.into(), milliseconds: milliseconds(pong.rtt) })
}

/// Looks for the nodes nearest to a key.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn lookup(dht: &Dht, target: Key) -> Result<Lookup, Error> {
    Ok(Lookup::from(&dht.lookup(target).await?))
}

/// Stops to publish what this node published under a key.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn forget(dht: &Dht, key: Key) -> Result<Forgotten, Error> {
    Ok(Forgotten { key, values: dht.forget(key).await?, deleted: 0, undeleted: None })
}

/// Everyone in the routing table.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn peers(dht: &Dht) -> Result<Vec<Peer>, Error> {
    let own = dht.id();
    Ok(dht.peers().await?.iter().map(|peer| Peer::new(&own, peer)).collect())
}

/// Everything that a node counts, by name. The names are documented in `docs/metrics.md`.
pub fn counters(stats: &kad_tokio::Stats) -> impl Iterator<Item = (&'static str, u64)> {
    let (socket, upkeep) = (&stats.socket, &stats.upkeep);
    let beside = [
        ("socket_bytes_in", socket.bytes_in),
        ("socket_bytes_out", socket.bytes_out),
        ("socket_send_errors", socket.send_errors),
        ("socket_offload_refused", socket.offload_refused),
        ("socket_send_waits", socket.send_waits),
        ("socket_receive_errors", socket.receive_errors),
        ("socket_withheld", socket.withheld),
        ("worker_notes_dropped", stats.notes_dropped),
        ("store_evicted", stats.evicted),
        ("store_failed", stats.store_failed),
        ("upkeep_replicated", upkeep.replicated),
        ("upkeep_republished", upkeep.republished),
        ("upkeep_to_newcomers", upkeep.to_newcomers),
        ("upkeep_handed_over", upkeep.handed_over),
        ("upkeep_operations", upkeep.operations),
    ];
    stats.core.iter().chain(beside)
}

/// How the node is.
///
/// # Errors
/// Those of the same call of [`Dht`].
pub async fn status(dht: &Dht) -> Result<Status, Error> {
    let stats = dht.stats().await?;
    let socket = &stats.socket;
    let counters = counters(&stats).map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        id: stats.id,
        address: stats.address,
        observed: stats.observed,
        duplicate: stats
            .duplicate
            .map(|duplicate| Duplicate { address: duplicate.address, idle_seconds: duplicate.idle.as_secs_f64() }),
        uptime_seconds: stats.uptime.as_secs_f64(),
        joined: stats.joined,
        bootstrap: stats.bootstrap,
        remembered: stats.remembered,
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
        settings: std::collections::BTreeMap::new(),
    })
}
