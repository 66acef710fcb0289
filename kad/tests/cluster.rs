//! Fifty daemons with addresses of their own: killed, cut off from each other, restarted, while programs use them over HTTP.
#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use common::network::{Network, for_each, wait_until};

const NODES: usize = 50;
const VALUES: usize = 200;
/// Nodes that say they reach somebody have heard of somebody within ten seconds, or ask, which takes three; and it is looked
/// every so often here.
const NOTICED: Duration = Duration::from_secs(20);
/// Nodes look for each other again every ten seconds here.
const HEALED: Duration = Duration::from_secs(60);

/// The values that were stored, and where they are.
#[derive(Default)]
struct Values(Vec<(String, Vec<u8>)>);

impl Values {
    /// Stores values through these nodes in turn.
    fn store(&mut self, network: &Network, nodes: &[usize], count: usize, label: &str) {
        let places = std::sync::Mutex::new(Vec::new());
        let wrong = for_each(count, 8, |number| {
            let len = [20, 1000, 5000][number % 3];
            let mut value = format!("{label} {number} ").into_bytes();
            value.resize(len, number as u8);
            let place = network.post(nodes[number % nodes.len()], &value)?;
            places.lock().unwrap().push((place, value));
            Ok(())
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.0.extend(places.into_inner().unwrap());
    }

    /// Reads each value through `times` of these nodes. Answers with what was not read.
    fn missing(&self, network: &Network, nodes: &[usize], times: usize) -> Vec<String> {
        for_each(self.0.len() * times, 8, |number| {
            let (place, value) = &self.0[number / times];
            let node = nodes[number % nodes.len()];
            match network.get(node, place) {
                Some((200, bytes)) if bytes == *value => Ok(()),
                other => Err(format!("{place} at node {node}: {:?}", other.map(|(status, _)| status))),
            }
        })
    }

    fn are_all_read(&self, network: &Network, nodes: &[usize], times: usize) {
        let missing = self.missing(network, nodes, times);
        assert!(missing.is_empty(), "{} of {} reads: {missing:#?}", missing.len(), self.0.len() * times);
    }
}

fn say(start: Instant, what: &str) {
    eprintln!("{:6.1} s: {what}", start.elapsed().as_secs_f64());
}

/// Every one of these nodes says this of itself.
fn all_say(network: &Network, nodes: &[usize], expected: Option<bool>) {
    let wrong = for_each(nodes.len(), 8, |at| match network.ready(nodes[at]) {
        said if said == expected => Ok(()),
        said => Err(format!("node {}: {said:?}", nodes[at])),
    });
    assert!(wrong.is_empty(), "/ready: {expected:?} is true, and they say {wrong:?}");
}

#[test]
fn fifty_nodes_lose_nothing_when_some_die_all_are_cut_apart_and_each_restarts() {
    if !kad_netns::is_possible() {
        return;
    }
    let start = Instant::now();
    let mut network = Network::start(&["--netns", "--nodes", "50", "--values", "10", "--storage", "disk"]);
    let everybody: Vec<_> = (0..NODES).collect();
    assert_eq!(network.report["failed"], 0, "{}", network.report);
    all_say(&network, &everybody, Some(true));
    let mut values = Values::default();
    values.store(&network, &everybody, VALUES, "before");
    say(start, "the network is up, and values are stored");

    crash(&mut network, &values);
    say(start, "ten nodes died and came back");
    cut(&mut network, &mut values, start);
    values.are_all_read(&network, &everybody, 2);
    say(start, "the parts are one network again");
    restart_all(&mut network, &values);
    say(start, "every node was restarted");
    values.are_all_read(&network, &everybody, 3);
    all_say(&network, &everybody, Some(true));
    say(start, "everything is there");
}

/// A fifth of the nodes dies at once, the one that everybody joined through among them.
fn crash(network: &mut Network, values: &Values) {
    let (dead, alive): (Vec<_>, Vec<_>) = (0..NODES).partition(|&number| number < NODES / 5);
    network.order("kill 0-9");
    values.are_all_read(network, &alive, 1);
    all_say(network, &alive, Some(true));
    all_say(network, &dead, None);
    network.order("start 0-9");
    all_say(network, &dead, Some(true));
}

/// Two parts and one node alone do not hear each other, until they do.
fn cut(network: &mut Network, values: &mut Values, start: Instant) {
    let (left, right): (Vec<_>, Vec<_>) = (0..NODES - 1).partition(|&number| number < NODES / 2);
    let alone = NODES - 1;
    network.order("partition 0-24 25-48 49");
    values.are_all_read(network, &left, 1);
    values.are_all_read(network, &right, 1);
    let (mut on_the_left, mut on_the_right) = (Values::default(), Values::default());
    on_the_left.store(network, &left, 20, "left");
    on_the_right.store(network, &right, 20, "right");
    on_the_left.are_all_read(network, &left, 1);
    on_the_right.are_all_read(network, &right, 1);
    assert_eq!(on_the_left.missing(network, &right, 1).len(), 20, "nothing passes from one part to the other");
    say(start, "the network is cut");

    wait_until("a node that hears nobody says so", NOTICED, || {
        all_say(network, &left[..3], Some(true));
        all_say(network, &right[..3], Some(true));
        network.ready(alone) == Some(false)
    });
    all_say(network, &left, Some(true));
    all_say(network, &right, Some(true));
    assert_eq!(network.ready(alone), Some(false), "and goes on saying so");
    say(start, "who is alone has noticed");

    network.order("heal");
    wait_until("who was alone finds the others", HEALED, || network.ready(alone) == Some(true));
    wait_until("values pass from part to part", HEALED, || {
        on_the_left.missing(network, &right, 1).is_empty() && on_the_right.missing(network, &left, 1).is_empty()
    });
    values.0.extend(on_the_left.0.into_iter().chain(on_the_right.0));
}

/// All nodes leave and come back, five at a time.
fn restart_all(network: &mut Network, values: &Values) {
    for first in (0..NODES).step_by(5) {
        let (away, here): (Vec<_>, Vec<_>) = (0..NODES).partition(|number| (first..first + 5).contains(number));
        let set = format!("{first}-{}", first + 4);
        network.order(&format!("stop {set}"));
        all_say(network, &away, None);
        let some = Values(values.0.iter().skip(first).step_by(5).cloned().collect());
        some.are_all_read(network, &here, 1);
        network.order(&format!("start {set}"));
        all_say(network, &away, Some(true));
    }
}

#[test]
fn orders_that_make_no_sense_are_refused_and_change_nothing() {
    if !kad_netns::is_possible() {
        return;
    }
    let mut network = Network::start(&["--netns", "--nodes", "3", "--values", "3", "--loss", "5%"]);
    assert_eq!(network.report["failed"], 0, "{}", network.report);
    for (order, says) in [
        ("kill", "which nodes"),
        ("kill 3", "the nodes are 0 to 2"),
        ("kill 2-1", "the nodes are"),
        ("stop x", "is not the number"),
        ("partition 0 0-1", "node 0 is in two groups"),
        ("loss 101%", "0% to 100%"),
        ("delay often", "delay"),
        ("dance", "unknown command"),
    ] {
        let answer = network.try_order(order);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(says)), "{order}: {answer}");
    }
    network.order("loss 0%");
    network.order("restart 1");
    for node in 0..3 {
        assert_eq!(network.ready(node), Some(true));
    }
}
