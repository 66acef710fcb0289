//! How calls behave: cancelled by dropping, many at once, never past their deadline, with a store of one's own.

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::{network, node};
use futures_util::StreamExt;
use kad_tokio::store::{Due, Listed, Page, Usage};
use kad_tokio::wire::{Answer, Digest, Instant as Time, ItemHeader, Offer, Query, Sink};
use kad_tokio::{Copies, Error, ItemStatus, Key, Limits, MemoryStore, Store};

/// An address that swallows everything.
fn black_hole() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn no_call_hangs_past_its_deadline() {
    let hole = black_hole();
    let dht = kad_tokio::Dht::builder()
        .listen(std::net::SocketAddr::from(common::LOOPBACK))
        .bootstrap([hole.local_addr().unwrap().to_string()])
        .timeout(Duration::from_millis(300))
        .start()
        .unwrap();
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
    let deadline = Instant::now() + Duration::from_secs(5);
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

/// A store of one's own: it counts, and refuses keys that begin with a zero bit.
struct Picky(MemoryStore);

impl Store for Picky {
    fn offer(&mut self, now: Time, offer: &Offer<'_>) -> Option<Answer> {
        if !offer.key.bit(0) {
            return Some(Answer::refused(ItemStatus::Full));
        }
        self.0.offer(now, offer)
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
    let picky = node(&[&first]).id(id).store(Picky(MemoryStore::new(Limits::new(id)))).start().unwrap();
    picky.joined().await.unwrap();
    let key = |first_bit: bool| (0..).map(Key::hash_int).find(|key| key.bit(0) == first_bit).unwrap();
    for len in [10, 5000] {
        let taken = first.store(key(true), vec![1; len]).copies(Copies::All).await.unwrap();
        assert_eq!((taken.elsewhere, taken.refused.len()), (1, 0));
        let refused = first.store(key(false), vec![1; len]).copies(Copies::All).await.unwrap();
        assert_eq!((refused.elsewhere, refused.is_local_only()), (0, true));
        assert_eq!(refused.refused[0].status, ItemStatus::Full);
        assert_eq!(refused.refused[0].contact.id, id);
    }
}
