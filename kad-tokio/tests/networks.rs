//! Networks over real sockets: growing, dying, the smallest ones.

use crate::common;

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::{network, node};
use kad_tokio::{Capacity, Copies, Dht, Error, Gap, Key, Role, StartError};

#[tokio::test]
async fn a_node_alone_stores_here_only() {
    let alone = node(&[]).start().unwrap();
    let receipt = alone.store(Key::hash("k"), "value").await.unwrap();
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.is_local_only()), (1, 0, true));
    let found = alone.find(Key::hash("k")).await.unwrap().unwrap();
    assert_eq!((&found.bytes[..], found.origin), (&b"value"[..], alone.id()));
    assert_eq!(alone.find(Key::hash("other")).await, Ok(None));
}

#[tokio::test]
async fn two_nodes_read_each_others_values() {
    let first = node(&[]).start().unwrap();
    let second = node(&[&first]).start().unwrap();
    for (publisher, reader, name) in [(&second, &first, "one way"), (&first, &second, "the other")] {
        let receipt = publisher.store(Key::hash(name), name).await.unwrap();
        assert_eq!(receipt.elsewhere, 1);
        assert_eq!(reader.find(Key::hash(name)).await.unwrap().unwrap().bytes, name);
    }
}

/// Each node starts with one random other. (A table that is sorted by prefix only loses 37 of 200 values here.)
#[tokio::test]
async fn two_hundred_nodes_find_two_hundred_values() {
    let mut nodes: Vec<Dht> = Vec::new();
    for number in 0..200usize {
        let builder = if number == 0 { node(&[]) } else { node(&[&nodes[number * 7919 % number]]) };
        nodes.push(builder.capacity(Capacity::SMALL).socket_buffer(256 << 10).start().unwrap());
        nodes[number].joined().await.unwrap();
    }
    for number in 0..200u64 {
        nodes[0].store(Key::hash_int(number), number.to_le_bytes().to_vec()).copies(Copies::All).await.unwrap();
    }
    for number in 0..200u64 {
        let found = nodes[199].find(Key::hash_int(number)).await.unwrap();
        assert_eq!(found.expect("found").bytes[..], number.to_le_bytes());
    }
}

