//! The flash store passes the conformance suite, and holds after a restart what it has acknowledged.

use crate::mock;

use std::time::Duration;

use kad_store::{FixedRecord, FlashBlock, FlashError, FlashStore, Limits, Listed, Store, conformance};
use kad_wire::{DeleteLock, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId};
use mock::{MockError, MockFlash};

type Flash = MockFlash<4, 4, 4096>;
const PAGES: usize = 48;
type Flashed<'m> = FlashStore<'m, &'m mut Flash, PAGES, 200>;

fn formatted() -> Flash {
    let mut flash = Flash::new(PAGES + 3);
    Flashed::format(&mut flash, 2 * 4096).expect("formats");
    flash
}

fn limits() -> Limits {
    Limits { items: 64, bytes: 64 << 10, ..Limits::new(NodeId::from_bytes([0; 32])) }
}

/// The memory that a store borrows.
struct Memory {
    records: Vec<FixedRecord>,
    blocks: Vec<FlashBlock>,
}

impl Memory {
    fn new() -> Self {
        Self { records: vec![FixedRecord::EMPTY; 64], blocks: vec![FlashBlock::EMPTY; 256] }
    }

    fn open<'m>(&'m mut self, flash: &'m mut Flash, now: Instant) -> Result<Flashed<'m>, FlashError<MockError>> {
        Flashed::open(flash, 2 * 4096, limits(), &mut self.records, &mut self.blocks, now)
    }
}

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_millis(ms)
}

fn value(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}

fn publish(store: &mut dyn Store, now: Instant, name: &str, ttl_ms: u32, value: &[u8]) -> (ItemStatus, ItemHeader) {
    let key = Key::hash(name);
    let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, ttl_ms, value);
    (store.publish(now, &key, &header, value).status, header)
}

#[test]
fn the_flash_store_conforms() {
    conformance::run(|limits| {
        let flash = Box::leak(Box::new(formatted()));
        let memory = Box::leak(Box::new(Memory::new()));
        Flashed::open(flash, 2 * 4096, limits, &mut memory.records, &mut memory.blocks, Instant::ZERO).expect("opens")
    });
}

#[test]
fn values_of_every_size_survive_a_restart() {
    let (mut flash, sizes) = (formatted(), [0, 1, 487, 488, 489, 976, 5000, 32 * 1024]);
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(77)).expect("opens");
    for (seed, len) in sizes.into_iter().enumerate() {
        let (status, _) = publish(&mut store, at(1000), &len.to_string(), 60_000, &value(len, seed as u8));
        assert_eq!(status, ItemStatus::Stored, "{len} bytes");
    }
    // The caller's clock begins anew.
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(5)).expect("opens again");
    assert_eq!((store.usage().items, store.usage().bytes), (sizes.len(), sizes.iter().sum::<usize>() as u64));
    for (seed, len) in sizes.into_iter().enumerate() {
        let (key, value) = (Key::hash(len.to_string()), value(len, seed as u8));
        let digest = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1, &value).digest;
        let mut read = vec![0; len + 9];
        assert_eq!(store.read(at(5), &key, &digest, 0, &mut read), len);
        assert_eq!(read[..len], value);
        for offset in [0, 1, 486, 487, 488, 700, 975, 976, 4999, 30_000] {
            let mut part = [0; 1000];
            let got = store.read(at(5), &key, &digest, offset, &mut part);
            let rest = value.get(offset as usize..).unwrap_or_default();
            assert_eq!(part[..got], rest[..rest.len().min(1000)], "{len} bytes from {offset}");
        }
    }
    assert_eq!(store.health(), Default::default());
    assert_eq!(flash.offences, 0);
}

