//! Where the fuzzer begins: a few inputs per target, written out by `tests/regressions.rs`.

use std::fs;
use std::path::PathBuf;

use crate::node::code;
use crate::stores::code as store_code;

/// An input with its name.
pub type Seed = (String, Vec<u8>);

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Seed> {
    match target {
        "decode" => golden(),
        "node" => node(),
        "transfers" => transfers(),
        "stores" => stores(),
        "recording" => vec![recording()],
        _ => Vec::new(),
    }
}

/// The golden vectors of kad-wire.
fn golden() -> Vec<Seed> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../kad-wire/tests/golden");
    let files =
        fs::read_dir(&directory).expect("the golden vectors are there").map(|entry| entry.expect("a file").path());
    let mut seeds: Vec<Seed> = files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a vector is text");
            let bytes = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("a vector is hex"));
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, bytes.collect())
        })
        .collect();
    seeds.sort();
    seeds
}

/// A recording of a node that does next to nothing.
fn recording() -> Seed {
    let mut bytes = Vec::new();
    let id = kad_wire::NodeId::from_bytes([7; 32]);
    let (config, limits) = (kad_core::Config::default(), kad_store::Limits::new(id));
    let header = kad_record::Header::new(id, [1; 32], &config, kad_core::Capacity::SMALL, &limits);
    let mut writer = kad_record::Writer::new(&mut bytes, &header).expect("a vector takes everything");
    let from = std::net::SocketAddr::from(([10, 0, 0, 1], 9000)).into();
    for input in [kad_record::Input::Datagram { from, via: 0, bytes: vec![5; 20] }, kad_record::Input::Timeout] {
        let entry = kad_record::Entry { at: kad_wire::Instant::ZERO, input, outputs: 7 };
        writer.entry(&entry).expect("a vector takes everything");
    }
    ("two-inputs".into(), bytes)
}

fn seed(name: &str, head: &[u8], steps: &[[u8; 4]]) -> Seed {
    (name.into(), [head, steps.as_flattened()].concat())
}

/// Three nodes that know each other, with a few places for everything.
const NODES: [u8; 4] = [1, 0x15, 0x81, 0x05];

fn node() -> Vec<Seed> {
    use code::*;
    vec![
        seed("nothing", &NODES, &[]),
        seed("join", &[5, 0x15, 0x81, 0x05], &[[JOIN, 1, 0, 0x40], [DELIVER_ALL, 40, 0, 0], [JOIN, 2, 1, 0x40]]),
        seed("store-and-find", &NODES, &[[STORE, 0, 0, 0], [DELIVER_ALL, 40, 0, 0], [FIND_VALUE, 2, 0, 0]]),
        seed("large-value", &NODES, &[[STORE, 0, 1, 0], [DELIVER_ALL, 80, 0, 0], [FIND_VALUE, 1, 1, 1]]),
        seed("four-values", &NODES, &[[STORE, 0x60, 1, 0], [DELIVER_ALL, 9, 0, 0], [UNTIL_TIMEOUT, 1, 0, 0]]),
        seed("cancel", &NODES, &[[FIND_VALUE, 1, 0, 0], [DELIVER, 0, 0, 0], [CANCEL, 1, 0, 0], [DELIVER, 0, 0, 0]]),
        seed("loss", &NODES, &[[FIND_NODE, 0, 1, 0], [DROP, 0, 0, 0], [UNTIL_TIMEOUT, 0, 0, 0], [DUPLICATE, 0, 0, 0]]),
        seed("bent", &NODES, &[[STORE, 0, 1, 0], [BEND, 0, 60, 1], [CUT, 0, 9, 0], [AGAIN, 0, 0, 0], [RAW, 0, 1, 5]]),
        seed(
            "strangers",
            &NODES,
            &[[FIND_VALUE, 0, 0, 0], [REPLY, 0, 0x11, 0xff], [REQUEST, 1, 0, 0], [REQUEST, 1, 5, 1]],
        ),
        seed("leave", &NODES, &[[LEAVE, 0, 0, 0], [DELIVER_ALL, 9, 0, 0], [RESTART, 0, 1, 0], [JOIN, 0, 1, 0x40]]),
        seed(
            "upkeep",
            &NODES,
            &[[PUBLISH, 0, 0, 0], [WAIT, 6, 7, 0], [UPKEEP, 0, 0, 0], [LEAVE_BY_UPKEEP, 0, 3, 0], [UPKEEP, 0, 0, 0]],
        ),
        seed(
            "places",
            &NODES,
            &[[PING, 0, 1, 0], [GROW, 0, 0, 0], [PING, 0, 4, 0], [TIMEOUT, 0, 0, 0], [EVENT, 0, 0, 0]],
        ),
        seed("moved", &NODES, &[[MOVE, 1, 1, 0], [PING, 1, 0, 0], [DELIVER_ALL, 9, 0, 0], [FORGET, 1, 0, 0]]),
        seed(
            "slow",
            &NODES,
            &[[PING | 0x80, 0, 1, 0], [TRANSMIT, 0, 0, 0], [DELIVER, 0, 0x80, 0], [LATE_FIND, 1, 0, 0]],
        ),
        seed("at", &NODES, &[[STORE_AT, 0, 1, 0x41], [DELIVER_ALL, 60, 0, 0]]),
    ]
}

