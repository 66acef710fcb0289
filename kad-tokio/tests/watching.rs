//! What those who look after a node are shown: events as they happen, what it holds, and who else holds it.

use crate::common;

use std::time::Duration;

use common::{network, network_of};
use kad_tokio::{Copies, Dht, Events, Key, NodeEvent, Purpose};

/// The next event, which must come soon.
async fn next(events: &mut Events) -> NodeEvent {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("something happens");
    (*event.expect("the node lives").expect("nothing was missed")).clone()
}

#[tokio::test]
async fn a_lookup_is_seen_step_by_step_and_whole_at_its_end() {
    let nodes = network(8).await;
    let (mut events, target) = (nodes[0].watch().await.unwrap(), Key::hash("target"));
    let lookup = nodes[0].lookup(target).await.unwrap();
    let (mut began, mut steps) = (None, 0);
    loop {
        match next(&mut events).await {
            NodeEvent::Began { operation, purpose: Purpose::Lookup, key } if key == target => began = Some(operation),
            NodeEvent::Step { operation, key, .. } if key == target => {
                assert_eq!(Some(operation), began);
                steps += 1;
            }
            NodeEvent::Ended { operation, lookup: told, .. } if told.target == target => {
                assert_eq!((Some(operation), told.steps.len()), (began, lookup.steps.len()));
                break;
            }
            _ => {}
        }
    }
    assert!(steps >= 3, "{steps} steps: at least the first nodes were seen being asked");
}

#[tokio::test]
async fn those_who_come_and_go_are_seen() {
    // With several workers a goodbye reaches one of them, which need not be the one whose table is told of.
    let nodes = network_of(3, |builder| builder.workers(1)).await;
    let mut events = nodes[0].watch().await.unwrap();
    let newcomer = common::node(&[&nodes[0]]).start().unwrap();
    newcomer.joined().await.unwrap();
    let came = |event: &NodeEvent| matches!(event, NodeEvent::ContactAdded(peer) if peer.contact.id == newcomer.id());
    while !came(&next(&mut events).await) {}
    newcomer.close().await.unwrap();
    let went = |event: &NodeEvent| matches!(event, NodeEvent::ContactLost(contact) if contact.id == newcomer.id());
    while !went(&next(&mut events).await) {}
}

#[tokio::test]
async fn a_slow_watcher_hears_how_many_events_it_missed() {
    let nodes = network(3).await;
    let mut events = nodes[0].watch().await.unwrap();
    for number in 0..400 {
        nodes[0].lookup(Key::hash_int(number)).await.unwrap();
    }
    let first = events.next().await.unwrap();
    assert!(first.is_err_and(|missed| missed.0 > 0));
    next(&mut events).await;
}

/// Whether so many other nodes hold the only value of a key.
async fn is_held_by(dht: &Dht, key: Key, others: usize) -> bool {
    dht.holders(key).await.unwrap().iter().map(|(_, count)| *count).eq([others])
}

#[tokio::test]
async fn copies_are_counted_where_they_are_now() {
    let nodes = network(5).await;
    for len in [20, 5000] {
        let receipt = nodes[0].store_content(vec![7; len]).copies(Copies::All).await.unwrap();
        assert_eq!(receipt.elsewhere, 4);
        assert!(is_held_by(&nodes[0], receipt.key, 4).await, "{len} bytes");
        assert!(is_held_by(&nodes[1], receipt.key, 4).await, "whoever asks is not counted");
    }
    assert_eq!(nodes[0].holders(Key::hash("unknown")).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_held_is_listed_in_pages() {
    let nodes = network(2).await;
    for number in 0..7u64 {
        nodes[(number % 2) as usize].store(Key::hash_int(number), vec![1; 10 + number as usize]).await.unwrap();
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = nodes[0].held(after, 3, false).await.unwrap();
        assert!(page.values.len() <= 3);
        seen.extend(page.values);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by_key(|held| held.key) && seen.len() == 7);
    assert_eq!(seen.iter().filter(|held| held.own).count(), 4);
    assert!(seen.iter().all(|held| held.ttl <= Duration::from_secs(3600) && held.len >= 10));
    let own = nodes[0].held(None, 100, true).await.unwrap();
    assert!(own.next.is_none() && own.values.len() == 4 && own.values.iter().all(|held| held.own));
}