#[test]
fn lifetimes_and_ages_go_on_after_a_restart() {
    let mut flash = formatted();
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(1_000_000)).expect("opens");
    let (_, first) = publish(&mut store, at(1_000_000), "first", 100_000, b"first");
    let (_, second) = publish(&mut store, at(1_030_000), "second", 100_000, b"second");
    let mut memory = Memory::new();
    let store = memory.open(&mut flash, at(10)).expect("opens again");
    let listed = |store: &Flashed<'_>, now, header: &ItemHeader| {
        let mut item = store.next_item(now, None);
        while item.is_some_and(|item| item.header.digest != header.digest) {
            item = store.next_item(now, item.map(|item| item.place()).as_ref());
        }
        item.map(|item| (item.header.ttl_ms, item.header.age_ms, item.own))
    };
    assert_eq!(listed(&store, at(10), &first), Some((70_000, 30_000, true)), "what was written last tells the time");
    assert_eq!(listed(&store, at(10), &second), Some((100_000, 0, true)));
    assert_eq!(listed(&store, at(70_010), &first), None);
    // The caller knows how long the power was off.
    let (mut memory, start, off) = (Memory::new(), 2 * 4096, Duration::from_secs(69));
    let Memory { records, blocks } = &mut memory;
    let store = Flashed::open_after(&mut flash, start, limits(), records, blocks, at(10), off).expect("opens");
    assert_eq!(listed(&store, at(10), &first), Some((1000, 99_000, true)));
    assert_eq!(listed(&store, at(10), &second), Some((31_000, 69_000, true)));
}

#[test]
fn the_clock_is_written_hourly() {
    let mut flash = formatted();
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(0)).expect("opens");
    publish(&mut store, at(0), "long", 100 * 3_600_000, b"long");
    for minute in 0..10 * 60 + 30 {
        store.expire(at(minute * 60_000));
    }
    let before = store.into_flash().writes;
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(0)).expect("opens again");
    let left_ms = store.next_item(at(0), None).expect("held").header.ttl_ms;
    assert_eq!(left_ms, 90 * 3_600_000, "it has aged ten hours");
    store.forget(&Key::hash("long"), None);
    assert!(before < 60, "{before} writes in ten hours");
}

#[test]
fn what_was_acknowledged_about_an_item_survives() {
    let mut flash = formatted();
    let mut memory = Memory::new();
    let mut store = memory.open(&mut flash, at(0)).expect("opens");
    publish(&mut store, at(0), "mine", 1_000_000, b"mine");
    publish(&mut store, at(0), "forgotten", 100_000_000, b"forgotten");
    let before = store.health();
    // Republished every ten seconds: few writes, and no lifetime is shorter than answered.
    for second in 1..=500u64 {
        publish(&mut store, at(second * 10_000), "mine", 1_000_000, b"mine");
    }
    assert_eq!(store.forget(&Key::hash("forgotten"), None), 1);
    assert_eq!(store.health(), before);
    let flash_ref = store.into_flash();
    assert!(flash_ref.writes < 49 * 6 + 300, "{} writes", flash_ref.writes);
    let mut memory = Memory::new();
    let store = memory.open(&mut flash, at(0)).expect("opens again");
    let next = |item: &Listed| store.next_item(at(0), Some(&item.place()));
    let items: Vec<_> = std::iter::successors(store.next_item(at(0), None), next).collect();
    let named = |name: &str| items.iter().find(|item| item.key == Key::hash(name)).expect("held");
    let ttl_ms = named("mine").header.ttl_ms;
    assert!(named("mine").own && (1_000_000..=1_135_000).contains(&ttl_ms), "{ttl_ms}");
    assert!(!named("forgotten").own);
}

#[test]
fn a_flash_without_a_store_is_left_unchanged() {
    for fill in [|_| 0xff, |_| 0u8, |at: usize| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]] {
        let mut flash = Flash::new(PAGES + 3);
        flash.bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = fill(at));
        let before = flash.bytes.clone();
        let mut memory = Memory::new();
        assert_eq!(memory.open(&mut flash, at(0)).err(), Some(FlashError::NotFormatted));
        assert_eq!(flash.bytes, before, "not touched");
        Flashed::format(&mut flash, 2 * 4096).expect("formats");
        assert_eq!(flash.bytes[..2 * 4096], before[..2 * 4096], "nothing outside is touched");
        let mut store = memory.open(&mut flash, at(0)).expect("opens");
        assert_eq!(publish(&mut store, at(0), "name", 1000, b"value").0, ItemStatus::Stored);
    }
}

