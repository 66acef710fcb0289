//! Arbitrary bytes: decoding never panics, and each datagram that it accepts has one encoding.

use kad_wire::*;
use proptest::prelude::*;

/// Bytes similar enough to a datagram to reach every branch.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![1u8, 2, 3, 4, 5, 6, 0x81, 0x82, 0x83, 0x84, 0x85, 0xff]);
    let body = prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..1400);
    (kinds, body).prop_map(|(kind, mut bytes)| {
        bytes.splice(0..0, [VERSION_PLAIN, kind]);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_decodes_encodes_to_itself(bytes in prop_oneof![plausible(), prop::collection::vec(any::<u8>(), 0..1500)]) {
        if let Ok(datagram) = Datagram::decode(&bytes) {
            let mut out = vec![0; bytes.len()];
            let len = datagram.encode(&mut out);
            prop_assert_eq!(len, Some(bytes.len()));
            prop_assert_eq!(&out, &bytes);
        }
    }

    #[test]
    fn lists_never_yield_more_than_they_announce(bytes in plausible()) {
        match Datagram::decode(&bytes) {
            Ok(Datagram::Request { request: Request::Store(store), .. }) => {
                prop_assert_eq!(store.items.iter().count(), store.items.len());
            }
            Ok(Datagram::Reply { reply: Reply::Value(value), .. }) => {
                prop_assert_eq!(value.items.iter().count(), value.items.len());
                prop_assert!(value.items.len() * limits::ITEM_HEADER_LEN <= bytes.len());
            }
            Ok(Datagram::Reply { reply: Reply::Stored(items), .. }) => {
                prop_assert_eq!(items.iter().count(), items.len());
            }
            _ => {}
        }
    }

    #[test]
    fn a_request_never_encodes_into_too_small_a_buffer(len in 0usize..420) {
        let find = Request::FindNode(FindNode { limit: 20, target: Key::hash("x"), padding: 321 });
        let mut out = vec![0; len];
        prop_assert_eq!(find.encode(&Envelope::default(), RequestFlags::default(), &mut out).is_some(), len >= 411);
    }
}
