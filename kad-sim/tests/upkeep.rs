//! What nodes do when nobody asks them: tables stay fresh and values stay where they belong, spread over time, in batches, and
//! within bounds. Hours of virtual time.

use std::time::Duration;

use kad_core::{Config, FindOptions};
use kad_sim::{Settings, World};
use kad_store::{Limits, Store};
use kad_upkeep::UpkeepStats;
use kad_wire::{DeleteLock, ItemHeader, ItemType, Key, NodeId};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Longer than any story.
const NEVER: Duration = Duration::from_secs(1_000_000);

fn settings(seed: u64, replicate: Duration, republish: Duration) -> Settings {
    let limits = Limits { replicate, republish, ..Limits::new(NodeId::from_bytes([0; 32])) };
    Settings { check_every: 64, upkeep: true, limits, ..Settings::new(seed) }
}

/// A network that knows itself, whose upkeep has begun.
fn grown(settings: Settings, count: usize) -> World {
    let mut world = World::grown(settings, count);
    assert!((0..count).all(|number| world.member(number).has_joined));
    world.run_for(10 * MINUTE);
    world
}

fn stats(world: &mut World, number: usize) -> UpkeepStats {
    *world.member(number).upkeep.as_ref().expect("it has an upkeep").stats()
}

/// A figure of the upkeep, over all nodes.
fn total(world: &mut World, of: fn(&UpkeepStats) -> u64) -> u64 {
    let living: Vec<_> = world.living().collect();
    living.into_iter().map(|number| of(&stats(world, number))).sum()
}

fn refreshes(world: &mut World, number: usize) -> u64 {
    world.member(number).node().stats().refreshes
}

fn holds(world: &mut World, number: usize, key: Key) -> bool {
    let now = world.now();
    let store = &mut world.member(number).store;
    std::iter::successors(store.next_item(now, None), |item| store.next_item(now, Some(&item.place())))
        .any(|item| item.key == key)
}

/// The paper's section 2.3: a bucket without a lookup for an hour is refreshed, here give or take a quarter.
#[test]
fn a_node_that_nobody_uses_refreshes_each_bucket_about_once_an_hour() {
    let mut world = grown(settings(1, HOUR, DAY), 60);
    let before: Vec<_> = (0..60).map(|number| refreshes(&mut world, number)).collect();
    let mut busiest = 0;
    let mut last: u64 = before.iter().sum();
    for _ in 0..150 {
        world.run_for(MINUTE);
        let now = (0..60).map(|number| refreshes(&mut world, number)).sum();
        busiest = busiest.max(now - last);
        last = now;
    }
    for (number, before) in before.iter().enumerate() {
        let buckets = world.member(number).node().status().buckets as u64;
        let count = refreshes(&mut world, number) - before;
        assert!((2 * buckets..=4 * buckets).contains(&count), "node {number}: {count} refreshes of {buckets} buckets");
    }
    let all = last - before.iter().sum::<u64>();
    assert!(busiest * 15 < all, "{busiest} of {all} refreshes in one minute of 150");
}

#[test]
fn holders_replicate_at_different_times_and_not_what_another_has_just_replicated() {
    let mut world = grown(settings(2, HOUR, NEVER), 40);
    for number in 0..100 {
        world.store(number % 40, Key::hash_int(number as u64), b"value", DAY);
    }
    let mut minutes = Vec::new();
    let mut last = total(&mut world, |stats| stats.replicated);
    assert_eq!(last, 0, "nothing is due in the first minutes");
    for _ in 0..80 {
        world.run_for(MINUTE);
        let now = total(&mut world, |stats| stats.replicated);
        minutes.push(now - last);
        last = now;
    }
    let (busiest, busy) = (*minutes.iter().max().unwrap(), minutes.iter().filter(|count| **count > 0).count());
    assert!(minutes[..40].iter().all(|count| *count == 0), "not before three quarters of the interval: {minutes:?}");
    assert!(busy >= 10 && busiest < last / 2, "spread over time: {minutes:?}");
    assert!(last >= 100, "every value is replicated by somebody: {last}");
    assert!(last < 100 * 20 / 4, "{last} times, where 100 values have 20 holders each");
    let operations = total(&mut world, |stats| stats.operations);
    assert!(operations * 2 < last, "{operations} operations for {last} values: neighbours go together");
}

