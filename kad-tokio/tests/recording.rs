//! What a node was given can be repeated, with the same outputs.

use crate::common;

use std::time::Duration;

use common::{network_of, node, value};
use kad_record::{Error, Input, Reader, replay};
use kad_tokio::{Copies, Key};

/// Records a node that does a bit of everything among others. Answers with the recording.
async fn recorded() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let nodes = network_of(6, |builder| builder.k(3)).await;
    let recorded = node(&[&nodes[0]]).k(3).record(&file).start().unwrap();
    recorded.joined().await.unwrap();
    for number in 0..20u64 {
        let (near, far) = (Key::hash_int(number), Key::hash_int(100 + number));
        recorded.store(near, value(number as usize, 1500 * number as usize)).copies(Copies::All).await.unwrap();
        nodes[number as usize % 6].store(far, value(number as usize, 900 * number as usize)).await.unwrap();
        assert!(nodes[3].find(near).await.unwrap().is_some());
        assert!(recorded.find(far).await.unwrap().is_some());
    }
    let items: Vec<_> = (200..240).map(|number| (Key::hash_int(number), vec![number as u8; 30])).collect();
    recorded.store_many(items).await.unwrap();
    recorded.forget(Key::hash_int(3)).await.unwrap();
    recorded.lookup(Key::hash("x")).await.unwrap();
    // One that is cancelled.
    let lost = recorded.ping(([127, 0, 0, 1], 9).into());
    assert!(tokio::time::timeout(Duration::from_millis(5), lost).await.is_err());
    recorded.close().await.unwrap();
    recorded.closed().await;
    // The file is whole when the worker is gone.
    let mut bytes = std::fs::read(&file).unwrap();
    while !matches!(replay(&bytes[..], |_| {}), Ok(replayed) if replayed.entries > 0 && ends_with_leaving(&bytes)) {
        tokio::task::yield_now().await;
        bytes = std::fs::read(&file).unwrap();
    }
    bytes
}

fn ends_with_leaving(recording: &[u8]) -> bool {
    let mut left = false;
    replay(recording, |entry| left |= matches!(entry.input, Input::Leave { .. })).is_ok() && left
}

#[tokio::test]
async fn a_recorded_node_does_the_same_again() {
    let recording = recorded().await;
    let mut kinds = std::collections::BTreeSet::new();
    let replayed = replay(&recording[..], |entry| {
        kinds.insert(format!("{:?}", entry.input).split([' ', '(']).next().unwrap().to_owned());
    });
    let replayed = replayed.unwrap();
    assert!(replayed.datagrams_in > 100 && replayed.datagrams_out > 100, "{replayed:?}");
    for kind in ["Datagram", "Event", "Upkeep", "Transmit", "Start", "Cancel", "Publish", "Forget", "Leave"] {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
}

#[tokio::test]
async fn a_recording_that_was_changed_is_noticed() {
    let recording = recorded().await;
    // A cut end, as after a crash, is no mistake.
    let cut = replay(&recording[..recording.len() - 5], |_| {}).unwrap();
    assert!(cut.entries > 100);
    // A bit in the middle of the first long datagram that was answered changes what the node does, or is no entry any more.
    let (mut noticed, mut tried) = (0, 0);
    for at in (400..recording.len()).step_by(recording.len() / 60) {
        let mut changed = recording.clone();
        changed[at] ^= 1;
        tried += 1;
        match replay(&changed[..], |_| {}) {
            Err(Error::Diverged { .. } | Error::Damaged { .. }) => noticed += 1,
            Ok(replayed) => assert!(replayed.entries > 0),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(noticed * 2 > tried, "{noticed} of {tried}");
    assert!(matches!(Reader::new(&b"something else"[..]), Err(Error::Mark)));
}
