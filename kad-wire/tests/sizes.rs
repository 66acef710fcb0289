//! The sizes that `docs/protocol.md` states, and the anti-amplification limit.

use kad_wire::limits::*;
use kad_wire::*;

fn encoded(request: Request<'_>) -> usize {
    request.encode(&Envelope::default(), RequestFlags::default(), &mut [0; 2000]).unwrap()
}

fn find_node(padding: usize) -> Request<'static> {
    Request::FindNode(FindNode { limit: 20, target: Key::default(), padding })
}

fn find_value(padding: usize) -> Request<'static> {
    let types = TypeMask::ALL;
    Request::FindValue(FindValue { limit: 20, types, burst: 0, max_age_ms: 0, cursor: 0, key: Key::default(), padding })
}

#[test]
fn fixed_sizes_are_those_of_the_protocol() {
    let pull = Pull {
        lane: 0,
        chunk_len: 0,
        offset: 0,
        bitmap: 0,
        offer: TransactionId::default(),
        key: Key::default(),
        digest: Digest::default(),
    };
    let requests = [Request::PING, Request::Goodbye, find_node(0), find_value(0), Request::Pull(pull)];
    assert_eq!(requests.map(encoded), [57, 57, 90, 100, 128]);
    assert_eq!(encoded(Request::Ping(Some(Endpoint::UNSPECIFIED))), 75);
    let replies = [Reply::Pong, Reply::refused(Refusal::Busy, 9)];
    let sizes = replies.map(|reply| reply.encode(&Envelope::default(), &ReplyHead::default(), &mut [0; 200]).unwrap());
    assert_eq!(sizes, [76, 80]);
    assert_eq!((STORE_INLINE_MAX, VALUE_INLINE_MAX, STORE_ITEMS_MAX), (1084, 1100, 14));
    assert_eq!(Request::padded_len(MaxDatagram::of(DATAGRAM_MAX)), 411);
    assert_eq!(Request::padded_len(MaxDatagram::of(ROOM_MIN)), 171);
}

#[test]
fn twenty_contacts_fit_a_reply_and_the_rest_is_refused() {
    let mut out = [0; DATAGRAM_MAX];
    let mut writer = NodesWriter::begin(&Envelope::default(), &ReplyHead::default(), &mut out).unwrap();
    let mut count = 0;
    while writer.push(&Contact::default()).is_some() {
        count += 1;
    }
    assert_eq!((count, writer.finish()), (23, 76 + 23 * 50));
}

#[test]
fn a_full_reply_is_at_most_three_times_a_padded_request() {
    assert!(DATAGRAM_MAX <= AMPLIFICATION * encoded(find_node(411 - 90)));
    assert!(DATAGRAM_MAX <= AMPLIFICATION * encoded(find_value(411 - 100)));
    const {
        // PONG, and the PING that probes an unknown sender.
        assert!(76 + 57 <= AMPLIFICATION * 57);
        // The same with an advertised address: the node there receives fewer bytes than the PING had.
        assert!(76 + 57 <= AMPLIFICATION * 75);
        // 20 contacts, and that PING.
        assert!(76 + 20 * 50 + 57 <= AMPLIFICATION * 411);
    }
    // REFUSED to the shortest STORE and PULL.
    assert!(80 + 57 <= AMPLIFICATION * STORE_HEAD_LEN.min(128));
}

#[test]
fn items_keep_room_for_the_contacts_that_were_asked_for() {
    let mut out = [0; DATAGRAM_MAX];
    let mut writer = ValueWriter::begin(&Envelope::default(), &ReplyHead::default(), 8, &mut out).unwrap();
    assert_eq!(writer.inline_room(), Some(700));
    let whole = ItemHeader { total_len: 701, inline_len: 701, ..ItemHeader::default() };
    assert!(writer.push(&whole).is_none() && writer.items() == 0);
    assert!(writer.push(&ItemHeader { total_len: 700, inline_len: 700, ..whole }).is_some());
    assert!(writer.inline_room().is_none());
    assert_eq!((0..20).filter(|_| writer.push_contact(&Contact::default()).is_some()).count(), 8);
    assert_eq!(writer.finish(), DATAGRAM_MAX);
}

#[test]
fn fourteen_offers_fit_a_store() {
    let mut out = [0; DATAGRAM_MAX];
    let mut writer =
        StoreWriter::begin(&Envelope::default(), RequestFlags::default(), StoreMode::Publish, &mut out).unwrap();
    let offer = ItemHeader { total_len: 32768, ..ItemHeader::default() };
    let pushed = (0..20).filter(|_| writer.push(&Key::default(), &offer).is_some()).count();
    assert_eq!((pushed, writer.finish()), (14, Some(1188)));
}

#[test]
fn the_holes_of_a_store_are_found_again() {
    let mut out = [0; DATAGRAM_MAX];
    let mut writer =
        StoreWriter::begin(&Envelope::default(), RequestFlags::default(), StoreMode::Publish, &mut out).unwrap();
    for (key, len) in [("a", 3u16), ("b", 0), ("c", 5)] {
        let header = ItemHeader { total_len: 9, inline_len: len, ..ItemHeader::default() };
        writer.push(&Key::hash(key), &header).unwrap();
    }
    let len = writer.finish().unwrap();
    for hole in Holes::of(&mut out[..len]) {
        let byte = if hole.key == Key::hash("a") { b'a' } else { b'c' };
        hole.bytes.fill(byte);
    }
    let Datagram::Request { request: Request::Store(store), .. } = Datagram::decode(&out[..len]).unwrap() else {
        panic!("a STORE");
    };
    let inline: Vec<_> = store.items.iter().map(|item| item.inline).collect();
    assert_eq!(inline, [&b"aaa"[..], b"", b"ccccc"]);
    assert_eq!(Holes::of(&mut [0; 100]).count(), 0);
}
