//! The wire, byte for byte: one file per message in `tests/golden`, which only a new protocol version may change.
//!
//! A vector gives the bytes of a message. The tests encode and decode it, then truncate it everywhere and flip each bit: decoding
//! either refuses the result or returns another message with exactly those bytes. Run with
//! `KAD_WRITE_GOLDEN=1` to write the files for a new message.

use std::fs;
use std::path::PathBuf;

use kad_wire::*;

/// A datagram that a writer builds in place.
type Build = Box<dyn Fn(&mut [u8]) -> Option<usize>>;

fn id(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn contact(byte: u8) -> Contact {
    let ip = if byte.is_multiple_of(2) { [192, 0, 2, byte].into() } else { "2001:db8::7".parse().unwrap() };
    Contact { id: id(byte), endpoint: std::net::SocketAddr::new(ip, 9000 + u16::from(byte)).into() }
}

fn envelope() -> Envelope {
    Envelope {
        prefix: Prefix {
            lane: 3,
            room: MaxDatagram::of(1472),
            network: NetworkId(0x4433_2211),
            tag: TransactionId::new(0x0201, 0x2aaa_bbbb_cccc, 1),
        },
        token: Token(*b"token-01"),
        sender: id(0xa5),
    }
}

fn head() -> ReplyHead {
    ReplyHead { flags: reply_flags::CUT, observed: "203.0.113.9:4001".parse::<std::net::SocketAddr>().unwrap().into() }
}

fn item(value: &[u8]) -> ItemHeader {
    let mut header =
        ItemHeader::publish(&Key::hash("name"), ItemType::RAW, DeleteLock([0x10; 16]), 3_600_000, value).aged(1500);
    header.inline_len = u16::try_from(value.len()).unwrap();
    header
}

fn request(flags: u8, request: Request<'static>) -> Build {
    Box::new(move |out| request.encode(&envelope(), RequestFlags(flags), out))
}

fn vectors() -> Vec<(&'static str, Build)> {
    let find_value = FindValue {
        limit: 8,
        types: TypeMask::only(ItemType::CONTENT),
        burst: 0,
        max_age_ms: 60_000,
        cursor: 17,
        key: Key::hash("name"),
        padding: 311,
    };
    let pull = Pull {
        lane: 0,
        chunk_len: 1200,
        offset: 1084,
        bitmap: 0x07ff_ffff,
        offer: TransactionId::new(9, 77, 0),
        key: Key::hash("name"),
        digest: item(b"value").digest,
    };
    let find_node = FindNode { limit: 20, target: Key::hash("name"), padding: 321 };
    let wants = RequestFlags::WANT_V4 | RequestFlags::WANT_V6;
    vec![
        ("ping", request(RequestFlags::CLIENT, Request::PING)),
        ("ping_advertised", request(wants, Request::Ping(Some(contact(8).endpoint)))),
        ("find_node", request(wants, Request::FindNode(find_node))),
        ("find_value", request(wants | RequestFlags::HEADERS_ONLY, Request::FindValue(find_value))),
        ("pull", request(0, Request::Pull(pull))),
        ("goodbye", request(0, Request::Goodbye)),
        (
            "store",
            Box::new(|out| {
                let flags = RequestFlags::default();
                let mut writer = StoreWriter::begin(&envelope(), flags, StoreMode::Replicate, out)?;
                writer.push(&Key::hash("name"), &item(b"value"))?.copy_from_slice(b"value");
                writer.push(&Key::hash("other"), &item(&[7; 5000]).with_inline(0))?;
                writer.finish()
            }),
        ),
        ("pong", Box::new(|out| Reply::Pong.encode(&envelope(), &head(), out))),
        (
            "nodes",
            Box::new(|out| {
                let mut writer = NodesWriter::begin(&envelope(), &head(), out)?;
                (1..=20).try_for_each(|byte| writer.push(&contact(byte)))?;
                Some(writer.finish())
            }),
        ),
        (
            "value",
            Box::new(|out| {
                let mut writer = ValueWriter::begin(&envelope(), &head(), 2, out)?;
                writer.push(&item(b"value"))?.copy_from_slice(b"value");
                writer.push(&item(&[7; 5000]).with_inline(0))?;
                writer.push_contact(&contact(1))?;
                writer.push_contact(&contact(2))?;
                writer.set_total(5, 0x0102_0304);
                Some(writer.finish())
            }),
        ),
        ("chunk", Box::new(|out| Chunk { offset: 2284, bytes: b"some bytes" }.encode(&envelope().prefix, out))),
        ("chunk_empty", Box::new(|out| Chunk { offset: 0, bytes: b"" }.encode(&envelope().prefix, out))),
        (
            "stored",
            Box::new(|out| {
                let mut writer = StoredWriter::begin(&envelope(), &head(), out)?;
                writer.push(&StoredItem::new(0, ItemStatus::Stored, 0, 3_600_000))?;
                writer.push(&StoredItem::new(1, ItemStatus::Busy, 250, 0))?;
                writer.finish()
            }),
        ),
        ("refused", Box::new(|out| Reply::refused(Refusal::NeedToken, 0).encode(&envelope(), &head(), out))),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

fn build(build: &Build) -> Vec<u8> {
    let mut out = [0xee; 1232];
    let len = build(&mut out).expect("fits a datagram");
    out[..len].to_vec()
}

/// Sixteen bytes a line, as in the protocol's tables.
fn to_hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    bytes.chunks(16).map(line).collect()
}

fn golden(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn every_message_has_the_bytes_of_its_vector() {
    for (name, message) in vectors() {
        let bytes = build(&message);
        if std::env::var_os("KAD_WRITE_GOLDEN").is_some() {
            fs::write(path(name), to_hex(&bytes)).unwrap();
        }
        assert_eq!(to_hex(&bytes), to_hex(&golden(name)), "{name} has changed on the wire");
    }
}

#[test]
fn every_vector_decodes_and_encodes_to_itself() {
    for (name, _) in vectors() {
        let bytes = golden(name);
        let datagram = Datagram::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut out = [0; 1232];
        let len = datagram.encode(&mut out).unwrap();
        assert_eq!(to_hex(&out[..len]), to_hex(&bytes), "{name}");
    }
}

#[test]
fn the_fields_of_the_vectors_are_read_back() {
    let bytes = golden("value");
    let Datagram::Reply { envelope: read, head: read_head, reply: Reply::Value(value) } =
        Datagram::decode(&bytes).unwrap()
    else {
        panic!("value is a VALUE");
    };
    assert_eq!((read, read_head), (envelope(), head()));
    assert_eq!((value.total, value.next_cursor, value.items.len()), (5, 0x0102_0304, 2));
    let items: Vec<_> = value.items.iter().collect();
    assert_eq!((items[0].header, items[0].inline), (item(b"value"), &b"value"[..]));
    assert_eq!(items[0].header.verify(&Key::hash("name"), b"value"), Ok(()));
    assert_eq!((items[1].header.total_len, items[1].inline.len()), (5000, 0));
    assert_eq!(value.contacts.iter().collect::<Vec<_>>(), [contact(1), contact(2)]);

    let bytes = golden("stored");
    let Datagram::Reply { reply: Reply::Stored(items), .. } = Datagram::decode(&bytes).unwrap() else {
        panic!("stored is a STORED");
    };
    let read: Vec<_> = items.iter().map(|item| (item.index, item.status, item.retry_ms)).collect();
    assert_eq!(read, [(0, Some(ItemStatus::Stored), 0), (1, Some(ItemStatus::Busy), 250)]);
}

/// Asserts that decoding refuses these bytes or returns the one message with exactly these bytes.
fn is_refused_or_canonical(name: &str, bytes: &[u8]) {
    if let Ok(datagram) = Datagram::decode(bytes) {
        let mut out = [0; 2048];
        let len = datagram.encode(&mut out).unwrap_or_else(|| panic!("{name}: decoded but does not encode"));
        assert_eq!(&out[..len], bytes, "{name}: two encodings of {datagram:?}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused_or_canonical() {
    for (name, _) in vectors() {
        let bytes = golden(name);
        for len in 0..bytes.len() {
            is_refused_or_canonical(name, &bytes[..len]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            is_refused_or_canonical(name, &bent);
        }
        let longer = [bytes, vec![1]].concat();
        is_refused_or_canonical(name, &longer);
    }
}

#[test]
fn another_version_or_mode_is_refused() {
    let mut bytes = golden("ping");
    for version in (0..=255).filter(|&version| version != VERSION_PLAIN) {
        bytes[0] = version;
        assert_eq!(Datagram::decode(&bytes), Err(DecodeError::Version));
    }
}

#[test]
fn unknown_kinds_are_refused_as_unknown() {
    for kind in [0x00, 0x07, 0x08, 0x40, 0x87, 0xfe] {
        let mut bytes = golden("pong");
        bytes[1] = kind;
        assert_eq!(Datagram::decode(&bytes), Err(DecodeError::Kind), "kind {kind:#x}");
    }
}
