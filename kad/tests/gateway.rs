//! Values are there through every other node as soon as a node has said 202.

use crate::common;

use std::time::Instant;

use common::network::{Network, for_each};
use common::{json, kad, succeed};

const NODES: usize = 20;

/// How many values; the variable is for those who want to be surer.
fn count() -> usize {
    std::env::var("KAD_GATEWAY_VALUES").map_or(1000, |text| text.parse().expect("KAD_GATEWAY_VALUES is a number"))
}

fn value(number: usize) -> Vec<u8> {
    // Most fit a datagram, some do not.
    let len = if number.is_multiple_of(10) { 4000 } else { number % 1000 };
    let mut value = format!("value {number} ").into_bytes();
    value.extend((0..len).map(|at| (at * 7 + number) as u8));
    value
}

#[test]
fn every_value_is_read_through_another_node_straight_after_its_202() {
    let network = Network::start(&["--nodes", &NODES.to_string(), "--values", "0"]);
    let (count, start) = (count(), Instant::now());
    let wrong = for_each(count, 4, |number| {
        let (writer, reader) = (number % NODES, (number + 1 + number / NODES % (NODES - 1)) % NODES);
        let location = network.post(writer, &value(number))?;
        match network.get(reader, &location) {
            Some((200, bytes)) if bytes == value(number) => Ok(()),
            other => Err(format!("value {number}, from {writer}, at {reader}: {:?}", other.map(|(status, _)| status))),
        }
    });
    assert!(wrong.is_empty(), "{} of {count} were not read: {wrong:#?}", wrong.len());
    eprintln!("{count} of {count} values, stored and read, in {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn nodes_of_a_network_can_have_directories_and_keep_what_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let arguments = ["--nodes", "3", "--values", "0", "--data-dir", path, "--storage", "disk"];
    let network = Network::start(&arguments);
    let first = directory.path().join("0");
    let first = first.to_str().unwrap();
    let status = json(&["status", "--json", "--data-dir", first]);
    assert_eq!(status["id"], network.report["members"][0]["id"]);
    let key = succeed(&["put", "kept", "--data-dir", first]);
    let key = String::from_utf8(key).unwrap().trim().to_owned();
    drop(network);
    assert!(!directory.path().join("0/control.json").exists(), "nobody is there to be called");

    let network = Network::start(&arguments);
    assert_eq!(network.report["members"][0]["id"], status["id"], "identities are kept");
    assert_eq!(network.get(2, &format!("/{key}")).unwrap(), (200, b"kept".to_vec()));
}

#[test]
fn a_disk_needs_a_place() {
    let output = kad().args(["dev", "--once", "--storage", "disk"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--data-dir"));
}