/// Three values of a length each; then a byte per datagram.
fn transfers() -> Vec<Seed> {
    let head = |lengths: [u16; 3], count: u8| {
        let lengths: Vec<u8> = lengths.iter().flat_map(|len| len.to_le_bytes()).collect();
        [&NODES[..], &lengths, &[count]].concat()
    };
    let seed = |name: &str, head: Vec<u8>, fates: &[u8]| (name.into(), [&head[..], fates].concat());
    vec![
        seed("small", head([100, 0, 0], 0), &[0; 20]),
        seed("large", head([40_000, 0, 0], 0), &[0; 120]),
        seed("several", head([3000, 1100, 20_000], 2), &[[0; 30].as_slice(), &[13], &[0; 60]].concat()),
        seed(
            "rough",
            head([9000, 700, 5000], 2),
            &[0, 0, 7, 8, 0x19, 0, 0, 0x29, 7, 7, 0, 8, 0, 13, 0x3a, 0, 0x4b, 0].repeat(6),
        ),
        seed("waits", head([9000, 0, 0], 0), &[0, 0, 0xac, 0, 7, 0xbc, 0, 0, 15, 14, 0, 0, 0].repeat(4)),
    ]
}

fn stores() -> Vec<Seed> {
    use store_code::*;
    const BOUNDS: [u8; 4] = [7, 0xff, 5, 0xff];
    vec![
        seed(
            "offers",
            &BOUNDS,
            &[[OFFER, 0, 0, 0], [OFFER, 1, 8, 1], [OFFER_HEADER, 2, 0, 2], [FIND, 0, 0, 0], [NEXT_PAGE, 0, 0, 0]],
        ),
        seed(
            "own",
            &BOUNDS,
            &[[PUBLISH, 0, 0, 0], [OFFER, 0, 24, 0], [WAIT, 5, 2, 0], [POLL_DUE, 0, 0, 0], [FORGET, 0, 0, 0]],
        ),
        seed(
            "lives",
            &BOUNDS,
            &[[OFFER, 3, 3, 0], [OFFER, 4, 24, 0], [WAIT, 3, 1, 0], [READ, 3, 0, 9], [EXPIRE, 0, 0, 0]],
        ),
        seed("full", &[1, 0x10, 1, 0x10], &[[OFFER, 0, 0, 0], [PUBLISH, 3, 0, 0], [OFFER, 10, 0, 1], [OFFER, 0, 0, 2]]),
        seed(
            "due",
            &BOUNDS,
            &[[OFFER, 0, 0, 0], [PUBLISH, 9, 6, 0], [WAIT, 5, 3, 0], [DUE_NEAR, 0, 0, 0], [DUE_NEAR, 0, 1, 0]],
        ),
    ]
}
