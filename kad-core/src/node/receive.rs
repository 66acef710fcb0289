//! Datagrams come in here, and nowhere else does anything branch on what kind they are.

use kad_wire::limits::AMPLIFICATION;
use kad_wire::{
    Contact, Datagram, DecodeError, Endpoint, Envelope, Instant, Prefix, Refusal, Reply, ReplyHead, Request,
    RequestFlags, Token, reply_flags,
};

use super::{Node, Received};
use crate::bucket::Admission;
use crate::probe::Reason;
use crate::stats::count;
use crate::ticket::Asker;
use crate::via::{Sender, Via};

/// Bytes of the PING that probes an unknown sender, or the address that one advertises.
pub(crate) const PROBE_LEN: usize = 57;

impl Node<'_> {
    /// Takes in a datagram from an address, or from a [`Sender`] where it matters which of the node's own addresses it came to.
    /// A reply, if there is one, is written to `reply`, which should have room for
    /// [`DATAGRAM_MAX`](kad_wire::limits::DATAGRAM_MAX) bytes; it leaves from the address that the datagram came to.
    pub fn handle_datagram<'s, 'd>(
        &'s mut self,
        now: Instant,
        sender: impl Into<Sender>,
        datagram: &'d [u8],
        reply: &mut [u8],
    ) -> Received<'s, 'd> {
        self.take_datagram(now, sender.into(), datagram, reply)
    }

    fn take_datagram<'s, 'd>(
        &'s mut self,
        now: Instant,
        Sender { address, via }: Sender,
        datagram: &'d [u8],
        reply: &mut [u8],
    ) -> Received<'s, 'd> {
        count!(self.memory.head.stats, datagrams_in);
        let from = Endpoint::from(address);
        let decoded = match Datagram::decode(datagram) {
            Ok(decoded) => decoded,
            Err(error) => return self.undecodable(error),
        };
        match decoded {
            Datagram::Request { envelope, flags, request } if self.is_of_our_network(&envelope.prefix) => {
                let asked = Asked { envelope: &envelope, flags, from, via, len: datagram.len() };
                match envelope.sender == self.id() {
                    true => self.asked_in_own_name(now, &asked, &request, reply),
                    false => self.request(now, &asked, request, reply),
                }
            }
            Datagram::Reply { envelope, head, reply: answer } if self.is_of_our_network(&envelope.prefix) => {
                if envelope.sender != self.id() {
                    let heard = Heard { from, via, len: datagram.len() };
                    return self.replied(now, heard, &envelope, &head, answer);
                }
                self.replied_in_own_name(now, from, &envelope, &head);
                Received::Nothing
            }
            Datagram::Chunk { prefix, chunk } if self.is_of_our_network(&prefix) => {
                self.chunk(now, from, &prefix, &chunk, reply)
            }
            _ => Received::Nothing,
        }
    }

    /// Whether a datagram is of this node's network.
    fn is_of_our_network(&mut self, prefix: &Prefix) -> bool {
        let head = &mut *self.memory.head;
        if prefix.network != head.settings.network {
            count!(head.stats, dropped_network);
            return false;
        }
        true
    }

    fn undecodable(&mut self, error: DecodeError) -> Received<'static, 'static> {
        let stats = &mut self.memory.head.stats;
        match error {
            DecodeError::Version => count!(stats, dropped_version),
            DecodeError::Kind => count!(stats, dropped_kind),
            DecodeError::Malformed => count!(stats, dropped_malformed),
        }
        Received::Nothing
    }

    fn request<'d>(
        &mut self,
        now: Instant,
        asked: &Asked<'_>,
        request: Request<'d>,
        out: &mut [u8],
    ) -> Received<'static, 'd> {
        if self.memory.head.settings.client && !matches!(request, Request::Pull(_)) {
            count!(self.memory.head.stats, dropped_client);
            return Received::Nothing;
        }
        let head = &self.memory.head;
        let (network, sender) = (head.settings.network, asked.envelope.sender);
        let proven = head.tokens.verify(now, network, &asked.from, &sender, asked.envelope.token);
        let probe_len = match request {
            Request::Goodbye => 0,
            Request::Ping(Some(advertised)) if advertised != asked.from => self.meet_elsewhere(now, asked, &advertised),
            _ => self.meet(now, asked, proven),
        };
        let budget = asked.len.saturating_mul(AMPLIFICATION).saturating_sub(probe_len);
        let asker = self.asker(now, asked, budget.min(out.len()).min(asked.envelope.prefix.room.datagram()));
        match request {
            Request::Ping(_) => {
                count!(self.memory.head.stats, pings);
                self.reply(&asker, &Reply::Pong, out)
            }
            Request::FindNode(find) => {
                count!(self.memory.head.stats, find_nodes);
                self.serve_nodes(&asker, &find, asked.flags, out)
            }
            Request::FindValue(find) => self.serve_find(asker, &find, asked.flags),
            Request::Pull(pull) => self.serve_pull(now, &asker, &pull, proven, out),
            Request::Store(store) if proven => self.serve_store(now, asker, &store),
            Request::Store(_) => {
                count!(self.memory.head.stats, token_refused);
                self.reply(&asker, &Reply::refused(Refusal::NeedToken, 0), out)
            }
            Request::Goodbye => {
                count!(self.memory.head.stats, goodbyes);
                // Without proof it is a hint: the contact is asked, and only its own silence removes it. The same if it is
                // listed at another address, which it advertised.
                match self.memory.find(&sender).map(|slot| slot.contact) {
                    Some(known) if proven && known == asker.contact => self.contact_left(&known),
                    Some(known) => self.doubt(now, &known, Reason::Goodbye),
                    None => {}
                }
                Received::Nothing
            }
        }
    }

    /// Notes a requester: who shows a valid token enters the table, an unknown one that the table has a place for is asked
    /// for a sign of life. Answers with the length of that question, which counts as part of the reply.
    fn meet(&mut self, now: Instant, asked: &Asked<'_>, proven: bool) -> usize {
        let contact = Contact { id: asked.envelope.sender, endpoint: asked.from };
        if asked.flags.has(RequestFlags::CLIENT) || self.memory.head.settings.client {
            return 0;
        }
        if proven {
            self.admit(now, &contact, asked.via, None);
            return 0;
        }
        self.probe_unknown(now, &contact, asked.via)
    }

    /// Notes a requester that wants to be listed at another address: it is asked there, where it must answer with its id.
    /// A peer outside the scope of that address cannot have received it.
    fn meet_elsewhere(&mut self, now: Instant, asked: &Asked<'_>, advertised: &Endpoint) -> usize {
        let settings = &self.memory.head.settings;
        if asked.flags.has(RequestFlags::CLIENT) || settings.client {
            return 0;
        }
        match advertised.named_by(&asked.from) {
            Some(endpoint) if settings.families.reach(&endpoint) => {
                self.probe_unknown(now, &Contact { id: asked.envelope.sender, endpoint }, Via::ANY)
            }
            _ => 0,
        }
    }

    /// Asks an unknown node for a sign of life, if the table has a place for it. Returns the length of that question.
    fn probe_unknown(&mut self, now: Instant, contact: &Contact, via: Via) -> usize {
        if !self.memory.table().has_place_for(contact) {
            return 0;
        }
        let head = &mut self.memory.head;
        if head.probes.plan(now, (&contact.endpoint, via), Reason::Unknown, head.random.next()) {
            self.settle_upkeep();
            PROBE_LEN
        } else {
            count!(self.memory.head.stats, probes_saved);
            0
        }
    }

    /// Brings somebody who proved to be there into the table.
    pub(crate) fn admit(&mut self, now: Instant, contact: &Contact, via: Via, rtt_us: Option<u64>) {
        if !self.memory.head.settings.families.reach(&contact.endpoint) {
            return;
        }
        self.end_silence(&contact.endpoint);
        let was_cut_off = self.memory.head.doubts && self.is_alone();
        let admission = self.add_to_table(now, contact, rtt_us);
        if via != Via::ANY
            && let Some(slot) = self.memory.find_at(contact)
        {
            slot.via = via;
        }
        match admission {
            Admission::Moved => {
                count!(self.memory.head.stats, contacts_moved);
                self.settle_upkeep();
            }
            Admission::Elsewhere => self.check_move(now, contact),
            Admission::Added => {
                count!(self.memory.head.stats, contacts_added);
                self.note_newcomer(contact);
                self.settle_upkeep();
            }
            Admission::Spare => self.doubt_least_recently_seen(now, contact),
            Admission::Known | Admission::Refused => {}
        }
        if was_cut_off {
            self.link_is_back(now);
        }
    }

    pub(crate) fn asker(&mut self, now: Instant, asked: &Asked<'_>, budget: usize) -> Asker {
        let head = &self.memory.head;
        let (network, sender) = (head.settings.network, asked.envelope.sender);
        let Prefix { lane, tag, .. } = asked.envelope.prefix;
        let envelope = Envelope {
            prefix: Prefix { lane, room: head.settings.room(), network, tag },
            token: head.tokens.mint(now, network, &asked.from, &sender),
            sender: head.id,
        };
        let flags = if head.settings.client { reply_flags::CLIENT } else { 0 };
        let contact = Contact { id: sender, endpoint: asked.from };
        let room = asked.envelope.prefix.room.bytes();
        let head = ReplyHead { flags, observed: asked.from.without_link() };
        Asker { contact, via: asked.via, envelope, head, room, budget }
    }

    /// Writes a reply of fixed size.
    pub(crate) fn reply(&mut self, asker: &Asker, reply: &Reply<'_>, out: &mut [u8]) -> Received<'static, 'static> {
        let within = out.get_mut(..asker.budget).unwrap_or_default();
        match reply.encode(&asker.envelope, &asker.head, within) {
            Some(len) => {
                self.sent();
                Received::Reply(len)
            }
            None => {
                self.no_room();
                Received::Nothing
            }
        }
    }

    /// The envelope of a request of this node.
    pub(crate) fn envelope(&self, tag: kad_wire::TransactionId, token: Token) -> Envelope {
        let Self { memory } = self;
        let settings = &memory.head.settings;
        let prefix = Prefix { lane: settings.lane, room: settings.room(), network: settings.network, tag };
        Envelope { prefix, token, sender: memory.head.id }
    }

    /// The flags of a request of this node.
    pub(crate) fn flags(&self) -> RequestFlags {
        RequestFlags(self.memory.head.settings.request_flags())
    }
}

/// Where a reply came from, to which address of this node, and how long it is.
#[derive(Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) from: Endpoint,
    pub(crate) via: Via,
    pub(crate) len: usize,
}

/// A request without its body.
pub(crate) struct Asked<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) flags: RequestFlags,
    pub(crate) from: Endpoint,
    /// The address of this node that it came to.
    pub(crate) via: Via,
    pub(crate) len: usize,
}
