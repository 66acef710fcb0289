//! Any bytes through every decoder of kad-wire: never a panic, one encoding per message, lists as long as they say.

use kad_wire::limits::{CONTACT_LEN, ITEM_HEADER_LEN, STORE_ITEMS_MAX};
use kad_wire::{Datagram, Holes, ItemHeader, Key, NodeId, Reply, Request};

/// Runs one input.
pub fn run(data: &[u8]) {
    holes(data);
    text(data);
    let Ok(datagram) = Datagram::decode(data) else { return };
    let mut out = vec![0; data.len()];
    assert_eq!(datagram.encode(&mut out), Some(data.len()), "what decodes encodes to as many bytes");
    assert_eq!(out, data, "a message has one encoding");
    if let Some(short) = out.len().checked_sub(1) {
        assert_eq!(datagram.encode(&mut out[..short]), None, "it does not fit fewer");
    }
    lists(&datagram, data.len());
}

/// Lists are as long as they say, and lie within the datagram.
fn lists(datagram: &Datagram<'_>, len: usize) {
    match datagram {
        Datagram::Request { request: Request::Store(store), .. } => {
            assert!((1..=STORE_ITEMS_MAX).contains(&store.items.len()));
            assert_eq!(store.items.iter().count(), store.items.len());
            for item in store.items.iter() {
                item_is_sound(&item.key, &item.header, item.inline);
            }
        }
        Datagram::Reply { reply: Reply::Value(value), .. } => {
            assert_eq!(value.items.iter().count(), value.items.len());
            assert_eq!(value.contacts.iter().count(), value.contacts.len());
            assert!(value.items.len() * ITEM_HEADER_LEN + value.contacts.len() * CONTACT_LEN <= len);
            for item in value.items.iter() {
                item_is_sound(&Key::default(), &item.header, item.inline);
            }
        }
        Datagram::Reply { reply: Reply::Nodes(contacts), .. } => {
            assert_eq!(contacts.iter().count(), contacts.len());
            assert!(contacts.len() * CONTACT_LEN <= len);
        }
        Datagram::Reply { reply: Reply::Stored(items), .. } => {
            assert!((1..=STORE_ITEMS_MAX).contains(&items.len()));
            assert_eq!(items.iter().count(), items.len());
        }
        _ => {}
    }
}

fn item_is_sound(key: &Key, header: &ItemHeader, inline: &[u8]) {
    assert_eq!(usize::from(header.inline_len), inline.len());
    assert!(inline.len() <= header.total_len as usize);
    let aged = header.aged(1000);
    assert!(aged.ttl_ms <= header.ttl_ms && aged.age_ms >= header.age_ms, "ageing never lengthens a life");
    // Any answer will do, as long as there is one.
    let _ = header.verify(key, inline);
}

/// The holes of anything lie within it, and do not overlap: filling them changes no byte outside.
fn holes(data: &[u8]) {
    let mut bytes = data.to_vec();
    let filled: usize = Holes::of(&mut bytes).map(|hole| hole.bytes.len()).sum();
    assert!(filled <= data.len());
    for hole in Holes::of(&mut bytes) {
        for byte in hole.bytes {
            *byte = !*byte;
        }
    }
    let changed = bytes.iter().zip(data).filter(|(now, before)| now != before).count();
    assert_eq!(changed, filled, "every byte of a hole is in it once");
    if let (Ok(Datagram::Request { request: Request::Store(store), .. }), Ok(_)) =
        (Datagram::decode(data), Datagram::decode(&bytes))
    {
        let inline: usize = store.items.iter().map(|item| item.inline.len()).sum();
        assert_eq!(filled, inline, "the holes of a STORE are its values");
    }
}

/// Keys and ids as text.
fn text(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string(), text.to_lowercase());
        assert_eq!(text.parse::<NodeId>().map(|id| *id.as_key()), Ok(key));
    }
}
