//! Values over real sockets: every size from every node, several under a key, lifetimes.

use crate::common;

use std::time::Duration;

use common::{network, network_of, value};
use kad_tokio::wire::limits::{STORE_INLINE_MAX, VALUE_MAX};
use kad_tokio::{Bytes, Capacity, Copies, Error, ItemStatus, ItemType, Key, Limits, Role, TypeMask};

#[tokio::test]
async fn twenty_nodes_read_values_of_every_size_byte_for_byte() {
    // With fewer holders than nodes most readers must walk.
    for k in [20, 5] {
        let nodes = network_of(20, |builder| builder.k(k)).await;
        let sizes = [0, 1, 64, STORE_INLINE_MAX, STORE_INLINE_MAX + 1, 16384, VALUE_MAX];
        for (number, len) in sizes.into_iter().enumerate() {
            let (key, value) = (Key::hash_int(number as u64), value(number, len));
            let receipt = nodes[number].store(key, value.clone()).copies(Copies::All).await.unwrap();
            assert!(receipt.complete && receipt.copies >= usize::from(k), "{len} bytes: {receipt:?}");
            for reader in &nodes {
                let found = reader.find(key).await.unwrap().expect("it is stored");
                assert!(found.bytes == value, "{len} bytes at {}", reader.local_addr());
            }
        }
    }
}

#[tokio::test]
async fn one_byte_more_than_fits_is_refused_and_nothing_is_stored() {
    let nodes = network(3).await;
    let key = Key::hash("too large");
    let refused = nodes[0].store(key, value(0, VALUE_MAX + 1)).await;
    assert_eq!(refused, Err(Error::TooLarge { len: VALUE_MAX + 1, max: VALUE_MAX }));
    for node in &nodes {
        assert_eq!(node.find(key).await, Ok(None));
        assert_eq!(node.stats().await.unwrap().items, 0);
    }
}

#[tokio::test]
async fn three_large_values_under_one_key_are_all_read() {
    let nodes = network_of(12, |builder| builder.k(4)).await;
    let key = Key::hash("three");
    let mut expected: Vec<Bytes> = (0..3).map(|number| value(number, 30_000).into()).collect();
    for (number, value) in expected.iter().enumerate() {
        nodes[number].store(key, value.clone()).copies(Copies::All).await.unwrap();
    }
    expected.sort();
    for reader in &nodes {
        let mut stream = reader.find_all(key).values();
        let mut found = Vec::new();
        while let Some(value) = stream.next().await {
            found.push(value.unwrap().bytes);
        }
        found.sort();
        assert!(found == expected, "{} values", found.len());
    }
}

#[tokio::test]
async fn many_values_are_stored_with_one_call_and_few_requests() {
    let nodes = network(10).await;
    let items: Vec<_> = (0..100).map(|number| (Key::hash_int(number), value(number as usize, 40))).collect();
    let before = nodes[0].stats().await.unwrap().core.requests_out;
    let receipts = nodes[0].store_many(items.clone()).copies(Copies::All).await.unwrap();
    assert_eq!(receipts.len(), 100);
    assert!(receipts.iter().zip(&items).all(|(receipt, (key, _))| receipt.key == *key && receipt.copies == 10));
    let requests = nodes[0].stats().await.unwrap().core.requests_out - before;
    assert!(requests < 9 * 100 / 4, "{requests} requests for a hundred values on nine nodes");
    for (key, value) in items {
        assert_eq!(nodes[9].find(key).await.unwrap().unwrap().bytes, value);
    }
}

#[tokio::test]
async fn lifetimes_ages_and_types_are_kept() {
    let nodes = network_of(6, |builder| builder.k(3)).await;
    let key = Key::hash("short");
    nodes[0].store(key, "value").ttl(Duration::from_secs(1)).await.unwrap();
    let found = nodes[5].find(key).await.unwrap().unwrap();
    assert!(found.ttl <= Duration::from_secs(1) && found.item_type == ItemType::RAW);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in &nodes {
        assert_eq!(node.find(key).await, Ok(None));
    }
    for ttl in [Duration::ZERO, Duration::from_secs(8 * 24 * 3600)] {
        assert_eq!(nodes[0].store(key, "value").ttl(ttl).await, Err(Error::Lifetime));
    }
    let receipt = nodes[1].store_content("content").await.unwrap();
    assert_eq!(receipt.key, Key::hash("content"));
    let raw_only = nodes[4].find(receipt.key).types(TypeMask::only(ItemType::RAW)).await;
    assert_eq!(raw_only, Ok(None));
    let content = nodes[4].find(receipt.key).types(TypeMask::only(ItemType::CONTENT)).await.unwrap().unwrap();
    assert_eq!(content.bytes, "content");
    let old = nodes[4].find(receipt.key).not_older_than(Duration::ZERO).await;
    assert_eq!(old, Ok(None));
}

#[tokio::test]
async fn a_store_returns_at_its_quorum() {
    let nodes = network(20).await;
    let receipt = nodes[0].store(Key::hash("quick"), "value").await.unwrap();
    assert!(receipt.elsewhere >= 3 && receipt.copies == receipt.elsewhere + 1);
    let receipt = nodes[0].store(Key::hash("all"), "value").copies(Copies::All).await.unwrap();
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.complete), (20, 19, true));
    assert!(receipt.refused.is_empty() && receipt.silent.is_empty() && !receipt.is_local_only());
}

