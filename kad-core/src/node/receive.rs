//! Datagrams come in here, and nowhere else does anything branch on what kind they are.

use core::net::SocketAddr;

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

/// Bytes of the PING that probes an unknown sender.
pub(crate) const PROBE_LEN: usize = 57;

impl Node<'_> {
    /// Takes in a datagram that came from `from`. A reply, if there is one, is written to `reply`, which should have room
    /// for [`DATAGRAM_MAX`](kad_wire::limits::DATAGRAM_MAX) bytes.
    pub fn handle_datagram<'s, 'd>(
        &'s mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &'d [u8],
        reply: &mut [u8],
    ) -> Received<'s, 'd> {
        count!(self.memory.head.stats, datagrams_in);
        let from = Endpoint::from(from);
        let decoded = match Datagram::decode(datagram) {
            Ok(decoded) => decoded,
            Err(error) => return self.undecodable(error),
        };
        match decoded {
            Datagram::Request { envelope, flags, request } if self.is_of_our_network(&envelope.prefix) => {
                let asked = Asked { envelope: &envelope, flags, from, len: datagram.len() };
                match envelope.sender == self.id() {
                    true => self.asked_in_own_name(now, &asked, &request, reply),
                    false => self.request(now, &asked, request, reply),
                }
            }
            Datagram::Reply { envelope, head, reply: answer } if self.is_of_our_network(&envelope.prefix) => {
                if envelope.sender != self.id() {
                    return self.replied(now, (from, datagram.len()), &envelope, &head, answer);
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
        let leaves = matches!(request, Request::Goodbye);
        let probe_len = if leaves { 0 } else { self.meet(now, asked, proven) };
        let budget = asked.len.saturating_mul(AMPLIFICATION).saturating_sub(probe_len);
        let asker = self.asker(now, asked, budget.min(out.len()).min(asked.envelope.prefix.room.datagram()));
        match request {
            Request::Ping => {
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
                // Without proof it is a hint: the contact is asked, and only its own silence removes it.
                match proven {
                    true => self.contact_left(&asker.contact),
                    false => self.doubt(now, &asker.contact, Reason::Goodbye),
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
            self.admit(now, &contact, None);
            return 0;
        }
        if !self.memory.table().has_place_for(&contact) {
            return 0;
        }
        let head = &mut self.memory.head;
        if head.probes.plan(now, &contact.endpoint, Reason::Unknown, head.random.next()) {
            self.settle_upkeep();
            PROBE_LEN
        } else {
            count!(self.memory.head.stats, probes_saved);
            0
        }
    }

    /// Brings somebody who proved to be there into the table.
    pub(crate) fn admit(&mut self, now: Instant, contact: &Contact, rtt_us: Option<u64>) {
        if !self.memory.head.settings.families.reach(&contact.endpoint) {
            return;
        }
        self.end_silence(&contact.endpoint);
        let was_cut_off = self.memory.head.doubts && self.is_alone();
        match self.add_to_table(now, contact, rtt_us) {
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
        Asker { contact, envelope, head: ReplyHead { flags, observed: asked.from }, room, budget }
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
    pub(crate) fn envelope(&self, tag: kad_wire::Tag, token: Token) -> Envelope {
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

/// A request without its body.
pub(crate) struct Asked<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) flags: RequestFlags,
    pub(crate) from: Endpoint,
    pub(crate) len: usize,
}