#[test]
fn garbage_behind_the_superblock_is_an_error_or_an_empty_store() {
    let mut dice = mock::Dice(7);
    for round in 0..200 {
        let mut flash = formatted();
        for byte in &mut flash.bytes[3 * 4096..] {
            *byte = if round % 2 == 0 { dice.byte() } else { dice.byte() & dice.byte() & dice.byte() };
        }
        let mut memory = Memory::new();
        match memory.open(&mut flash, at(0)) {
            Ok(mut store) => {
                assert_eq!(store.usage().items, 0);
                publish(&mut store, at(0), "name", 1000, b"value");
            }
            Err(error) => assert_eq!(error, FlashError::Corrupt),
        }
    }
}

#[test]
fn flipped_bits_lose_items_but_serve_no_wrong_bytes() {
    let mut dice = mock::Dice(11);
    let (mut damaged, mut formatted_anew) = (0, 0);
    let mut flash = formatted();
    for round in 0..150u64 {
        let mut memory = Memory::new();
        let opened = memory.open(&mut flash, at(0));
        if opened.as_ref().is_err_and(|error| *error == FlashError::Corrupt) {
            Flashed::format(&mut flash, 2 * 4096).expect("formats");
            formatted_anew += 1;
            continue;
        }
        let mut store = opened.expect("opens");
        for number in 0..60u64 {
            let value = value(number as usize * 40, number as u8);
            let name = number.to_string();
            let (key, digest) = (
                Key::hash(&name),
                ItemHeader::publish(&Key::hash(&name), ItemType::RAW, DeleteLock::NONE, 1, &value).digest,
            );
            let mut read = vec![0; value.len()];
            let len = store.read(at(100), &key, &digest, 0, &mut read);
            assert!(len == 0 || read == value, "never a wrong byte");
            if (number + round) % 5 == 0 {
                publish(&mut store, at(100), &name, 3_600_000, &value);
            }
        }
        damaged += store.health().damaged;
        for _ in 0..dice.roll(8) {
            let byte = 3 * 4096 + dice.roll(48 * 4096) as usize;
            flash.bytes[byte] ^= 1 << dice.roll(8);
        }
        // Sometimes damages a page's marks or a whole page, or restores an older copy of a page.
        let page = (3 + dice.roll(48) as usize) * 4096;
        match dice.roll(12) {
            0 => flash.bytes[page..page + 4].fill(dice.byte()),
            1 => flash.bytes[page + 4092..page + 4096].fill(dice.byte()),
            2 => flash.bytes[page..page + 4096].fill(dice.byte()),
            3 => flash.bytes.copy_within(page..page + 4096, (3 + dice.roll(48) as usize) * 4096),
            _ => {}
        }
    }
    assert!(damaged > 50, "{damaged} were noticed");
    assert!(formatted_anew < 50, "{formatted_anew} times beyond repair");
}

#[test]
fn a_store_on_a_failing_flash_refuses_items_and_keeps_others() {
    for worn in [false, true] {
        let mut flash = formatted();
        let mut memory = Memory::new();
        let mut store = memory.open(&mut flash, at(0)).expect("opens");
        let (_, header) = publish(&mut store, at(0), "held", 3_600_000, b"held");
        let flash_ref = store.into_flash();
        (flash_ref.stuck, flash_ref.worn) = (!worn, worn);
        let mut memory = Memory::new();
        let mut store = memory.open(&mut flash, at(0)).expect("reading still works");
        for number in 0..50 {
            let (status, _) = publish(&mut store, at(number), &number.to_string(), 3_600_000, &[1; 1000]);
            assert_eq!(status, ItemStatus::Full);
        }
        let again = publish(&mut store, at(10), "held", 3_600_000, b"held");
        assert_eq!(again.0, ItemStatus::Already);
        assert!(store.health().failed >= 50);
        assert_eq!((store.usage().items, store.usage().evicted), (1, 0));
        let item = store.next_item(at(20), None).expect("held");
        assert_eq!(item.header.ttl_ms, 3_600_000 - 20, "what could not be written is not promised");
        let mut bytes = [0; 4];
        assert_eq!(store.read(at(20), &Key::hash("held"), &header.digest, 0, &mut bytes), 4);
    }
}

