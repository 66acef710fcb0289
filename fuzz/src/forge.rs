//! Datagrams that a script makes up: replies to requests that are on the path, true or false, and requests of strangers.
//! Without these a script would have to guess a tag or a token to get past the first check.

use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{
    Chunk, Contact, Datagram, Envelope, FindNode, FindValue, ItemHeader, ItemStatus, MaxDatagram, NetworkId,
    NodesWriter, Prefix, Pull, Refusal, Reply, ReplyHead, Request, RequestFlags, StoreMode, StoreWriter, StoredItem,
    StoredWriter, Token, TransactionId, TypeMask, ValueWriter,
};

use crate::member::Packet;
use crate::script::Step;
use crate::values::{self, Value};
use crate::world::{STRANGERS, World, stranger};

/// Somebody answers a request, or pretends to.
pub(crate) fn reply(world: &mut World<'_>, request: &Packet, step: Step) -> Option<Packet> {
    let Ok(Datagram::Request { envelope: asked, request: question, .. }) = Datagram::decode(&request.bytes) else {
        return None;
    };
    let prefix = Prefix { room: MaxDatagram::of(if step.b & 1 == 0 { 512 } else { DATAGRAM_MAX }), ..asked.prefix };
    let prefix = if step.b & 2 == 0 { prefix } else { Prefix { tag: prefix.tag.with_attempt(step.b >> 2), ..prefix } };
    let known = world.members.iter_mut().find(|member| member.address == request.to).map(|member| member.contact());
    let named = (0..STRANGERS).map(stranger).find(|contact| contact.endpoint == request.to.into());
    let sender = match (step.b >> 4 & 7, known.or(named)) {
        (0, _) | (_, None) => world.someone(step.b).id,
        (_, Some(contact)) => contact.id,
    };
    let envelope = Envelope { prefix, token: Token([step.c | 1; 8]), sender };
    let flags = if step.b & 0x80 == 0 { 0 } else { kad_wire::reply_flags::CLIENT };
    let head = ReplyHead { flags, observed: request.from.into() };
    let answer = Answer { envelope, head, question, what: step.code, how: step.c };
    let mut out = [0; DATAGRAM_MAX];
    let len = answer.write(world, &mut out)?;
    Some(Packet { from: request.to, to: request.from, bytes: out[..len].into() })
}

struct Answer<'a> {
    envelope: Envelope,
    head: ReplyHead,
    question: Request<'a>,
    what: u8,
    how: u8,
}

impl Answer<'_> {
    fn write(&self, world: &mut World<'_>, out: &mut [u8]) -> Option<usize> {
        let Self { envelope, head, how, .. } = self;
        match (self.what >> 5, &self.question) {
            (0, Request::Ping(_)) => Reply::Pong.encode(envelope, head, out),
            (0, Request::FindNode(_)) => self.nodes(world, out),
            (0, Request::FindValue(find)) => self.value(world, find, out),
            (0, Request::Store(store)) => self.stored(store.items.len(), out),
            (0, Request::Pull(pull)) => self.chunk(pull, out),
            (1, Request::Store(store)) => self.pull_of_offer(store.items.iter().nth(usize::from(how & 3))?, out),
            (2, _) => {
                let refusals = [Refusal::NeedToken, Refusal::Busy, Refusal::Gone, Refusal::Unsupported];
                Reply::refused(refusals[usize::from(how & 3)], u32::from(*how) * 16).encode(envelope, head, out)
            }
            (3, _) => self.nodes(world, out),
            (4, _) => self.stored(4, out),
            _ => Reply::Pong.encode(envelope, head, out),
        }
    }

    /// Names some of everyone: one bit each.
    fn nodes(&self, world: &mut World<'_>, out: &mut [u8]) -> Option<usize> {
        let mut writer = NodesWriter::begin(&self.envelope, &self.head, out)?;
        for contact in self.named(world) {
            writer.push(&contact);
        }
        Some(writer.finish())
    }

    fn named(&self, world: &mut World<'_>) -> Vec<Contact> {
        // Some of the bits choose from the second half of everyone.
        let (mask, from) = (self.how, if self.what & 0x10 == 0 { 0 } else { 3 });
        (0..8u8).filter(|bit| mask >> bit & 1 == 1).map(|bit| world.someone(bit + from)).collect()
    }

    /// Values of the key that was asked for: whole, by header, or wrong.
    fn value(&self, world: &mut World<'_>, find: &FindValue, out: &mut [u8]) -> Option<usize> {
        let mut writer = ValueWriter::begin(&self.envelope, &self.head, 2, out)?;
        let held = values::VALUES.iter().filter(|value| value.key == find.key);
        for value in held.skip(usize::from(self.how & 7)).take(usize::from(self.how >> 3 & 3)) {
            self.push_value(value, &mut writer);
        }
        for contact in self.named(world) {
            writer.push_contact(&contact);
        }
        writer.set_total(9, if self.how & 0x40 == 0 { 0 } else { u32::from(self.how) });
        Some(writer.finish())
    }

    fn push_value(&self, value: &Value, writer: &mut ValueWriter<'_>) -> Option<()> {
        let room = writer.inline_room()?;
        let header = ItemHeader { ttl_ms: 60_000, ..value.header };
        let whole = value.bytes.len() <= room && self.how & 0x20 == 0;
        let hole = writer.push(&header.with_inline(if whole { value.bytes.len() as u16 } else { 0 }))?;
        hole.copy_from_slice(&value.bytes[..hole.len()]);
        if let (Some(byte), true) = (hole.first_mut(), self.how & 0x80 != 0) {
            *byte ^= 1;
        }
        Some(())
    }

    fn stored(&self, items: usize, out: &mut [u8]) -> Option<usize> {
        let mut writer = StoredWriter::begin(&self.envelope, &self.head, out)?;
        for index in 0..items.min(8) as u8 {
            let status = ItemStatus::ALL[usize::from(self.how >> (index & 3)) % ItemStatus::ALL.len()];
            if self.how >> 4 & 1 << (index & 3) == 0 {
                writer.push(&StoredItem::new(index, status, u16::from(self.how) * 8, 1000));
            }
        }
        writer.finish()
    }

    /// One of the chunks that were asked for, true or not.
    fn chunk(&self, pull: &Pull, out: &mut [u8]) -> Option<usize> {
        let value = values::of_digest(&pull.digest)?;
        let asked = (0..64).filter(|bit| pull.bitmap >> bit & 1 == 1);
        let bit = asked.clone().nth(usize::from(self.how & 7) % asked.count().max(1))?;
        let offset = pull.offset.checked_add(bit * u32::from(pull.chunk_len))?;
        let rest = value.bytes.get(offset as usize..)?;
        let mut bytes = rest[..rest.len().min(pull.chunk_len.into())].to_vec();
        match self.how >> 4 & 7 {
            1 => *bytes.first_mut()? ^= 0x80,
            2 => drop(bytes.pop()),
            3 => bytes.push(0),
            _ => {}
        }
        Chunk { offset, bytes: &bytes }.encode(&self.envelope.prefix, out)
    }

    /// A holder pulls what it was offered.
    fn pull_of_offer(&self, item: kad_wire::StoreItem<'_>, out: &mut [u8]) -> Option<usize> {
        let pull = Pull {
            lane: self.envelope.prefix.lane,
            chunk_len: if self.how & 0x40 == 0 { 256 } else { 464 },
            offset: if self.how & 0x80 == 0 { 0 } else { 464 },
            bitmap: u64::from(self.how >> 2 & 7),
            offer: self.envelope.prefix.tag,
            key: item.key,
            digest: item.header.digest,
        };
        let prefix = Prefix { tag: TransactionId::new(9, 9, 0), ..self.envelope.prefix };
        let envelope = Envelope { prefix, token: Token::NONE, ..self.envelope };
        Request::Pull(pull).encode(&envelope, RequestFlags::default(), out)
    }
}

