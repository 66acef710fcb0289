//! Many calls at once, and what they cost.

use crate::common;

use std::time::{Duration, Instant};

use common::network_of;
use kad_tokio::{Copies, Dht, Error, Key};
use tokio::task::JoinSet;

/// What came of a burst.
#[derive(Debug, Default)]
struct Outcome {
    stored: usize,
    without_copies: usize,
    errors: usize,
    slowest: Duration,
}

/// Returns the processor time of this program so far, in seconds: a busy machine changes it least.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may have blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

async fn burst(dht: &Dht, from: u64, count: u64, copies: Copies) -> Outcome {
    let mut calls = JoinSet::new();
    for number in from..from + count {
        let dht = dht.clone();
        calls.spawn(async move {
            let begun = Instant::now();
            let stored = dht.store(Key::hash_int(number), number.to_le_bytes().to_vec()).copies(copies).await;
            (stored, begun.elapsed())
        });
    }
    let mut outcome = Outcome::default();
    while let Some(call) = calls.join_next().await {
        let (stored, took) = call.unwrap();
        outcome.slowest = outcome.slowest.max(took);
        match stored {
            Ok(receipt) if receipt.elsewhere == 0 => outcome.without_copies += 1,
            Ok(_) => outcome.stored += 1,
            Err(_) => outcome.errors += 1,
        }
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_stores_at_once_have_the_copies_that_were_asked_for() {
    for nodes in [2, 6] {
        let nodes = network_of(nodes, |builder| builder.timeout(Duration::from_secs(120))).await;
        for (round, copies) in [Copies::AtLeast(1), Copies::DEFAULT, Copies::All].into_iter().enumerate() {
            let outcome = burst(&nodes[1], round as u64 * 100_000, 5_000, copies).await;
            assert_eq!((outcome.stored, outcome.without_copies, outcome.errors), (5_000, 0, 0), "{outcome:?}");
        }
        let stats = nodes[1].stats().await.unwrap();
        assert_eq!((stats.contacts, stats.calls), (nodes.len() - 1, 0), "the table is what it was");
    }
}

#[tokio::test]
async fn calls_beyond_the_places_wait_and_are_refused_at_their_deadline() {
    let hole = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let hole = hole.local_addr().unwrap();
    let dht = common::lone().calls_max(4).timeout(Duration::from_millis(400)).start().unwrap();
    let (begun, mut calls) = (Instant::now(), JoinSet::new());
    for _ in 0..20 {
        let dht = dht.clone();
        calls.spawn(async move { dht.ping(hole).await });
    }
    let (mut busy, mut asked) = (0, 0);
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Err(Error::Busy) => busy += 1,
            Err(Error::Unreachable) => asked += 1,
            other => panic!("{other:?}"),
        }
    }
    // Places that are free again at the deadline are nobody's.
    assert!(asked >= 4 && busy >= 12, "{asked} were asked, {busy} had no place");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let stats = dht.stats().await.unwrap();
    assert_eq!((stats.calls, stats.calls_refused), (0, busy));
}

/// `cargo test --release -p kad-tokio --test suite burst -- --ignored --nocapture` prints the cost: of as many stores in small
/// bursts, at once, and in small bursts again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for release builds"]
async fn fifty_thousand_stores_at_once() {
    for (count, all) in [(2, 50_000), (20, 10_000)] {
        for at_once in [2_000, all, 2_000, all, 2_000] {
            // New ones each time: a store has room for 65,536 values.
            let nodes = network_of(count, |builder| builder.timeout(Duration::from_secs(120))).await;
            let mut from = 0;
            let (begun, used, mut stored) = (Instant::now(), processor_time(), 0);
            let mut slowest = Duration::ZERO;
            for _ in 0..all / at_once {
                let outcome = burst(&nodes[1], from, at_once, Copies::AtLeast(1)).await;
                assert_eq!((outcome.without_copies, outcome.errors), (0, 0), "{outcome:?}");
                from += at_once;
                stored += outcome.stored;
                slowest = slowest.max(outcome.slowest);
            }
            let (rate, used) = (stored as f64 / begun.elapsed().as_secs_f64(), processor_time() - used);
            let stats = nodes[1].stats().await.unwrap();
            println!(
                "{} nodes, {all} stores, {at_once} at once: {rate:.0}/s, {:.0} us of processor each, slowest {slowest:.2?}",
                nodes.len(),
                used * 1e6 / stored as f64
            );
            println!(
                "  contacts {} lost {} timeouts {} repeated {} memory {}",
                stats.contacts, stats.core.contacts_lost, stats.core.timeouts, stats.core.retransmissions, stats.memory
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for release builds"]
async fn what_a_watcher_costs() {
    let nodes = network_of(8, |builder| builder).await;
    for round in 0..3 {
        let watched = |on: bool| {
            let dht = nodes[1].clone();
            async move {
                let mut events = None;
                if on {
                    let mut watcher = dht.watch().await.unwrap();
                    events = Some(tokio::spawn(async move { while watcher.next().await.is_some() {} }));
                }
                let begun = Instant::now();
                let mut calls = JoinSet::new();
                let mut done = 0u32;
                for caller in 0..64u64 {
                    let dht = dht.clone();
                    calls.spawn(async move {
                        let mut count = 0u32;
                        while begun.elapsed() < Duration::from_secs(3) {
                            dht.lookup(Key::hash_int(caller * 1_000_000 + u64::from(count))).await.unwrap();
                            count += 1;
                        }
                        count
                    });
                }
                while let Some(count) = calls.join_next().await {
                    done += count.unwrap();
                }
                if let Some(events) = events {
                    events.abort();
                }
                f64::from(done) / begun.elapsed().as_secs_f64()
            }
        };
        let (off, on) = (watched(false).await, watched(true).await);
        println!("{round}: {off:.0} unwatched, {on:.0} watched: {:.2}", on / off);
    }
}