#[test]
fn memory_and_flash_must_fit_each_other() {
    let mut flash = formatted();
    let most = Flashed::blocks_for(64);
    let (mut records, mut blocks) = (vec![FixedRecord::EMPTY; 64], vec![FlashBlock::EMPTY; most + 1]);
    let mut open = |records: &mut [FixedRecord], blocks: &mut [FlashBlock], start| {
        Flashed::open(&mut flash, start, limits(), records, blocks, at(0)).err()
    };
    assert_eq!(open(&mut records, &mut blocks, 2 * 4096), Some(FlashError::TooLittleFlash));
    assert_eq!(open(&mut records, &mut blocks[..most], 2 * 4096), None);
    assert_eq!(open(&mut records, &mut blocks[..most], 3 * 4096), Some(FlashError::Geometry), "past the end");
    assert_eq!(open(&mut records, &mut blocks[..most], 100), Some(FlashError::Geometry), "not a sector's beginning");
    let mut store =
        Flashed::open(&mut flash, 2 * 4096, limits(), &mut records, &mut blocks[..most], at(0)).expect("opens");
    for number in 0..9 {
        publish(&mut store, at(0), &number.to_string(), 1000, &[number; 1000]);
    }
    let mut open = |records: &mut [FixedRecord], blocks: &mut [FlashBlock]| {
        Flashed::open(&mut flash, 2 * 4096, limits(), records, blocks, at(0)).err()
    };
    assert_eq!(open(&mut records[..5], &mut blocks[..most]), Some(FlashError::TooLittleMemory));
    assert_eq!(open(&mut records, &mut blocks[..9]), Some(FlashError::TooLittleMemory));
}

#[test]
fn an_erase_that_fails_with_power_on_loses_no_item() {
    let start = 2 * 4096;
    for round in 0..150 {
        let mut flash = MockFlash::<4, 4, 4096>::new(8);
        type Few<'m> = FlashStore<'m, &'m mut Flash, 5, 40>;
        flash.dice = mock::Dice(round + 1);
        Few::format(&mut flash, start).expect("formats");
        flash.until_failed_erase = Some(round % 9);
        let mut promised = Vec::new();
        let mut failed = 0;
        for opening in 0..2 {
            let (mut records, mut blocks) = ([FixedRecord::EMPTY; 8], [FlashBlock::EMPTY; 12]);
            let mut store = Few::open(&mut flash, start, limits(), &mut records, &mut blocks, at(0)).expect("opens");
            let mut bytes = [0; 500];
            for name in &promised {
                let (key, value): (Key, Vec<u8>) = (Key::hash(name), value(400, 1));
                let digest = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1, &value).digest;
                assert_eq!(store.read(at(0), &key, &digest, 0, &mut bytes), 400, "{name} after {opening} openings");
            }
            for number in 0..200u64 {
                // Three keys stay; the others change.
                let name = if number < 3 { format!("stays {number}") } else { format!("goes {number}") };
                let ttl_ms = if number < 3 { 3_600_000 } else { 300 };
                let (status, _) = publish(&mut store, at(number * 100), &name, ttl_ms, &value(400, 1));
                if number < 3 && status == ItemStatus::Stored {
                    promised.push(name);
                }
            }
            for name in &promised {
                let (key, value): (Key, Vec<u8>) = (Key::hash(name), value(400, 1));
                let digest = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 1, &value).digest;
                // The store may not find it before the repair.
                let len = store.read(at(20_000), &key, &digest, 0, &mut bytes);
                assert!(len == 400 || len == 0 && opening == 0, "{name}, {opening}");
            }
            assert_eq!(store.health().damaged, 0);
            failed += store.health().failed;
        }
        assert!(failed > 0, "the erase was reached");
    }
}
