//! Values between two nodes over a path that loses, doubles and reorders.

use crate::bench;

use bench::{Bench, address, config};
use kad_core::wire::{DeleteLock, ItemHeader, ItemType, Key, StoreMode};
use kad_core::{Config, Contact, FindOptions};
use kad_store::Store;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};

fn repeatable(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

/// How bad a path is: losses in a hundred, copies in a hundred, how much later a datagram may come.
#[derive(Clone, Copy, Debug)]
struct Path {
    lost: u64,
    doubled: u64,
    late_us: u64,
    seed: u64,
}

fn path(lost: std::ops::Range<u64>) -> impl Strategy<Value = Path> {
    (lost, 0u64..30, 0u64..30_000, 1u64..u64::MAX).prop_map(|(lost, doubled, late_us, seed)| Path {
        lost,
        doubled,
        late_us,
        seed,
    })
}

impl Path {
    fn fate(self) -> Box<dyn FnMut() -> Vec<u64>> {
        let mut state = self.seed;
        let mut roll = move |sides: u64| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
        };
        Box::new(move || {
            let copies = usize::from(roll(100) >= self.lost) + usize::from(roll(100) < self.doubled);
            (0..copies).map(|_| roll(self.late_us + 1)).collect()
        })
    }
}

fn value(len: usize, fill: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add((at >> 8) as u8 ^ fill)).collect()
}

/// Publishes values of these lengths in the first node's own store.
fn published(bench: &mut Bench, lens: &[usize]) -> Vec<(Key, ItemHeader)> {
    let now = bench.now;
    let store = &mut bench.homes[0].store;
    let items = lens.iter().enumerate().map(|(number, &len)| {
        let (key, value) = (Key::hash_int(number as u64), value(len, number as u8));
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
        assert!(store.publish(now, &key, &header, &value).status.is_held());
        (key, header)
    });
    items.collect()
}

fn reads_whole(receive_max: usize, window: u16, len: usize, path: Path) -> Result<usize, TestCaseError> {
    let mut bench = Bench::joined(&[config(), Config { receive_max, receive_window: window, ..config() }]);
    let items = published(&mut bench, &[len]);
    bench.fate = path.fate();
    let now = bench.now;
    bench.homes[1].node.find_value(now, now.plus_millis(20_000), items[0].0, FindOptions::FIRST).unwrap();
    bench.run_ms(21_000);
    let found = &bench.homes[1].found;
    prop_assert!(found.len() <= 1, "a value is delivered once");
    prop_assert!(found.iter().all(|(_, bytes)| *bytes == value(len, 0)), "byte for byte");
    Ok(found.len())
}

proptest! {
    #![proptest_config(repeatable(120))]

    #[test]
    fn a_value_is_read_whole_or_not_at_all(
        len in 0usize..8193,
        (receive_max, window) in (512usize..1500, 1u16..40),
        path in path(0..60),
    ) {
        reads_whole(receive_max, window, len, path)?;
    }

    /// Disorder alone stops nothing.
    #[test]
    fn a_value_is_read_over_any_path_that_delivers(
        len in 0usize..8193,
        (receive_max, window) in (512usize..1500, 1u16..40),
        path in path(0..1),
    ) {
        prop_assert_eq!(reads_whole(receive_max, window, len, path)?, 1);
    }

    #[test]
    fn a_receipt_counts_what_the_holder_has(
        lens in prop::collection::vec(prop_oneof![0usize..300, 0usize..3000, Just(8192)], 1..16),
        mode in prop::sample::select(vec![StoreMode::Publish, StoreMode::Replicate, StoreMode::Handover]),
        path in path(0..60),
    ) {
        let mut bench = Bench::joined(&[config(), config()]);
        let items = published(&mut bench, &lens);
        bench.homes[0].events.clear();
        let lossless = path.lost == 0;
        bench.fate = path.fate();
        let (now, id) = (bench.now, bench.homes[1].node.id());
        let holder = Contact { id, endpoint: address(1).into() };
        bench.homes[0].node.store_at(now, now.plus_millis(30_000), mode, &items, &[holder]).unwrap();
        bench.run_ms(31_000);
        prop_assert_eq!(bench.homes[0].events.len(), 1, "every store ends, once");
        let copies = bench.homes[0].item_copies.clone();
        let now = bench.now;
        for ((number, (key, header)), copies) in items.iter().enumerate().zip(copies) {
            let mut out = vec![0; 9000];
            let read = bench.homes[1].store.read(now, key, &header.digest, 0, &mut out);
            let listed = |store: &mut dyn Store| {
                let mut place = None;
                std::iter::from_fn(|| {
                    let item = store.next_item(now, place.as_ref());
                    place = item.map(|item| item.place());
                    place
                })
                .any(|place| place == (*key, header.digest))
            };
            let held = listed(&mut bench.homes[1].store) && out[..read] == value(lens[number], number as u8);
            prop_assert!(copies == 0 || held, "an item that counts as stored is there");
            prop_assert!(!lossless || copies == 1, "without loss everything is stored");
        }
    }
}
