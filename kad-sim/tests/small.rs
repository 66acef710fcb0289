//! The smallest networks.

use std::time::Duration;

use kad_core::FindOptions;
use kad_sim::{Settings, World};
use kad_store::Store;
use kad_wire::{Key, Query};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_node_alone_stores_here_only() {
    let mut world = World::new(Settings::new(1));
    world.add();
    let key = Key::hash("alone");
    let stored = world.store(0, key, b"value", HOUR);
    assert_eq!((stored.copies, stored.timed_out, stored.took_us), (0, false, 0), "nobody else, at once");
    let now = world.now();
    struct Count(usize, [u8; 5]);
    impl kad_wire::Sink for Count {
        fn push(&mut self, _: &kad_wire::ItemHeader) -> Option<&mut [u8]> {
            self.0 += 1;
            Some(&mut self.1)
        }
    }
    let mut here = Count(0, [0; 5]);
    world.member(0).store.find(now, &Query::all(key), &mut here);
    assert_eq!((here.0, &here.1), (1, b"value"));
}

#[test]
fn two_nodes_find_each_others_values() {
    let mut world = World::grown(Settings::new(2), 2);
    for (publisher, reader, name) in [(0, 1, "from the first"), (1, 0, "from the second")] {
        let key = Key::hash(name);
        assert_eq!(world.store(publisher, key, name.as_bytes(), HOUR).copies, 1);
        let (found, _) = world.find(reader, key, FindOptions::FIRST);
        assert_eq!(found[0].1, name.as_bytes());
    }
}

#[test]
fn the_first_of_two_learns_of_the_second() {
    let mut world = World::grown(Settings::new(3), 2);
    let second = world.contact(1);
    assert_eq!(world.member(0).node().contacts().map(|known| known.contact).collect::<Vec<_>>(), [second]);
}

#[test]
fn joining_through_a_dead_address_ends_without_an_answer() {
    let mut world = World::new(Settings::new(4));
    let (alone, dead) = (world.add(), world.add());
    let address = world.member(dead).address;
    world.kill(dead);
    let operation = world.start(alone, |node, now| node.join(now, now.plus_millis(10_000), &[address]));
    let outcome = world.finish(alone, operation);
    assert_eq!(outcome.copies, 0);
}

#[test]
fn joining_through_oneself_and_twice_through_one_node_does_no_harm() {
    let mut world = World::new(Settings::new(5));
    let (first, second) = (world.add(), world.add());
    let own = world.member(second).address;
    let other = world.member(first).address;
    let operation = world.start(second, |node, now| node.join(now, now.plus_millis(10_000), &[own, other, other]));
    assert_eq!(world.finish(second, operation).copies, 1);
}