#[test]
fn republishing_ten_thousand_values_costs_a_fraction_of_ten_thousand_stores_and_few_places() {
    let mut world = grown(settings(3, NEVER, HOUR), 100);
    let sent = |world: &mut World| world.member(0).node().stats().requests_out;
    let before = sent(&mut world);
    for number in 0..20u64 {
        world.store(0, Key::hash_int(1_000_000 + number), b"value", DAY);
    }
    let single = (sent(&mut world) - before) as f64 / 20.0;
    for number in 0..10_000u64 {
        let (key, value) = (Key::hash_int(number), number.to_le_bytes());
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 86_400_000, &value);
        let now = world.shown(0);
        world.member(0).publish(now, &key, &header, &value);
    }
    world.drive(0);
    let before = sent(&mut world);
    let mut most = 0;
    for _ in 0..90 * 60 {
        world.run_for(Duration::from_secs(1));
        most = most.max(world.member(0).node().status().operations);
    }
    let stats = stats(&mut world, 0);
    assert!(stats.republished >= 10_020, "{stats:?}");
    let each = (sent(&mut world) - before) as f64 / stats.republished as f64;
    assert!(each < single / 8.0, "{each} requests a value, {single} alone");
    // Regions of the key space hold 600 of them here, which is more than a store looks through for one batch.
    assert!(stats.operations * 12 < stats.republished, "batches are full: {stats:?}");
    // Four of the upkeep's own, and a bucket's refresh.
    assert!(most <= 5, "{most} operations at a time");
    for number in (0..10_000u64).step_by(97) {
        let found = world.find(50, Key::hash_int(number), FindOptions::FIRST).0;
        assert_eq!(found.len(), 1, "value {number}");
    }
}

/// What befell the values that belong to a newcomer.
#[derive(Default)]
struct Given {
    due: usize,
    /// Not there after five minutes, and after an hour and a half.
    missing: [usize; 2],
    offered: u64,
}

/// Somebody joins a network of sixty nodes with 200 values.
fn given_to_a_newcomer(seed: u64) -> Given {
    let mut world = grown(settings(seed, HOUR, NEVER), 60);
    let keys: Vec<_> = (0..200).map(Key::hash_int).collect();
    for (number, key) in keys.iter().enumerate() {
        world.store(number % 60, *key, b"value", DAY);
    }
    let before = total(&mut world, |stats| stats.to_newcomers);
    let newcomer = world.add();
    assert!(world.join(newcomer, &[7]) > 0);
    world.run_for(5 * MINUTE);
    let due: Vec<_> = keys.into_iter().filter(|key| world.nearest(*key, 20).contains(&newcomer)).collect();
    let missing = |world: &mut World| due.iter().filter(|key| !holds(world, newcomer, **key)).count();
    let (soon, offered) = (missing(&mut world), total(&mut world, |stats| stats.to_newcomers) - before);
    world.run_for(90 * MINUTE);
    Given { due: due.len(), missing: [soon, missing(&mut world)], offered }
}

#[test]
fn a_newcomer_is_given_what_belongs_to_it() {
    let mut all = Given::default();
    for seed in 4..10 {
        let Given { due, missing: [soon, late], offered } = given_to_a_newcomer(seed);
        assert!(due >= 20, "{due} of 200 belong to it");
        all.due += due;
        all.missing = [all.missing[0] + soon, all.missing[1] + late];
        all.offered += offered;
    }
    let Given { due, missing: [soon, late], offered } = all;
    // At the edge of what belongs to it the node that would have to give does not know it.
    assert!(soon * 8 <= due, "{soon} of {due} are missing");
    assert!(offered <= 2 * due as u64, "{offered} offers of {due} values: not all holders do the same");
    assert!(late * 100 <= due, "{late} of {due}: replication brings the rest");
}

/// Of 40 nodes 30 go one after the other. Answers with how many of 50 values are left, each of which had 4 holders.
fn left_after_the_holders_went(go: fn(&mut World, usize)) -> usize {
    let mut settings = settings(5, NEVER, NEVER);
    settings.config = Config { k: 4, ..settings.config };
    let mut world = grown(settings, 40);
    let keys: Vec<_> = (0..50).map(Key::hash_int).collect();
    for key in &keys {
        world.store(0, *key, b"value", DAY);
    }
    for number in 0..30 {
        go(&mut world, number);
        world.run_for(MINUTE);
        assert!(!world.is_alive(number), "it is gone after a minute");
    }
    keys.into_iter().filter(|key| world.find(35, *key, FindOptions::FIRST).0.len() == 1).count()
}

#[test]
fn who_leaves_hands_over_and_who_dies_does_not() {
    let handed_over = left_after_the_holders_went(|world, number| world.leave(number, Duration::from_secs(10)));
    let died = left_after_the_holders_went(|world, number| drop(world.kill(number)));
    assert_eq!(handed_over, 50);
    // All four holders are among the 30 in 30 percent of all cases: about 35 values should be left.
    assert!((25..=43).contains(&died), "{died} of 50 survive without handing over: the story shows nothing");
}