/// Ends a node as a crash would: without a word.
async fn kill(nodes: &mut Vec<Dht>, number: usize) {
    let address = nodes.remove(number).local_addr();
    // Its thread closes the socket when it sees that nobody holds it.
    while std::net::UdpSocket::bind(address).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn with_the_three_nearest_holders_dead_a_find_answers_within_two_seconds() {
    let mut nodes = common::network_of(30, |builder| builder.k(8)).await;
    let key = Key::hash("popular");
    nodes[0].store(key, "value").copies(Copies::All).await.unwrap();
    nodes.sort_by_key(|node| node.id().distance(&key));
    for _ in 0..3 {
        kill(&mut nodes, 0).await;
    }
    let reader = nodes.last().unwrap();
    let start = Instant::now();
    assert_eq!(reader.find(key).await.unwrap().unwrap().bytes, "value");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn with_one_of_nine_nodes_dead_a_store_has_eight_copies() {
    let mut nodes = network(9).await;
    kill(&mut nodes, 4).await;
    let receipt = nodes[0].store(Key::hash("k"), "value").copies(Copies::All).await.unwrap();
    assert_eq!((receipt.copies, receipt.elsewhere), (8, 7));
}

#[tokio::test]
async fn a_node_that_closes_hands_over_what_only_it_holds() {
    let nodes = network(3).await;
    let key = Key::hash("handed over");
    // A client's value lives where the client put it; here on the only server that it knew.
    let lone = node(&[]).start().unwrap();
    lone.store(key, vec![9; 5000]).await.unwrap();
    let joined = common::lone().bootstrap([lone.local_addr().to_string()]);
    let bridge = joined.start().unwrap();
    bridge.joined().await.unwrap();
    assert_eq!(nodes[0].find(key).await, Ok(None), "two networks so far");
    lone.close().await.unwrap();
    assert_eq!(bridge.find(key).await.unwrap().unwrap().bytes, vec![9; 5000]);
    assert_eq!(lone.store(key, "late").await, Err(Error::Closed));
}

#[tokio::test]
async fn an_unreachable_bootstrap_is_an_error_and_no_hang() {
    let gone = node(&[]).start().unwrap();
    let address = gone.local_addr();
    gone.close().await.unwrap();
    let stranded = common::lone().role(Role::Client);
    let stranded = stranded.bootstrap([address.to_string()]).start().unwrap();
    assert_eq!(stranded.joined().await, Err(Error::Unreachable));
    assert_eq!(stranded.find(Key::hash("k")).await, Err(Error::Unreachable));
    assert_eq!(stranded.lookup(Key::hash("k")).await, Err(Error::Unreachable));
    assert_eq!(stranded.joined().await, Err(Error::Unreachable));
    let stored = stranded.store(Key::hash("k"), "value").await;
    let Err(Error::TooFewCopies { receipts }) = stored else { panic!("{stored:?}") };
    assert_eq!((receipts[0].copies, receipts[0].elsewhere), (0, 0), "a client's own copy does not count");
}

#[tokio::test]
async fn a_node_joins_late_when_its_bootstrap_comes_late() {
    let reserved = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    let early = common::lone().bootstrap([address.to_string()]).start().unwrap();
    assert!(early.joined().await.is_err());
    drop(reserved);
    let late = common::lone().listen(address).start().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while early.stats().await.unwrap().contacts == 0 {
        assert!(Instant::now() < deadline, "it never joined");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(early.peers().await.unwrap()[0].contact.id, late.id());
}

#[tokio::test]
async fn nodes_talk_over_ipv6_and_to_both_families() {
    let both = common::lone().listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).start().unwrap();
    let port = both.local_addr().port();
    let v6 = common::lone().listen(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).bootstrap([format!("[::1]:{port}")]);
    let v4 = common::lone().bootstrap([format!("localhost:{port}")]);
    let (v6, v4) = (v6.start().unwrap(), v4.start().unwrap());
    v6.joined().await.unwrap();
    v4.joined().await.unwrap();
    both.store(Key::hash("k"), "for both").copies(Copies::All).await.unwrap();
    for reader in [&v6, &v4] {
        assert_eq!(reader.find(Key::hash("k")).await.unwrap().unwrap().bytes, "for both");
    }
    let families: Vec<_> = v4.peers().await.unwrap().iter().map(|peer| peer.contact.endpoint.is_v4()).collect();
    assert_eq!(families, [true], "an IPv4 node is told of no IPv6 contact");
}

#[tokio::test]
async fn a_client_serves_nobody_and_enters_no_table() {
    let nodes = network(5).await;
    let client = node(&[&nodes[0]]).role(Role::Client).start().unwrap();
    client.joined().await.unwrap();
    let receipt = client.store(Key::hash("k"), vec![4; 9000]).copies(Copies::All).await.unwrap();
    assert_eq!((receipt.copies, receipt.elsewhere), (5, 5));
    for node in &nodes {
        assert!(node.peers().await.unwrap().iter().all(|peer| peer.contact.id != client.id()));
    }
    assert_eq!(nodes[0].ping(client.local_addr()).await, Err(Error::Unreachable));
}

#[tokio::test]
async fn pings_lookups_and_peers_tell_the_truth() {
    let nodes = network(8).await;
    let pong = nodes[0].ping(nodes[5].local_addr()).await.unwrap();
    assert_eq!(pong.contact.id, nodes[5].id());
    let target = Key::hash("anything");
    let lookup = nodes[0].lookup(target).await.unwrap();
    let mut expected: Vec<_> = nodes[1..].iter().map(Dht::id).collect();
    expected.sort_by_key(|id| id.distance(&target));
    assert_eq!(lookup.closest().map(|contact| contact.id).collect::<Vec<_>>(), expected);
    assert!(lookup.steps.iter().all(|step| step.rtt.is_some() && step.order > 0));
    let mut known: Vec<_> = nodes[0].peers().await.unwrap().iter().map(|peer| peer.contact.id).collect();
    known.sort_by_key(|id| id.distance(&target));
    assert_eq!(known, expected);
}

#[tokio::test]
async fn a_port_in_use_and_a_senseless_setting_are_typed_errors() {
    let taken = node(&[]).start().unwrap();
    let again = common::lone().listen(taken.local_addr()).start();
    assert!(matches!(again, Err(StartError::Bind { address, .. }) if address == taken.local_addr()));
    assert!(matches!(node(&[]).k(0).start(), Err(StartError::Config(_))));
    assert!(matches!(node(&[]).socket_batch(0).start(), Err(StartError::Setting(_))));
}

/// A node that knows its network leaves it at once if there is nothing to hand over, even when contacts are silent.
#[tokio::test]
async fn leaving_takes_no_longer_than_it_must() {
    let mut nodes = network(4).await;
    let start = Instant::now();
    nodes.pop().unwrap().close().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    kill(&mut nodes, 0).await;
    let start = Instant::now();
    nodes[0].close().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

/// Two networks become one although nobody was ever without contacts.
#[tokio::test]
async fn parts_that_lost_each_other_find_together_through_a_bootstrap_node() {
    let reserved = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let later = reserved.local_addr().unwrap();
    let first = node(&[]).start().unwrap();
    let both = node(&[&first]).bootstrap([later.to_string()]).rejoin_interval(Duration::from_secs(1)).start().unwrap();
    assert_eq!(both.joined().await, Ok(1));
    drop(reserved);
    let other = common::lone().listen(later).start().unwrap();
    other.store(Key::hash("there"), "value").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while both.peers().await.unwrap().iter().all(|peer| peer.contact.id != other.id()) {
        assert!(Instant::now() < deadline, "they never found together");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(both.find(Key::hash("there")).await.unwrap().unwrap().bytes, "value");
}

/// Three of four others die without a word. Whichever worker serves the call, and however often it is asked, it does not say
/// that there is no value; and a store does not say that all hold it who should.
#[tokio::test]
async fn who_reaches_too_few_says_so_and_who_is_cut_off_too() {
    let mut nodes = common::network_of(5, |builder| builder.workers(2)).await;
    let (dht, key) = (nodes[1].clone(), Key::hash("somewhere"));
    let stored = dht.store(key, "value").copies(Copies::All).await.unwrap();
    assert!(stored.complete && stored.ended && stored.elsewhere == 4, "{stored:?}");
    nodes.truncate(2);
    let missing = Key::hash("nowhere");
    let few = Err(Error::Incomplete(Gap { nearest: 4, answered: 1, unfetched: 0 }));
    for _ in 0..4 {
        assert_eq!(dht.find(missing).await, few);
        assert_eq!(dht.find_all(missing).values().next().await.map(|end| end.map(Some)), Some(few.clone()));
    }
    let mut all = dht.find_all(key).values();
    assert!(all.next().await.unwrap().is_ok(), "what there is comes");
    assert!(matches!(all.next().await, Some(Err(Error::Incomplete(_)))), "and that there may be more");
    for _ in 0..2 {
        let stored = dht.store(missing, "value").copies(Copies::All).await.unwrap();
        assert!(!stored.complete && stored.ended && stored.elsewhere == 1, "{stored:?}");
        dht.forget(missing).await.unwrap();
    }
    drop(nodes);
    let unknown = Key::hash("unknown");
    for _ in 0..4 {
        assert_eq!(dht.find(unknown).await, Err(Error::Unreachable));
    }
}

/// Others join through it: it is what it should be, and yet it knows of values that it does not reach.
#[tokio::test]
async fn a_node_that_remembers_others_and_reaches_none_is_alone_and_says_unreachable() {
    let silent = tokio::net::UdpSocket::bind(SocketAddr::from(common::LOOPBACK)).await.unwrap();
    let seed = common::lone().workers(2).remembered([silent.local_addr().unwrap().to_string()]).start().unwrap();
    for _ in 0..4 {
        assert_eq!(seed.find(Key::hash("k")).await, Err(Error::Unreachable));
    }
    let stats = seed.stats().await.unwrap();
    assert_eq!((stats.joined, stats.bootstrap, stats.remembered, stats.contacts), (true, 0, 1, 0));
}

#[tokio::test]
async fn what_was_known_before_a_restart_is_tried_after_the_bootstrap_addresses_have_changed() {
    let silent = tokio::net::UdpSocket::bind(SocketAddr::from(common::LOOPBACK)).await.unwrap();
    let later = tokio::net::UdpSocket::bind(SocketAddr::from(common::LOOPBACK)).await.unwrap();
    let address = later.local_addr().unwrap();
    let dht = common::lone().bootstrap([silent.local_addr().unwrap().to_string()]).remembered([address.to_string()]);
    let dht = dht.start().unwrap();
    assert_eq!(dht.joined().await, Err(Error::Unreachable));
    dht.set_bootstrap(Vec::<String>::new()).unwrap();
    drop(later);
    let other = common::lone().listen(address).start().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while dht.stats().await.unwrap().contacts == 0 {
        assert!(Instant::now() < deadline, "nobody asks {}", other.local_addr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn two_nodes_with_one_id_notice() {
    let seed = node(&[]).workers(2).start().unwrap();
    let twins: Vec<_> =
        [0, 1].map(|_| node(&[&seed]).workers(2).id(kad_tokio::NodeId::from_bytes([7; 32])).start().unwrap()).into();
    let deadline = Instant::now() + Duration::from_secs(30);
    for (twin, other) in [(&twins[0], &twins[1]), (&twins[1], &twins[0])] {
        while twin.stats().await.unwrap().duplicate.is_none_or(|found| found.address != other.local_addr()) {
            assert!(Instant::now() < deadline, "{:?}", twin.stats().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(seed.stats().await.unwrap().duplicate, None);
}

/// A node meets itself at its own address, whichever of its workers answers.
#[tokio::test]
async fn a_node_that_reaches_itself_is_no_duplicate() {
    let free = tokio::net::UdpSocket::bind(SocketAddr::from(common::LOOPBACK)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let dht = common::lone().listen(address).workers(3).bootstrap([address.to_string()]).start().unwrap();
    for _ in 0..6 {
        assert_eq!(dht.ping(address).await, Err(Error::Unreachable));
    }
    let stats = dht.stats().await.unwrap();
    assert!(stats.duplicate.is_none() && stats.core.dropped_own > 0, "{stats:?}");
}