#[tokio::test]
async fn what_is_forgotten_is_no_longer_published() {
    let nodes = network(3).await;
    let key = Key::hash("mine");
    let receipt = nodes[0].store(key, "value").await.unwrap();
    assert_eq!(nodes[1].forget(key).await, Ok(0), "only its publisher can");
    assert_eq!(nodes[0].forget_value(key, receipt.digest).await, Ok(true));
    assert_eq!(nodes[0].forget(key).await, Ok(0));
}

#[tokio::test]
async fn a_store_that_waits_for_nobody_returns_at_once_and_goes_on() {
    let nodes = network(3).await;
    let receipt = nodes[0].store(Key::hash("k"), "v").copies(Copies::AtLeast(0)).await.unwrap();
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.complete), (1, 0, false));
    while nodes[1].stats().await.unwrap().items + nodes[2].stats().await.unwrap().items < 2 {
        tokio::task::yield_now().await;
    }
}

/// Keys that share a region travel together: their holders must be right nevertheless, also for a client that has just
/// come and knows little.
#[tokio::test]
async fn what_a_newcomer_stores_at_once_is_found_one_by_one() {
    let mut nodes: Vec<kad_tokio::Dht> = Vec::new();
    for number in 0..150usize {
        let through: Vec<_> = (number > 0).then(|| &nodes[number * 7919 % number.max(1)]).into_iter().collect();
        let builder = common::node(&through).k(4).capacity(Capacity::SMALL).socket_buffer(256 << 10);
        nodes.push(builder.start().unwrap());
        if number > 0 {
            nodes[number].joined().await.unwrap();
        }
    }
    let client = common::node(&[&nodes[70]]).k(4).role(Role::Client).start().unwrap();
    let items: Vec<_> = (0..500).map(|number| (Key::hash_int(number), value(number as usize, 20))).collect();
    let receipts = client.store_many(items.clone()).copies(Copies::All).await.unwrap();
    assert!(receipts.iter().all(|receipt| receipt.complete && receipt.elsewhere == 4), "{receipts:?}");
    client.close().await.unwrap();
    for (number, (key, value)) in items.into_iter().enumerate() {
        let found = nodes[number % 150].find(key).await.unwrap();
        assert!(found.is_some_and(|found| found.bytes == value), "value {number}");
    }
}

#[tokio::test]
async fn an_item_given_twice_is_stored_once() {
    let nodes = network(3).await;
    let items = ["a", "b", "a"].map(|text| (Key::hash(text), text));
    let receipts = nodes[0].store_many(items).copies(Copies::All).await.unwrap();
    assert!(receipts.iter().all(|receipt| receipt.elsewhere == 2 && receipt.complete));
    assert_eq!((receipts[0].key, nodes[1].stats().await.unwrap().items), (receipts[2].key, 2));
}

#[tokio::test]
async fn what_the_own_store_refuses_concerns_no_other_item() {
    let first = common::node(&[]).start().unwrap();
    let limits = Limits { bytes: 1000, ..Limits::new(first.id()) };
    let small = common::node(&[&first]).limits(limits).start().unwrap();
    let items = [(Key::hash("a"), vec![1; 800]), (Key::hash("b"), vec![2; 800]), (Key::hash("c"), vec![3; 100])];
    let stored = small.store_many(items).copies(Copies::All).await;
    let Err(Error::TooFewCopies { receipts }) = stored else { panic!("{stored:?}") };
    let elsewhere: Vec<_> = receipts.iter().map(|receipt| (receipt.elsewhere, receipt.reached)).collect();
    assert_eq!(elsewhere, [(1, true), (0, false), (1, true)]);
    assert_eq!((receipts[1].refused[0].contact.id, receipts[1].copies), (small.id(), 0));
    let again = small.store(Key::hash("d"), vec![4; 800]).await;
    assert_eq!(again, Err(Error::Refused(ItemStatus::Full)));
    // What it held before is still there.
    assert_eq!(small.find(Key::hash("a")).await.unwrap().unwrap().bytes, vec![1; 800]);
}

#[tokio::test]
async fn nobody_can_take_over_the_key_of_content() {
    let nodes = network_of(8, |builder| builder.k(3)).await;
    let content = nodes[0].store_content("the true one").await.unwrap();
    nodes[1].store(content.key, "another one").copies(Copies::All).await.unwrap();
    for node in &nodes {
        assert_eq!(node.find_content(content.key).await.unwrap().unwrap().bytes, "the true one");
    }
}

#[tokio::test]
async fn a_reader_that_cannot_take_a_value_says_so() {
    let first = common::node(&[]).start().unwrap();
    first.store(Key::hash("large"), vec![1; 5000]).await.unwrap();
    first.store(Key::hash("large"), "small").await.unwrap();
    let reader = common::node(&[&first]).value_max(1000).start().unwrap();
    let mut values = reader.find_all(Key::hash("large")).values();
    assert_eq!(values.next().await.unwrap().unwrap().bytes, "small");
    assert_eq!(values.next().await, Some(Err(Error::Truncated)));
    first.forget(Key::hash("large")).await.unwrap();
}
