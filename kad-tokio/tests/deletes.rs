//! Deleting what was published with a lock.

use crate::common;

use common::{network, node, value};
use kad_tokio::{Copies, DeleteLock, Dht, Error, ItemStatus, Key, Value};

const SECRET: [u8; 32] = [7; 32];

fn opened_by(key: Key, secret: [u8; 32]) -> impl Fn(&Value) -> Option<[u8; 32]> {
    move |value| value.is_locked_with(&key, &secret).then_some(secret)
}

async fn values(dht: &Dht, key: Key) -> Vec<Vec<u8>> {
    let mut values = dht.find_all(key).values();
    let mut found = Vec::new();
    while let Some(value) = values.next().await {
        found.push(value.unwrap().bytes.to_vec());
    }
    found.sort();
    found
}

#[tokio::test]
async fn whoever_knows_the_secret_deletes_everywhere() {
    let nodes = network(6).await;
    for (key, len) in [(Key::hash("small"), 64), (Key::hash("large"), 20_000)] {
        nodes[0].store(key, value(1, len)).lock(DeleteLock::of(&SECRET)).copies(Copies::All).await.unwrap();
        nodes[1].store(key, value(2, len)).lock(DeleteLock::of(&[8; 32])).copies(Copies::All).await.unwrap();
        nodes[2].store(key, value(3, len)).copies(Copies::All).await.unwrap();
        // Not the one that published it.
        let deleted = nodes[5].delete(key, opened_by(key, SECRET)).await.unwrap();
        assert_eq!((deleted.len(), deleted[0].copies), (1, 6), "{deleted:?}");
        let mut left = vec![value(2, len), value(3, len)];
        left.sort();
        for dht in &nodes {
            assert_eq!(values(dht, key).await, left, "what others published is theirs");
        }
    }
}

#[tokio::test]
async fn without_the_secret_nothing_is_deleted() {
    let nodes = network(4).await;
    let key = Key::hash("k");
    nodes[0].store(key, "locked").lock(DeleteLock::of(&SECRET)).copies(Copies::All).await.unwrap();
    nodes[0].store(key, "open").copies(Copies::All).await.unwrap();
    assert_eq!(nodes[1].delete(key, |_| Some([1; 32])).await, Ok(Vec::new()));
    assert_eq!(nodes[1].delete(Key::hash("nothing"), |_| Some(SECRET)).await, Ok(Vec::new()));
    assert_eq!(values(&nodes[2], key).await.len(), 2);
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back() {
    let nodes = network(4).await;
    let key = Key::hash(value(1, 3000));
    nodes[0].store_content(value(1, 3000)).lock(DeleteLock::of(&SECRET)).copies(Copies::All).await.unwrap();
    assert_eq!(nodes[3].delete(key, opened_by(key, SECRET)).await.unwrap().len(), 1);
    let again = nodes[0].store_content(value(1, 3000)).lock(DeleteLock::of(&SECRET)).await;
    assert_eq!(again, Err(Error::Refused(ItemStatus::Deleted)));
    // A node that comes later and has it from elsewhere finds nobody who takes it.
    let late = node(&[&nodes[1]]).start().unwrap();
    late.joined().await.unwrap();
    match late.store_content(value(1, 3000)).lock(DeleteLock::of(&SECRET)).copies(Copies::All).await {
        Err(Error::TooFewCopies { receipts }) => {
            let refused = receipts[0].refused.iter().filter(|refused| refused.status == ItemStatus::Deleted);
            assert_eq!((receipts[0].elsewhere, refused.count()), (0, 4), "{receipts:?}");
        }
        // It was given the proof when it came near.
        other => assert_eq!(other, Err(Error::Refused(ItemStatus::Deleted))),
    }
    // With another lock it is another item.
    nodes[2].store_content(value(1, 3000)).lock(DeleteLock::of(&[9; 32])).copies(Copies::All).await.unwrap();
    assert_eq!(nodes[0].find_content(key).await.unwrap().unwrap().bytes, value(1, 3000));
}

#[tokio::test]
async fn tombstones_are_not_handed_out_as_values() {
    let nodes = network(3).await;
    let key = Key::hash("k");
    nodes[0].store(key, "v").lock(DeleteLock::of(&SECRET)).copies(Copies::All).await.unwrap();
    nodes[0].delete(key, opened_by(key, SECRET)).await.unwrap();
    for dht in &nodes {
        assert_eq!(dht.find(key).await, Ok(None));
    }
}