/// A stranger asks something of a node, with the token that it was given if it has one.
pub(crate) fn request(world: &mut World<'_>, step: Step) -> Option<Packet> {
    let node = world.number(step.a);
    let number = usize::from(step.a >> 2) % STRANGERS;
    let to = world.members[node].address;
    let from = if step.a & 0x80 == 0 { stranger(number) } else { world.someone(step.b) };
    let token = if step.a & 0x40 == 0 { world.token(number, node) } else { Token::NONE };
    let prefix = Prefix {
        lane: 0,
        room: MaxDatagram::of(DATAGRAM_MAX),
        network: NetworkId::default(),
        tag: TransactionId::new(step.c.into(), step.b.into(), step.c >> 6),
    };
    let envelope = Envelope { prefix, token, sender: from.id };
    let flags = RequestFlags(if step.c & 0x3f == 0x3f { RequestFlags::CLIENT } else { 0 });
    let value = values::pick(step.c);
    let padding = if step.b & 0x80 == 0 { 330 } else { 0 };
    let mut out = [0; DATAGRAM_MAX];
    let question = match step.b & 7 {
        0 => Request::PING,
        1 => Request::FindNode(FindNode { limit: step.c, target: value.key, padding }),
        2 => Request::FindValue(FindValue {
            limit: step.c & 7,
            types: TypeMask::ALL,
            burst: 0,
            max_age_ms: u32::MAX,
            cursor: u32::from(step.b >> 4 & 7),
            key: value.key,
            padding,
        }),
        3 => Request::Pull(Pull {
            lane: 0,
            chunk_len: 512,
            offset: u32::from(step.b >> 4 & 7) * 512,
            bitmap: step.c.into(),
            offer: TransactionId::from_bits(0),
            key: value.key,
            digest: value.header.digest,
        }),
        4 => Request::Goodbye,
        _ => {
            let len = store(&envelope, flags, step, &mut out)?;
            return Some(Packet { from: from.endpoint.into(), to, bytes: out[..len].into() });
        }
    };
    let len = question.encode(&envelope, flags, &mut out)?;
    Some(Packet { from: from.endpoint.into(), to, bytes: out[..len].into() })
}

/// A STORE of a few items, whole where they fit.
fn store(envelope: &Envelope, flags: RequestFlags, step: Step, out: &mut [u8]) -> Option<usize> {
    let mode = StoreMode::try_from(step.b >> 3 & 3).ok()?;
    let mut writer = StoreWriter::begin(envelope, flags, mode, out)?;
    for more in 0..=(step.b >> 5 & 3) {
        let value = values::pick(step.c.wrapping_add(more));
        let header = ItemHeader { ttl_ms: values::ttl_ms(step.c >> 5), ..value.header };
        let whole = writer.inline_room().is_some_and(|room| value.bytes.len() <= room);
        let header = header.with_inline(if whole { value.bytes.len() as u16 } else { 0 });
        let Some(hole) = writer.push(&value.key, &header) else { break };
        hole.copy_from_slice(&value.bytes[..hole.len()]);
    }
    writer.finish()
}
