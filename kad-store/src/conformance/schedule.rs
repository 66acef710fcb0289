//! Replication and republishing.

use alloc::vec;
use alloc::vec::Vec;

use kad_wire::StoreMode;

use super::{HOUR_MS, at_ms, header, key, put};
use crate::Store;

pub(super) fn is_due_hourly_unless_another_holder_replicates(store: &mut impl Store) {
    let key = key(1);
    put(store, at_ms(0), StoreMode::Publish, &key, 10 * HOUR_MS, b"value");
    let hour = u64::from(HOUR_MS);
    assert_eq!(store.poll_due(at_ms(hour * 3 / 4 - 1)), None, "not before three quarters of an hour");
    let due = store.poll_due(at_ms(hour * 5 / 4)).expect("by an hour and a quarter");
    assert_eq!((due.key, due.mode, due.header.ttl_ms), (key, StoreMode::Replicate, 10 * HOUR_MS - HOUR_MS * 5 / 4));
    assert_eq!(store.poll_due(at_ms(hour * 5 / 4)), None, "once an interval");
    // Another holder replicates the item: this store puts it off by an interval.
    put(store, at_ms(hour * 15 / 8), StoreMode::Replicate, &key, 10 * HOUR_MS, b"value");
    assert_eq!(store.poll_due(at_ms(hour * 21 / 8 - 1)), None);
    assert!(store.next_wake().is_some_and(|at| at >= at_ms(hour * 21 / 8)));
    assert!(store.poll_due(at_ms(hour * 25 / 8)).is_some());
    // In its last seconds an item is not passed on.
    let nearly_over = at_ms(10 * hour - 1000);
    assert_eq!(store.poll_due(nearly_over), None);
}

pub(super) fn own_items_are_republished_daily(store: &mut impl Store) {
    let key = key(1);
    let ttl_ms = 72 * HOUR_MS;
    store.publish(at_ms(0), &key, &header(&key, ttl_ms, 0, b"value"), b"value");
    let (mut replicated, mut published) = (0, 0);
    for quarter in 1..=4 * 48u64 {
        let now = at_ms(quarter * u64::from(HOUR_MS) / 4);
        while let Some(due) = store.poll_due(now) {
            match due.mode {
                StoreMode::Publish => published += 1,
                _ => replicated += 1,
            }
        }
    }
    assert!((1..=2).contains(&published), "republished {published} times in two days");
    assert!((36..=60).contains(&(replicated + published)), "hourly besides: {replicated}");
    store.forget(&key, None);
    for hour in 48..72u64 {
        let due = store.poll_due(at_ms(hour * u64::from(HOUR_MS) + 1));
        assert!(due.is_none_or(|due| due.mode == StoreMode::Replicate), "a forgotten item is not republished");
    }
}

pub(super) fn due_items_of_a_region_are_taken_together(store: &mut impl Store) {
    let hour = u64::from(HOUR_MS);
    for (second, distance) in [(0, 0x10), (1, 0x11), (2, 0x18), (3, 0x40), (900, 0x12), (3000, 0x13)] {
        put(store, at_ms(second * 1000), StoreMode::Publish, &key(distance), 10 * HOUR_MS, &[distance]);
    }
    // At this time the first four are due with any jitter, and the last is not.
    let now = at_ms(hour * 5 / 4 + 4000);
    let first = store.poll_due(now).expect("due");
    let mut along = Vec::new();
    store.due_near(now, now, &first, 4, &mut |due| {
        along.push(due.key);
        true
    });
    let mut together: Vec<_> = along.iter().copied().chain([first.key]).collect();
    together.sort_unstable();
    let region = if first.key == key(0x40) { vec![key(0x40)] } else { [0x10, 0x11, 0x18].map(key).to_vec() };
    assert!(region.iter().all(|key| together.contains(key)), "the region shares four bits: {together:?}");
    assert!(!together.contains(&key(0x13)) && (together.len() == 1 || !together.contains(&key(0x40))));
    let left: Vec<_> = core::iter::from_fn(|| store.poll_due(now)).map(|due| due.key).collect();
    assert!(left.iter().all(|key| !together.contains(key)), "an item that was taken is not due again");
    let later = at_ms(4 * hour);
    let first = store.poll_due(later).expect("due");
    let mut offered = 0;
    store.due_near(later, later, &first, 0, &mut |_| {
        offered += 1;
        offered < 3
    });
    let left = core::iter::from_fn(|| store.poll_due(later)).count();
    assert_eq!((offered, left), (3, 3), "of six items, poll_due took one and due_near two; the refused one stays due");
    let latest = at_ms(6 * hour);
    let first = store.poll_due(latest).expect("due");
    store.due_near(latest, at_ms(9 * hour), &first, 0, &mut |due| {
        assert_ne!(due.key, first.key, "due_near does not return the first item itself");
        true
    });
}
