//! What can be asked of a node, in the words of the [api](crate::api): the daemon does it for its clients, a short-lived
//! node for its command.

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kad_tokio::{Bytes, Dht, Error, Find, Gap, ItemStatus, ItemType, Key, Receipt, StoreOne, TypeMask, Value};

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
    let mut store: StoreOne = dht.store(key, bytes.clone()).ttl(query.ttl).item_type(type_of(query));
    if let Some(copies) = query.copies {
        store = store.copies(copies);
    }
    if let Some(timeout) = query.timeout {
        store = store.timeout(timeout);
    }
    Ok(stored(receipt(locks.store(&key, &bytes, store).await)?, bytes.len(), query))
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
    let mut store = dht.store_many(items.clone()).ttl(query.ttl).item_type(type_of(query));
    if let Some(copies) = query.copies {
        store = store.copies(copies);
    }
    if let Some(timeout) = query.timeout {
        store = store.timeout(timeout);
    }
    let receipts = match locks.store_many(store).await {
        Err(Error::TooFewCopies { receipts }) => receipts,
        receipts => receipts?,
    };
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

const fn type_of(query: &StoreQuery) -> ItemType {
    if query.content { ItemType::CONTENT } else { ItemType::RAW }
}

/// Returns the receipt of a store, even if it says less than was asked for.
fn receipt(stored: Result<Receipt, Error>) -> Result<Receipt, Error> {
    match stored {
        Err(Error::TooFewCopies { mut receipts }) => receipts.pop().ok_or(Error::Closed),
        stored => stored,
    }
}

fn stored(receipt: Receipt, len: usize, query: &StoreQuery) -> Stored {
    let refused =
        receipt.refused.iter().map(|refused| Refused { node: refused.contact.into(), reason: refused.status });
    Stored {
        key: receipt.key,
        digest: receipt.digest.to_string(),
        bytes: len,
        ttl_ms: millis(query.ttl),
        copies: receipt.copies,
        elsewhere: receipt.elsewhere,
        refused: refused.collect(),
        silent: receipt.silent.iter().map(|contact| (*contact).into()).collect(),
        complete: receipt.complete,
        ended: receipt.ended,
        reached: receipt.reached,
        requests: receipt.requests,
        milliseconds: milliseconds(receipt.duration),
    }
}

/// Returns the values that a query asks for: the first, or all.
///
/// # Errors
/// Those of [`Dht::find`].
pub async fn find(dht: &Dht, key: Key, query: &FindQuery) -> Result<FoundAll, Error> {
    let (values, incomplete) = match query.all {
        true => all(dht, key, query).await?,
        false => (first(dht, key, query).await?.into_iter().collect(), None),
    };
    Ok(FoundAll { values: values.iter().map(|value| found(key, value)).collect(), incomplete })
}

/// A find as a query asks for it, with what is left of its time.
fn prepared(find: Find, query: &FindQuery, start: Instant) -> Find {
    let mut find = find;
    if let Some(timeout) = query.timeout {
        find = find.timeout(timeout.saturating_sub(start.elapsed()));
    }
    if let Some(age) = query.newer_than {
        find = find.not_older_than(age);
    }
    if let Some(item_type) = query.item_type {
        find = find.types(TypeMask::only(item_type));
    }
    find
}

/// Returns the value under a key: the content whose hash is the key, if there is any, and else the newest of what anybody put
/// there. Content costs one lookup, and so does nothing.
///
/// # Errors
/// Those of [`Dht::find`].
pub(crate) async fn first(dht: &Dht, key: Key, query: &FindQuery) -> Result<Option<Value>, Error> {
    let start = Instant::now();
    match query.item_type {
        Some(ItemType::CONTENT) => prepared(dht.find_content(key), query, start).await,
        Some(_) => prepared(dht.find(key), query, start).await,
        None => match prepared(dht.find(key), query, start).await? {
            Some(other) if other.item_type != ItemType::CONTENT => {
                match prepared(dht.find_content(key), query, start).await {
                    Ok(content) => Ok(content.or(Some(other))),
                    // Few answered, and none of them named any content: the other is the best that is known.
                    Err(Error::Incomplete(Gap { unfetched: 0, .. })) => Ok(Some(other)),
                    Err(error) => Err(error),
                }
            }
            found => Ok(found),
        },
    }
}

/// Returns the values under a key as they come.
pub(crate) fn each(dht: &Dht, key: Key, query: &FindQuery) -> kad_tokio::FindAll {
    prepared(dht.find_all(key), query, Instant::now()).values()
}

/// Returns every value under a key, newest first, and why there may be more.
pub(crate) async fn all(dht: &Dht, key: Key, query: &FindQuery) -> Result<(Vec<Value>, Option<String>), Error> {
    let (mut stream, mut values, mut incomplete) = (each(dht, key, query), Vec::new(), None);
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

pub(crate) fn found(key: Key, value: &Value) -> Found {
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

/// Pings all of some addresses, and returns the first answer: a name may have several, not all of which lead somewhere.
///
/// # Errors
/// The last of [`Dht::ping`], if nobody answers.
pub async fn ping(dht: &Dht, addresses: &[SocketAddr]) -> Result<Pong, Error> {
    let mut pings: FuturesUnordered<_> = addresses.iter().map(|&address| dht.ping(address)).collect();
    let mut failure = Error::Unreachable;
    while let Some(pong) = pings.next().await {
        match pong {
            Ok(pong) => return Ok(Pong { node: pong.contact.into(), milliseconds: milliseconds(pong.rtt) }),
            Err(error) => failure = error,
        }
    }
    Err(failure)
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
        ("socket_too_large", socket.too_large),
        ("socket_offload_refused", socket.offload_refused),
        ("socket_send_waits", socket.send_waits),
        ("socket_receive_errors", socket.receive_errors),
        ("socket_receive_pauses", socket.receive_pauses),
        ("socket_withheld", socket.withheld),
        ("calls_refused", stats.calls_refused),
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
        addresses: stats.addresses,
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
        workers: stats.received.len(),
        receive_buffer: socket.receive_buffer,
        send_buffer: socket.send_buffer,
        buffer_wanted: socket.buffer_wanted,
        counters,
        settings: std::collections::BTreeMap::new(),
    })
}
