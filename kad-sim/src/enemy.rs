//! Nodes that break the rules: they speak the protocol, and lie.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{
    Contact, Datagram, Envelope, ItemStatus, Key, MaxDatagram, NodeId, NodesWriter, Prefix, Reply, ReplyHead, Request,
    RequestFlags, StoredItem, StoredWriter, Token, TransactionId, ValueWriter,
};

use crate::dice::Dice;
use crate::member::Outgoing;

/// Contacts that one answer names.
const NAMED: usize = 20;

/// What an enemy does when it is asked for nodes or values. All of them answer PINGs, say that they keep what they are
/// given, and keep nothing.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// Names its accomplices, nearest to the target first, and nobody else (table poisoning, eclipse).
    NameAccomplices(Rc<[Contact]>),
    /// Names ever nearer nodes that do not exist (lookup bomb).
    NameNobody,
    /// Says nothing (tarpit).
    Silence,
}

/// A node that breaks the rules.
#[derive(Clone, Debug)]
pub struct Enemy {
    id: NodeId,
    scheme: Scheme,
}

impl Enemy {
    /// An enemy with this id.
    pub fn new(id: NodeId, scheme: Scheme) -> Self {
        Self { id, scheme }
    }

    fn envelope(&self, asked: &Envelope) -> Envelope {
        let prefix = Prefix { room: MaxDatagram::of(DATAGRAM_MAX), ..asked.prefix };
        Envelope { prefix, token: Token([7; 8]), sender: self.id }
    }

    /// A PING that brings it to somebody's attention.
    pub(crate) fn knock(&self, network: kad_wire::NetworkId, dice: &mut Dice) -> Option<Vec<u8>> {
        let prefix = Prefix {
            room: MaxDatagram::of(DATAGRAM_MAX),
            network,
            tag: TransactionId::new(1, dice.below(1 << 46), 0),
            lane: 0,
        };
        self.ping(&Envelope { prefix, token: Token::default(), sender: self.id })
    }

    fn ping(&self, envelope: &Envelope) -> Option<Vec<u8>> {
        let mut out = [0; DATAGRAM_MAX];
        let len = Request::PING.encode(envelope, RequestFlags::default(), &mut out)?;
        Some(out[..len].into())
    }

    /// What it does with a datagram.
    pub(crate) fn receive(&self, from: SocketAddr, datagram: &[u8], dice: &mut Dice, out: &mut Vec<Outgoing>) {
        let answer = match Datagram::decode(datagram) {
            Ok(Datagram::Request { envelope, request, .. }) => self.answer(from, &envelope, &request, dice),
            // A PONG brought the token that proves its address: now it can become a contact.
            Ok(Datagram::Reply { envelope, reply: Reply::Pong, .. }) => {
                let again = TransactionId::new(1, dice.below(1 << 46), 0);
                let prefix = Prefix { tag: again, ..envelope.prefix };
                self.ping(&Envelope { prefix, sender: self.id, ..envelope })
                    .filter(|_| envelope.token != Token::default() && dice.chance(500_000))
            }
            _ => None,
        };
        out.extend(answer.map(|answer| (from, answer)));
    }

    fn answer(&self, from: SocketAddr, asked: &Envelope, request: &Request<'_>, dice: &mut Dice) -> Option<Vec<u8>> {
        let (envelope, head) = (self.envelope(asked), ReplyHead { flags: 0, observed: from.into() });
        let room = asked.prefix.room.datagram().min(DATAGRAM_MAX);
        let mut out = [0; DATAGRAM_MAX];
        let within = &mut out[..room];
        let len = match request {
            Request::Ping(_) => Reply::Pong.encode(&envelope, &head, within)?,
            Request::FindNode(find) => {
                let mut writer = NodesWriter::begin(&envelope, &head, within)?;
                for contact in self.named(&find.target, dice)? {
                    // As many as fit.
                    let _ = writer.push(&contact);
                }
                writer.finish()
            }
            Request::FindValue(find) => {
                let mut writer = ValueWriter::begin(&envelope, &head, 0, within)?;
                for contact in self.named(&find.key, dice)? {
                    let _ = writer.push_contact(&contact);
                }
                writer.finish()
            }
            Request::Store(store) => {
                let mut writer = StoredWriter::begin(&envelope, &head, within)?;
                for (index, item) in store.items.iter().enumerate() {
                    writer.push(&StoredItem::new(index as u8, ItemStatus::Stored, 0, item.header.ttl_ms))?;
                }
                writer.finish()?
            }
            Request::Pull(_) | Request::Goodbye => return None,
        };
        Some(out[..len].into())
    }

    fn named(&self, target: &Key, dice: &mut Dice) -> Option<Vec<Contact>> {
        match &self.scheme {
            Scheme::Silence => None,
            Scheme::NameAccomplices(all) => {
                let mut all = all.to_vec();
                all.sort_by_key(|contact| contact.id.distance(target));
                all.truncate(NAMED);
                Some(all)
            }
            Scheme::NameNobody => Some((0..NAMED).map(|_| nobody_near(target, dice)).collect()),
        }
    }
}

/// A node that does not exist, very near to a target.
fn nobody_near(target: &Key, dice: &mut Dice) -> Contact {
    let mut id = *target.as_bytes();
    id[24..].copy_from_slice(&dice.bytes::<8>());
    let address = SocketAddr::from((Ipv4Addr::from(0x2d00_0000 + dice.below(1 << 24) as u32), 9000));
    Contact { id: NodeId::from_bytes(id), endpoint: address.into() }
}
