//! How calls behave: cancelled by dropping, many at once, never past their deadline, with a store of one's own.

use crate::common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::{network, node};
use futures_util::StreamExt;
use kad_tokio::store::{Due, Listed, Page, Usage};
use kad_tokio::wire::{Answer, Digest, Instant as Time, ItemHeader, Offer, Query, Sink, StoreMode};
use kad_tokio::{Capacity, Copies, Error, ItemStatus, Key, Limits, MemoryStore, Receipt, Role, Store};

/// An address that swallows everything.
fn black_hole() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// The receipt of a store that did not get as many copies as were asked for.
fn too_few(stored: Result<Receipt, Error>) -> Receipt {
    match stored {
        Err(Error::TooFewCopies { receipts }) if receipts.len() == 1 => receipts[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_call_hangs_past_its_deadline() {
    let hole = black_hole();
    let dht = common::lone().bootstrap([hole.local_addr().unwrap().to_string()]);
    let dht = dht.timeout(Duration::from_millis(300)).start().unwrap();
    // The first join is still under way: nothing can be decided before the deadline.
    let start = Instant::now();
    assert_eq!(dht.find(Key::hash("k")).await, Err(Error::Timeout));
    assert_eq!(dht.lookup(Key::hash("k")).await, Err(Error::Timeout));
    assert!(dht.ping(hole.local_addr().unwrap()).await.is_err());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_dropped_call_frees_its_operation() {
    let hole = black_hole();
    let dht = node(&[]).start().unwrap();
    let ping = dht.ping(hole.local_addr().unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(30), ping).await.is_err());
    // Left alone, it would try for more than a second.
    let deadline = Instant::now() + Duration::from_millis(500);
    while dht.stats().await.unwrap().operations > 0 {
        assert!(Instant::now() < deadline, "the operation goes on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hundreds_of_calls_at_once_all_succeed() {
    let nodes = network(10).await;
    let stores = (0..500u64).map(|number| {
        let dht = nodes[number as usize % 10].clone();
        async move { dht.store(Key::hash_int(number), number.to_le_bytes().to_vec()).await }
    });
    for receipt in futures_util::future::join_all(stores).await {
        assert!(receipt.unwrap().elsewhere >= 3);
    }
    let finds = (0..500u64).map(|number| {
        let dht = nodes[(number as usize + 5) % 10].clone();
        async move { dht.find(Key::hash_int(number)).await }
    });
    for (number, found) in futures_util::future::join_all(finds).await.into_iter().enumerate() {
        assert_eq!(found.unwrap().unwrap().bytes[..], (number as u64).to_le_bytes());
    }
}

#[tokio::test]
async fn the_values_of_a_find_are_a_stream() {
    let nodes = network(4).await;
    for number in 0..10u8 {
        nodes[0].store(Key::hash("many"), vec![number]).copies(Copies::All).await.unwrap();
    }
    let values: Vec<_> = nodes[3].find_all(Key::hash("many")).values().collect().await;
    let mut bytes: Vec<_> = values.into_iter().map(|value| value.unwrap().bytes[0]).collect();
    bytes.sort_unstable();
    assert_eq!(bytes, (0..10).collect::<Vec<_>>());
}

/// With two places for operations, calls take turns; none is answered before it is done.
#[tokio::test]
async fn calls_wait_for_a_place() {
    let mut nodes = network(6).await;
    let narrow = Capacity { operations: 1, operations_max: 2, ..Capacity::SMALL };
    nodes.push(node(&[&nodes[0]]).capacity(narrow).start().unwrap());
    let stores = (0..60u64).map(|number| {
        let dht = nodes[6].clone();
        async move { dht.store(Key::hash_int(number), vec![7; 2000]).copies(Copies::All).await }
    });
    for receipt in futures_util::future::join_all(stores).await {
        let receipt = receipt.unwrap();
        assert_eq!((receipt.elsewhere, receipt.complete), (6, true));
    }
    let items: Vec<_> = (100..400).map(|number| (Key::hash_int(number), "value")).collect();
    let many = nodes[6].store_many(items).copies(Copies::All);
    let (many, found) = futures_util::future::join(many.into_future(), nodes[6].lookup(Key::hash("x"))).await;
    assert!(found.is_ok(), "a large store leaves room for others");
    assert!(many.unwrap().iter().all(|receipt| receipt.complete && receipt.elsewhere == 6));
}

#[tokio::test]
async fn a_call_that_waits_in_vain_for_a_place_says_so_by_its_deadline() {
    let first = node(&[]).start().unwrap();
    let narrow = Capacity { operations: 1, operations_max: 1, ..Capacity::SMALL };
    let dht = node(&[&first]).capacity(narrow).workers(1).start().unwrap();
    dht.joined().await.unwrap();
    let hole = black_hole();
    let ping = dht.ping(hole.local_addr().unwrap());
    let store = dht.store(Key::hash("k"), "v").timeout(Duration::from_millis(100)).into_future();
    let (ping, stored) = futures_util::future::join(ping, store).await;
    assert_eq!((ping, stored), (Err(Error::Unreachable), Err(Error::Busy)));
    assert_eq!(first.find(Key::hash("k")).await, Ok(None), "nothing was stored");
    assert_eq!(dht.store(Key::hash("k"), "v").await.unwrap().elsewhere, 1);
}

/// A store asks for copies; one that did not get them is no success, whatever was asked for.
#[tokio::test]
async fn a_store_without_the_copies_that_were_asked_for_is_an_error_with_its_receipt() {
    let lone = common::lone().start().unwrap();
    assert!(lone.store(Key::hash("k"), "v").await.unwrap().is_local_only(), "there is nobody else");
    assert!(lone.store(Key::hash("k"), "v").copies(Copies::AtLeast(0)).await.unwrap().reached);
    assert_eq!(too_few(lone.store(Key::hash("k"), "v").copies(Copies::AtLeast(1)).await).copies, 1);
    let nodes = network(3).await;
    for (copies, enough) in [
        (Copies::All, true),
        (Copies::DEFAULT, true),
        (Copies::AtLeast(2), true),
        (Copies::AtLeast(3), false),
        (Copies::UpTo(9), true),
    ] {
        let stored = nodes[1].store(Key::hash("k"), "v").copies(copies).await;
        let receipt = if enough { stored.unwrap() } else { too_few(stored) };
        assert_eq!((receipt.elsewhere, receipt.reached), (2, enough), "{copies:?}");
        let many = nodes[1].store_many([(Key::hash("k"), "v"), (Key::hash("l"), "v")]).copies(copies).await;
        assert_eq!(many.is_ok(), enough, "{copies:?}");
    }
    // One that has met others and reaches nobody any more is not alone.
    nodes[0].close().await.unwrap();
    nodes[2].close().await.unwrap();
    for copies in [Copies::All, Copies::DEFAULT, Copies::AtLeast(1)] {
        let stored = nodes[1].store(Key::hash("m"), "v").copies(copies).timeout(Duration::from_secs(3)).await;
        assert_eq!(too_few(stored).elsewhere, 0, "{copies:?}");
    }
}

#[tokio::test]
async fn a_call_of_any_length_is_possible() {
    let nodes = network(2).await;
    let found = nodes[0].find(Key::hash("k")).timeout(Duration::MAX).await;
    assert_eq!(found, Ok(None));
    let receipt = nodes[0].store(Key::hash("k"), "v").timeout(Duration::MAX).await;
    assert_eq!(receipt.unwrap().elsewhere, 1);
}

#[tokio::test]
async fn a_stream_of_values_says_when_the_node_is_closed_under_it() {
    let hole = black_hole();
    let dht = common::lone().bootstrap([hole.local_addr().unwrap().to_string()]).start().unwrap();
    let mut values = dht.find_all(Key::hash("k")).values();
    dht.close().await.unwrap();
    dht.closed().await;
    assert_eq!(values.next().await, Some(Err(Error::Closed)));
    assert_eq!(values.next().await, None);
    assert_eq!(dht.find_all(Key::hash("k")).values().next().await, Some(Err(Error::Closed)));
}

const FULL: Answer = Answer::refused(ItemStatus::Full);

/// A store of one's own: what it refuses, it refuses.
struct Picky(MemoryStore, fn(&Offer<'_>) -> Option<Answer>);

impl Store for Picky {
    fn offer(&mut self, now: Time, offer: &Offer<'_>) -> Option<Answer> {
        (self.1)(offer).or_else(|| self.0.offer(now, offer))
    }
    fn publish(&mut self, now: Time, key: &Key, header: &ItemHeader, bytes: &[u8]) -> Answer {
        self.0.publish(now, key, header, bytes)
    }
    fn find(&mut self, now: Time, query: &Query, sink: &mut dyn Sink) -> Page {
        self.0.find(now, query, sink)
    }
    fn read(&mut self, now: Time, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        self.0.read(now, key, digest, offset, out)
    }
    fn forget(&mut self, key: &Key, digest: Option<&Digest>) -> usize {
        self.0.forget(key, digest)
    }
    fn expire(&mut self, now: Time) -> usize {
        self.0.expire(now)
    }
    fn poll_due(&mut self, now: Time) -> Option<Due> {
        self.0.poll_due(now)
    }
    fn next_wake(&self) -> Option<Time> {
        self.0.next_wake()
    }
    fn due_near(&mut self, now: Time, until: Time, first: &Due, bits: usize, take: &mut dyn FnMut(&Due) -> bool) {
        self.0.due_near(now, until, first, bits, take);
    }
    fn next_item(&self, now: Time, after: Option<&(Key, Digest)>) -> Option<Listed> {
        self.0.next_item(now, after)
    }
    fn usage(&self) -> Usage {
        self.0.usage()
    }
}

#[tokio::test]
async fn a_store_of_ones_own_decides_and_the_receipt_says_why() {
    let first = node(&[]).start().unwrap();
    let id = kad_tokio::NodeId::from_bytes([5; 32]);
    let picky = node(&[&first])
        .id(id)
        .store(Picky(MemoryStore::new(Limits::new(id)), |offer| (!offer.key.bit(0)).then_some(FULL)))
        .start()
        .unwrap();
    picky.joined().await.unwrap();
    let key = |first_bit: bool| (0..).map(Key::hash_int).find(|key| key.bit(0) == first_bit).unwrap();
    for len in [10, 5000] {
        let taken = first.store(key(true), vec![1; len]).copies(Copies::All).await.unwrap();
        assert_eq!((taken.elsewhere, taken.refused.len()), (1, 0));
        let refused = too_few(first.store(key(false), vec![1; len]).copies(Copies::All).await);
        assert_eq!((refused.elsewhere, refused.is_local_only()), (0, true));
        assert_eq!(refused.refused[0].status, ItemStatus::Full);
        assert_eq!(refused.refused[0].contact.id, id);
    }
}

/// A reader leaves a copy at the nearest node that did not have the value, however large it is.
#[tokio::test]
async fn a_large_value_is_left_where_it_was_missing() {
    let nodes = common::network_of(4, |builder| builder.k(4)).await;
    let (key, value) = (Key::hash("popular"), common::value(1, 20_000));
    let id = kad_tokio::NodeId::from_bytes(*key.as_bytes());
    let is_no_copy = |offer: &Offer<'_>| (offer.mode != StoreMode::Cache).then_some(FULL);
    let nearest = node(&[&nodes[0]]).k(4).id(id).store(Picky(MemoryStore::new(Limits::new(id)), is_no_copy));
    let nearest = nearest.start().unwrap();
    nearest.joined().await.unwrap();
    let receipt = nodes[0].store(key, value.clone()).copies(Copies::All).await.unwrap();
    assert_eq!(receipt.refused.len(), 1);
    let reader = node(&[&nodes[0]]).role(Role::Client).start().unwrap();
    // A find ends with the first value: only one that has heard the nearest node say that it has none leaves it a copy.
    let deadline = Instant::now() + Duration::from_secs(20);
    while nearest.stats().await.unwrap().items == 0 {
        assert!(Instant::now() < deadline, "no copy was left");
        assert_eq!(reader.find(key).await.unwrap().unwrap().bytes, value);
    }
    let found = nearest.find(key).await.unwrap().unwrap();
    assert_eq!((found.bytes, found.origin), (value.into(), id));
}

#[tokio::test]
async fn a_busy_holder_does_not_hold_up_a_quorum() {
    let nodes = network(5).await;
    let id = kad_tokio::NodeId::from_bytes([5; 32]);
    let busy = node(&[&nodes[0]]).id(id).store(Picky(MemoryStore::new(Limits::new(id)), |_| Some(Answer::busy(5000))));
    let busy = busy.start().unwrap();
    busy.joined().await.unwrap();
    let receipt = nodes[0].store(Key::hash("k"), "v").copies(Copies::AtLeast(4)).await.unwrap();
    assert!(receipt.elsewhere == 4 && !receipt.complete && receipt.silent.is_empty(), "{receipt:?}");
    let all =
        nodes[0].store(Key::hash("k"), "v").copies(Copies::All).timeout(Duration::from_millis(300)).await.unwrap();
    assert!(all.elsewhere == 4 && !all.complete && all.refused[0].status == ItemStatus::Busy, "{all:?}");
}
