//! Several workers are one node.

use crate::common;

use std::collections::HashSet;
use std::future::IntoFuture as _;
use std::time::Duration;

use common::{lone, network_of, node, value};
use futures_util::future::join_all;
use kad_tokio::{Builder, Copies, Dht, Error, Key, Stats};

/// Values that travel inside a datagram, and some that are pulled in many.
const SIZES: [usize; 4] = [64, 1000, 5_000, 32 << 10];

/// Six nodes store, and all read what each has stored: through whichever worker is its turn.
async fn everybody_reads_what_anybody_stores(configure: impl Fn(Builder) -> Builder) -> Vec<Stats> {
    let nodes = network_of(6, configure).await;
    let stores = (0..48usize).map(|number| {
        let (dht, key) = (&nodes[number % 6], Key::hash_int(number as u64));
        async move { dht.store(key, value(number, SIZES[number % 4])).copies(Copies::All).await.unwrap() }
    });
    for receipt in join_all(stores).await {
        assert_eq!((receipt.elsewhere, receipt.complete), (5, true), "{receipt:?}");
    }
    let pairs = (0..48usize).flat_map(|number| nodes.iter().map(move |dht| (number, dht)));
    let reads = pairs.map(|(number, dht)| async move {
        let found = dht.find(Key::hash_int(number as u64)).await.unwrap().expect("it was stored");
        assert_eq!(found.bytes, value(number, SIZES[number % 4]));
    });
    join_all(reads).await;
    join_all(nodes.iter().map(|dht| async { dht.stats().await.unwrap() })).await
}

#[tokio::test]
async fn what_workers_ask_comes_back_to_them_where_the_system_steers() {
    for stats in everybody_reads_what_anybody_stores(|builder| builder.workers(3)).await {
        assert_eq!(stats.received.len(), 3);
        // With a wrong lane a reply would find nobody who waits for it.
        assert_eq!((stats.core.dropped_unsolicited, stats.core.pull_refused), (0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn what_workers_ask_comes_back_to_them_where_they_pass_it_on() {
    for stats in everybody_reads_what_anybody_stores(|builder| builder.workers(3).socket_steering(false)).await {
        assert_eq!((stats.core.dropped_unsolicited, stats.notes_dropped), (0, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn without_offload_everything_works_as_well() {
    for stats in everybody_reads_what_anybody_stores(|builder| builder.workers(2).socket_offload(false)).await {
        assert_eq!(stats.socket.send_errors, 0);
    }
}

/// Every worker knows that there is a network to reach, not only the one that joins it.
#[tokio::test]
async fn a_node_that_reaches_nobody_says_so_through_every_worker() {
    let silent = tokio::net::UdpSocket::bind(std::net::SocketAddr::from(common::LOOPBACK)).await.unwrap();
    let dht = lone().workers(3).bootstrap([silent.local_addr().unwrap().to_string()]).start().unwrap();
    assert_eq!(dht.joined().await, Err(Error::Unreachable));
    let key = Key::hash("nowhere");
    let finds = (0..6).map(|_| dht.find(key).into_future());
    assert_eq!(join_all(finds).await, vec![Err(Error::Unreachable); 6]);
    for _ in 0..6 {
        assert_eq!(dht.find_all(key).values().next().await, Some(Err(Error::Unreachable)));
        assert_eq!(dht.lookup(key).await.map(drop), Err(Error::Unreachable));
    }
}

/// The kernel's own hash takes addresses and ports, so a few busy peers may all end at one worker.
#[tokio::test]
async fn the_requests_of_one_peer_are_spread_over_all_workers() {
    let served = lone().workers(4).start().unwrap();
    let peer = node(&[&served]).workers(1).start().unwrap();
    peer.joined().await.unwrap();
    join_all((0..400).map(|_| peer.ping(served.local_addr()))).await;
    let received = served.stats().await.unwrap().received;
    let all: u64 = received.iter().sum();
    // Eight travel together at the most, so there are few throws of the dice.
    assert!(all >= 400 && received.iter().all(|one| (all / 16..all * 5 / 8).contains(one)), "{received:?}");
}

#[tokio::test]
async fn workers_share_their_contacts() {
    let nodes = network_of(8, |builder| builder.workers(3)).await;
    let asker = node(&[&nodes[0]]).workers(1).start().unwrap();
    asker.joined().await.unwrap();
    // Whichever worker answers, a lookup finds everybody.
    for number in 0..12 {
        let lookup = asker.lookup(Key::hash_int(number)).await.unwrap();
        let found: HashSet<_> = lookup.closest().map(|contact| contact.id).collect();
        assert!(nodes.iter().all(|dht| found.contains(&dht.id())), "{} of {}", found.len(), nodes.len());
    }
}

#[tokio::test]
async fn all_workers_hear_a_goodbye() {
    let nodes = network_of(3, |builder| builder.workers(3)).await;
    let leaver = node(&[&nodes[0]]).workers(2).start().unwrap();
    leaver.joined().await.unwrap();
    leaver.lookup(Key::hash("x")).await.unwrap();
    leaver.close().await.unwrap();
    let asker = node(&[&nodes[0]]).workers(1).start().unwrap();
    asker.joined().await.unwrap();
    // Whichever worker is asked, it names nobody who has left.
    for number in 0..12 {
        let lookup = asker.lookup(Key::hash_int(number)).await.unwrap();
        assert!(lookup.steps.iter().all(|step| step.contact.id != leaver.id()), "{lookup:?}");
    }
}

#[tokio::test]
async fn a_port_that_another_node_has_is_refused_however_many_workers() {
    let first = lone().workers(3).start().unwrap();
    for workers in [1, 3] {
        let second = Dht::builder().listen(first.local_addr()).workers(workers).start();
        assert!(second.is_err(), "{workers} workers share a port with another node");
    }
}

#[tokio::test]
async fn a_node_that_is_closed_gives_its_port_back_with_all_its_workers() {
    let first = lone().workers(3).start().unwrap();
    let address = first.local_addr();
    tokio::time::timeout(Duration::from_secs(10), first.close()).await.unwrap().unwrap();
    let again = Dht::builder().listen(address).workers(3).start().unwrap();
    assert_eq!(again.local_addr(), address);
}
