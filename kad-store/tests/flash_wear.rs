//! How the flash store wears a flash, and how much it writes for what it is asked to keep. `--nocapture` shows the figures that the
//! README quotes.

use crate::mock;

use kad_store::{FixedRecord, FlashBlock, FlashStore, Limits, Store};
use kad_wire::{DeleteLock, Instant, ItemHeader, ItemStatus, ItemType, Key, NodeId, Offer, StoreMode};
use mock::{Dice, MockFlash};

type Flash = MockFlash<4, 4, 4096>;
const PAGES: usize = 64;
const RECORDS: usize = 128;
type Flashed<'m> = FlashStore<'m, &'m mut Flash, PAGES, 512>;

#[derive(Default, Debug)]
struct Figures {
    puts: u64,
    value_bytes: u64,
    writes: u64,
    written: u64,
    erases: u64,
    /// Erases during one put, at the most.
    most_erases: u64,
    /// Most erases of a page.
    fewest: u64,
    most: u64,
}

/// A name, about how many bytes, and how many exactly.
type Size = (&'static str, usize, fn(&mut Dice) -> usize);

/// Puts of `len` bytes each into a store with `blocks` blocks, which is full most of the time.
fn figures(blocks: usize, rounds: u64, mean: usize, len: fn(&mut Dice) -> usize) -> Figures {
    let mut flash = Flash::new(PAGES + 1);
    Flashed::format(&mut flash, 0).expect("formats");
    let (writes, written, formatted) = (flash.writes, flash.written_bytes, flash.erases.clone());
    let (mut records, mut blocks) = (vec![FixedRecord::EMPTY; RECORDS], vec![FlashBlock::EMPTY; blocks]);
    let limits = Limits { values_per_key: 1000, ..Limits::new(NodeId::from_bytes([0; 32])) };
    let mut figures = Figures::default();
    // One put a second, with a lifetime that keeps the store nearly full.
    let items = (blocks.len() / mean.div_ceil(FlashBlock::LEN)).min(RECORDS) * 9 / 10;
    let mut dice = Dice(5);
    let mut now = Instant::ZERO;
    let mut erases = 0;
    for part in 0..rounds + 40 {
        // Reopened at times, which changes nothing, to read the counters of the flash; near the end after each put.
        let mut store = Flashed::open(&mut flash, 0, limits.clone(), &mut records, &mut blocks, now).expect("opens");
        for number in 0..if part < rounds { 100 } else { 1 } {
            now = now.plus_millis(1000);
            let len = len(&mut dice);
            let value: Vec<u8> = (0..len).map(|at| (at as u64 * 7 + part * 100 + number) as u8).collect();
            let key = Key::hash((part * 100 + number).to_le_bytes());
            let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, items as u32 * 1000, &value);
            let source = (std::net::Ipv4Addr::new(10, 1, dice.byte(), 7), 9000).into();
            let (mode, bytes) = (StoreMode::Publish, Some(&value[..]));
            let answer = store.offer(now, &Offer { key, header, bytes, mode, source, received: now });
            let status = answer.expect("with bytes there is always an answer").status;
            assert!(matches!(status, ItemStatus::Stored | ItemStatus::Full), "{status:?}");
            figures.puts += u64::from(status == ItemStatus::Stored);
            figures.value_bytes += if status == ItemStatus::Stored { len as u64 } else { 0 };
        }
        assert_eq!(store.health().failed, 0);
        let total = flash.erases.iter().sum::<u64>();
        if part >= rounds {
            figures.most_erases = figures.most_erases.max(total - erases);
        }
        erases = total;
    }
    let per_page = flash.erases.iter().zip(formatted).skip(1).map(|(erases, before)| erases - before);
    (figures.writes, figures.written) = (flash.writes - writes, flash.written_bytes - written);
    figures.erases = per_page.clone().sum();
    (figures.fewest, figures.most) = (per_page.clone().min().unwrap_or(0), per_page.max().unwrap_or(0));
    figures
}

#[test]
fn all_pages_wear_alike() {
    let most = Flashed::blocks_for(RECORDS);
    println!("{PAGES} pages of 4096 bytes, {RECORDS} records: at most {most} blocks, {} bytes", most * FlashBlock::LEN);
    for (share, blocks) in [("half", most / 2), ("all", most)] {
        let sizes: [Size; 3] = [
            ("100", 100, |_| 100),
            ("1000", 1000, |_| 1000),
            ("100 to 8000", 4000, |dice| 100 + dice.roll(7900) as usize),
        ];
        for (name, mean, len) in sizes {
            let figures = figures(blocks, if mean > 100 { 30 } else { 60 }, mean, len);
            let per = |number: u64| number as f64 / figures.puts as f64;
            println!(
                "{share} of the blocks, {name} bytes: {:.1} writes, {:.0} bytes, {:.2} erases per put; {:.2} bytes \
                 written per byte; {} erases for one put at the most; pages {} to {} erases",
                per(figures.writes),
                per(figures.written),
                per(figures.erases),
                figures.written as f64 / figures.value_bytes as f64,
                figures.most_erases,
                figures.fewest,
                figures.most,
            );
            assert!(figures.most <= figures.fewest + 2, "{figures:?}");
            assert!(figures.fewest > 0, "long enough: {figures:?}");
        }
    }
}
