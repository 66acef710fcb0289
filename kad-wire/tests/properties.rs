//! Arbitrary messages: encoding and decoding are inverse, and each message has one encoding.

use kad_wire::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn repeatable(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

fn key() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::from_bytes)
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Endpoint { ip, port })
}

fn contact() -> impl Strategy<Value = Contact> {
    (key(), endpoint()).prop_map(|(id, endpoint)| {
        // On the wire an address has no link.
        Contact { id: NodeId::from_bytes(*id.as_bytes()), endpoint: endpoint.without_link() }
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<u8>(), 512usize..5000, any::<u32>(), any::<u64>(), any::<[u8; 8]>(), key()).prop_map(
        |(lane, room, network, tag, token, sender)| Envelope {
            prefix: Prefix {
                lane,
                room: MaxDatagram::of(room),
                network: NetworkId(network),
                tag: TransactionId::from_bits(tag),
            },
            token: Token(token),
            sender: NodeId::from_bytes(*sender.as_bytes()),
        },
    )
}

/// A header with `inline` as its first bytes, and the bytes.
fn item() -> impl Strategy<Value = (ItemHeader, Vec<u8>)> {
    let inline = prop::collection::vec(any::<u8>(), 0..120);
    (any::<(u8, u8, u32, u32, u32)>(), any::<([u8; 16], [u8; 16])>(), inline).prop_map(
        |((item_type, flags, rest, ttl_ms, age_ms), (digest, lock), inline)| {
            let header = ItemHeader {
                item_type: ItemType(item_type),
                flags,
                inline_len: inline.len() as u16,
                total_len: (inline.len() as u32).saturating_add(rest),
                ttl_ms,
                age_ms,
                digest: Digest(digest),
                lock: DeleteLock(lock),
            };
            (header, inline)
        },
    )
}

/// The requests other than STORE.
fn request() -> impl Strategy<Value = Request<'static>> {
    let find_node = (any::<u8>(), key(), 0usize..1100)
        .prop_map(|(limit, target, padding)| Request::FindNode(FindNode { limit, target, padding }));
    let find_value = (any::<(u8, u8, u8, u32, u32)>(), key(), 0usize..1100).prop_map(
        |((limit, types, burst, max_age_ms, cursor), key, padding)| {
            let types = TypeMask(types);
            Request::FindValue(FindValue { limit, types, burst, max_age_ms, cursor, key, padding })
        },
    );
    let pull = (any::<(u8, u16, u32, u64, u64)>(), key(), any::<[u8; 16]>()).prop_map(
        |((lane, chunk_len, offset, bitmap, offer), key, digest)| {
            let (offer, digest) = (TransactionId::from_bits(offer), Digest(digest));
            Request::Pull(Pull { lane, chunk_len, offset, bitmap, offer, key, digest })
        },
    );
    let ping = prop::option::of(endpoint()).prop_map(Request::Ping);
    prop_oneof![ping, Just(Request::Goodbye), find_node, find_value, pull]
}

fn head() -> impl Strategy<Value = ReplyHead> {
    (any::<u8>(), endpoint()).prop_map(|(flags, observed)| ReplyHead { flags, observed })
}

/// Asserts that a message encodes to `len` bytes that decode to it, and that shorter and longer bytes do not.
fn round_trip(datagram: &Datagram<'_>, written: Option<&[u8]>) -> Result<Vec<u8>, TestCaseError> {
    let mut out = vec![0xee; 2000];
    let len = datagram.encode(&mut out).unwrap();
    prop_assert!(written.is_none_or(|written| written == &out[..len]), "a writer writes what encodes");
    prop_assert_eq!(Datagram::decode(&out[..len]), Ok(*datagram));
    prop_assert_eq!(datagram.encode(&mut vec![0; len - 1]), None, "nothing is written past the end");
    out.truncate(len);
    Ok(out)
}

proptest! {
    #![proptest_config(repeatable(1000))]

    #[test]
    fn a_request_is_read_as_it_was_written(envelope in envelope(), flags in any::<u8>(), request in request()) {
        // One flag of a PING depends on whether it has an address.
        let flags = match request {
            Request::Ping(Some(_)) => flags | RequestFlags::ADVERTISED,
            Request::Ping(None) => flags & !RequestFlags::ADVERTISED,
            _ => flags,
        };
        let datagram = Datagram::Request { envelope, flags: RequestFlags(flags), request };
        let bytes = round_trip(&datagram, None)?;
        let fixed = !matches!(request, Request::FindNode(_) | Request::FindValue(_));
        let longer: Vec<_> = bytes.iter().copied().chain([1]).collect();
        prop_assert_eq!(Datagram::decode(&longer), Err(DecodeError::Malformed));
        prop_assert!(!fixed || Datagram::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_store_is_read_as_it_was_written_and_its_holes_are_found(
        envelope in envelope(),
        flags in any::<u8>(),
        mode in 0u8..4,
        items in prop::collection::vec((key(), item()), 1..16),
    ) {
        let (flags, mode) = (RequestFlags(flags), StoreMode::try_from(mode).unwrap());
        let mut out = [0; limits::DATAGRAM_MAX];
        let mut writer = StoreWriter::begin(&envelope, flags, mode, &mut out).unwrap();
        let mut taken = 0;
        for (key, (header, bytes)) in &items {
            let fits = writer.inline_room().is_some_and(|room| room >= bytes.len());
            let hole = writer.push(key, header);
            prop_assert_eq!(hole.is_some(), fits, "an item is taken if there is room for it");
            if !fits {
                break;
            }
            taken += 1;
        }
        let len = writer.finish();
        prop_assert!(len.is_some());
        let len = len.unwrap();
        // The values are filled in afterwards.
        let mut filled = 0;
        let with_bytes = items[..taken].iter().filter(|(_, (_, bytes))| !bytes.is_empty());
        for (hole, (key, (header, bytes))) in Holes::of(&mut out[..len]).zip(with_bytes.clone()) {
            prop_assert_eq!((hole.key, hole.digest), (*key, header.digest));
            hole.bytes.copy_from_slice(bytes);
            filled += 1;
        }
        prop_assert_eq!(filled, with_bytes.count());
        let Ok(datagram) = Datagram::decode(&out[..len]) else { panic!("what was written is read") };
        let Datagram::Request { request: Request::Store(store), .. } = datagram else { panic!("as a STORE") };
        let read: Vec<_> = store.items.iter().map(|item| (item.key, (item.header, item.inline.to_vec()))).collect();
        prop_assert_eq!(&read[..], &items[..taken]);
        prop_assert_eq!(store.mode, mode);
        round_trip(&datagram, Some(&out[..len]))?;
    }

    #[test]
    fn a_list_of_contacts_is_read_as_it_was_written(
        envelope in envelope(),
        head in head(),
        contacts in prop::collection::vec(contact(), 0..30),
        room in 76usize..limits::DATAGRAM_MAX,
    ) {
        let mut out = vec![0; room];
        let mut writer = NodesWriter::begin(&envelope, &head, &mut out).unwrap();
        let taken = contacts.iter().take_while(|contact| writer.push(contact).is_some()).count();
        prop_assert_eq!(taken, contacts.len().min((room - 76) / limits::CONTACT_LEN));
        let len = writer.finish();
        let Ok(datagram) = Datagram::decode(&out[..len]) else { panic!("what was written is read") };
        let Datagram::Reply { reply: Reply::Nodes(read), .. } = datagram else { panic!("as NODES") };
        prop_assert_eq!(&read.iter().collect::<Vec<_>>()[..], &contacts[..taken]);
        round_trip(&datagram, Some(&out[..len]))?;
    }

    #[test]
    fn values_are_read_as_they_were_written(
        envelope in envelope(),
        head in head(),
        items in prop::collection::vec(item(), 0..20),
        contacts in prop::collection::vec(contact(), 0..30),
        reserved in 0usize..9,
        (total, next_cursor) in any::<(u16, u32)>(),
    ) {
        let mut out = [0; limits::DATAGRAM_MAX];
        let mut writer = ValueWriter::begin(&envelope, &head, reserved, &mut out).unwrap();
        let mut taken = 0;
        for (header, bytes) in &items {
            let Some(hole) = writer.push(header) else { break };
            hole.copy_from_slice(bytes);
            taken += 1;
        }
        prop_assert!(writer.contact_room() >= reserved, "items leave room for contacts");
        let named = contacts.iter().take_while(|contact| writer.push_contact(contact).is_some()).count();
        prop_assert!(named >= reserved.min(contacts.len()));
        prop_assert!(writer.push(&ItemHeader::EMPTY).is_none() || named == 0, "items come before contacts");
        let extra = usize::from(writer.items() > taken);
        writer.set_total(total, next_cursor);
        let len = writer.finish();
        let Ok(datagram) = Datagram::decode(&out[..len]) else { panic!("what was written is read") };
        let Datagram::Reply { reply: Reply::Value(value), .. } = datagram else { panic!("as a VALUE") };
        prop_assert_eq!((value.total, value.next_cursor), (total, next_cursor));
        let read: Vec<_> = value.items.iter().map(|item| (item.header, item.inline.to_vec())).collect();
        prop_assert_eq!(read.len(), taken + extra);
        prop_assert_eq!(&read[..taken], &items[..taken]);
        prop_assert_eq!(&value.contacts.iter().collect::<Vec<_>>()[..], &contacts[..named]);
        round_trip(&datagram, Some(&out[..len]))?;
    }

    #[test]
    fn answers_of_a_store_are_read_as_they_were_written(
        envelope in envelope(),
        head in head(),
        answers in prop::collection::vec((0usize..12, any::<(u8, u16, u32)>()), 1..20),
    ) {
        let answers: Vec<_> = answers
            .into_iter()
            .map(|(status, (index, retry, ttl))| StoredItem::new(index, ItemStatus::ALL[status], retry, ttl))
            .collect();
        let mut out = [0; limits::DATAGRAM_MAX];
        let mut writer = StoredWriter::begin(&envelope, &head, &mut out).unwrap();
        let taken = answers.iter().take_while(|answer| writer.push(answer).is_some()).count();
        prop_assert_eq!(taken, answers.len().min(limits::STORE_ITEMS_MAX));
        let len = writer.finish().unwrap();
        let Ok(datagram) = Datagram::decode(&out[..len]) else { panic!("what was written is read") };
        let Datagram::Reply { reply: Reply::Stored(read), .. } = datagram else { panic!("as STORED") };
        prop_assert_eq!(&read.iter().collect::<Vec<_>>()[..], &answers[..taken]);
        round_trip(&datagram, Some(&out[..len]))?;
    }

    #[test]
    fn refusals_and_pongs_are_read_as_they_were_written(
        envelope in envelope(),
        head in head(),
        refusal in prop::sample::select(vec![Refusal::NeedToken, Refusal::Busy, Refusal::Gone, Refusal::Unsupported]),
        argument in any::<u32>(),
    ) {
        for reply in [Reply::Pong, Reply::refused(refusal, argument)] {
            round_trip(&Datagram::Reply { envelope, head, reply }, None)?;
        }
    }

    /// Also without bytes, as in reply to a PULL with an empty bitmap.
    #[test]
    fn a_chunk_is_read_as_it_was_written(
        envelope in envelope(),
        offset in any::<u32>(),
        bytes in prop::collection::vec(any::<u8>(), 0..1300),
    ) {
        let chunk = Chunk { offset, bytes: &bytes };
        round_trip(&Datagram::Chunk { prefix: envelope.prefix, chunk }, None)?;
    }
}
