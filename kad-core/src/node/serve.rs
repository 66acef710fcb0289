//! Answering requests: what the routing table knows is said at once, what the store knows is asked for by ticket.

use core::time::Duration;

use kad_wire::limits::{CONTACT_LEN, TTL_MAX_MS, VALUE_HEAD_LEN};
use kad_wire::{
    Answer, FindNode, FindValue, Instant, NodesWriter, Pull, Query, Refusal, Reply, RequestFlags, Store, StoredWriter,
    ValueWriter, reply_flags,
};

use super::{FindAnswer, Node, Received, StoreAnswer};
use crate::config::Families;
use crate::memory::Cell;
use crate::operation::{Give, Kind};
use crate::path::{SMALLEST, units};
use crate::stats::count;
use crate::ticket::{Asker, FindTicket, PullTicket, PulledTicket, StoreTicket};

/// Most contacts that one reply can carry.
const LIST_MAX: usize = 23;
/// A holder that pulls is given this long for its next word.
const PULL_GRACE_US: u64 = 2_000_000;

impl<'m> Node<'m> {
    pub(crate) fn serve_nodes(
        &mut self,
        asker: &Asker,
        find: &FindNode,
        flags: RequestFlags,
        out: &mut [u8],
    ) -> Received<'static, 'static> {
        let within = out.get_mut(..asker.budget).unwrap_or_default();
        let Some(mut writer) = NodesWriter::begin(&asker.envelope, &asker.head, within) else {
            self.no_room();
            return Received::Nothing;
        };
        let mut slots = [0; LIST_MAX];
        let wanted = usize::from(find.limit).min(LIST_MAX);
        let slots = slots.get_mut(..wanted).unwrap_or_default();
        for slot in self.memory.nearest(&find.target, &asker.contact, Families::wanted(flags), slots) {
            let Some(contact) = self.memory.contact(*slot) else { break };
            if writer.push(contact).is_none() {
                writer.set_flags(asker.head.flags | reply_flags::CUT);
                break;
            }
        }
        self.sent();
        Received::Reply(writer.finish())
    }

    pub(crate) fn serve_find<'d>(
        &mut self,
        asker: Asker,
        find: &FindValue,
        flags: RequestFlags,
    ) -> Received<'static, 'd> {
        count!(self.memory.head.stats, find_values);
        count!(self.memory.head.stats, tickets_out);
        let max_age = (find.max_age_ms != u32::MAX).then(|| Duration::from_millis(find.max_age_ms.into()));
        Received::Find(FindTicket {
            asker,
            query: Query { key: find.key, types: find.types, max_age, cursor: find.cursor },
            limit: find.limit,
            headers_only: flags.has(RequestFlags::HEADERS_ONLY),
            families: Families::wanted(flags),
        })
    }

    /// Starts the answer to a FIND_VALUE in `reply`: [push](kad_wire::Sink::push) what the store has, then
    /// [finish](FindAnswer::finish).
    pub fn answer_find<'a, 'b>(&'a mut self, ticket: FindTicket, reply: &'b mut [u8]) -> FindAnswer<'a, 'm, 'b> {
        self.ticket_answered();
        let asker = &ticket.asker;
        let within = reply.get_mut(..asker.budget).unwrap_or_default();
        // In a small datagram contacts must not leave the items without room: then nothing would ever be found.
        let half = within.len().saturating_sub(VALUE_HEAD_LEN) / 2 / CONTACT_LEN;
        let reserved = usize::from(ticket.limit).min(half);
        let writer = ValueWriter::begin(&asker.envelope, &asker.head, reserved, within);
        FindAnswer { node: self, ticket, writer }
    }

    pub(crate) fn finish_value(&mut self, ticket: &FindTicket, mut writer: ValueWriter<'_>) -> usize {
        let mut slots = [0; LIST_MAX];
        let wanted = match writer.items() {
            0 => LIST_MAX,
            _ => usize::from(ticket.limit),
        };
        let wanted = wanted.min(writer.contact_room()).min(LIST_MAX);
        let slots = slots.get_mut(..wanted).unwrap_or_default();
        for slot in self.memory.nearest(&ticket.query.key, &ticket.asker.contact, ticket.families, slots) {
            if let Some(contact) = self.memory.contact(*slot) {
                writer.push_contact(contact);
            }
        }
        self.sent();
        writer.finish()
    }

    pub(crate) fn serve_pull<'d>(
        &mut self,
        now: Instant,
        asker: &Asker,
        pull: &Pull,
        proven: bool,
        out: &mut [u8],
    ) -> Received<'static, 'd> {
        let by_offer = pull.offer.bits() != 0;
        if by_offer && !self.offer_is_pulled(now, asker, pull) {
            count!(self.memory.head.stats, pull_refused);
            return self.reply(asker, &Reply::refused(Refusal::Gone, 0), out);
        }
        if !by_offer && !proven {
            count!(self.memory.head.stats, token_refused);
            return self.reply(asker, &Reply::refused(Refusal::NeedToken, 0), out);
        }
        if !PullTicket::len_fits(pull.chunk_len, asker.room) {
            count!(self.memory.head.stats, dropped_malformed);
            return Received::Nothing;
        }
        count!(self.memory.head.stats, pulls);
        count!(self.memory.head.stats, tickets_out);
        Received::Pull(PullTicket {
            to: asker.contact.endpoint,
            prefix: asker.envelope.prefix,
            key: pull.key,
            digest: pull.digest,
            chunk_len: pull.chunk_len,
            offset: pull.offset,
            bitmap: pull.bitmap,
            proof: pull.bitmap == 0,
        })
    }

    /// Whether a PULL names a STORE that this node sent to that address and waits on. If so its holder is alive, and gets
    /// time.
    fn offer_is_pulled(&mut self, now: Instant, asker: &Asker, pull: &Pull) -> bool {
        let Cell::Candidate(operation, place) = self.memory.cell(pull.offer.slot()) else { return false };
        let Some(lookup) = self.memory.lookup(operation) else { return false };
        let Some(item) = lookup.item(&pull.key, &pull.digest) else { return false };
        let running = lookup.operation.is_running() && lookup.operation.kind == Kind::Store;
        let Some(candidate) = lookup.candidates.get_mut(place) else { return false };
        let ours = running
            && matches!(candidate.give, Give::Sent | Give::Pulling)
            && candidate.tag.same_exchange(pull.offer)
            && candidate.contact.endpoint == asker.contact.endpoint;
        if !ours {
            return false;
        }
        let bit = 1u32.checked_shl(item as u32).unwrap_or(0);
        // Who asks for small chunks after large ones has not received those.
        let source = candidate.contact;
        let asked = usize::from(pull.chunk_len).saturating_add(kad_wire::limits::CHUNK_HEAD_LEN);
        let (is_large, several) = (asked > SMALLEST, pull.bitmap.count_ones() > 1);
        let failed = !is_large && several && core::mem::take(&mut candidate.pulled) != 0;
        if is_large && several {
            candidate.pulled = units(asked);
        }
        candidate.pulling |= bit;
        candidate.busy &= !bit;
        candidate.give = Give::Pulling;
        // It gets its bytes in any case, but time only as long as it has not used up what it has.
        if now < candidate.patience {
            candidate.resend = false;
            candidate.attempts = 1;
            let latest = candidate.patience.min(lookup.operation.deadline);
            candidate.deadline = now.plus_micros(PULL_GRACE_US).min(latest);
        }
        if failed {
            self.shown_small(&source);
        }
        self.settle_operation(now, operation);
        true
    }

    /// Says that a pulled value is not here, so that the asker goes elsewhere. Answers with the length of the datagram in
    /// `reply`, which goes to [`PullTicket::to`].
    pub fn refuse_pull(&mut self, ticket: &PullTicket, reply: &mut [u8]) -> Option<usize> {
        self.ticket_answered();
        let envelope = kad_wire::Envelope { prefix: ticket.prefix, token: kad_wire::Token::NONE, sender: self.id() };
        let head = kad_wire::ReplyHead { flags: 0, observed: ticket.to.without_link() };
        let len = Reply::refused(Refusal::Gone, 0).encode(&envelope, &head, reply)?;
        self.sent();
        Some(len)
    }

    /// Counts the chunks that were sent for a PULL, and its ticket as answered.
    pub fn pull_answered(&mut self, chunks: u32) {
        self.ticket_answered();
        let out = &mut self.memory.head.stats.datagrams_out;
        *out = out.wrapping_add(chunks.into());
    }

    pub(crate) fn serve_store<'d>(&mut self, now: Instant, asker: Asker, store: &Store<'d>) -> Received<'static, 'd> {
        count!(self.memory.head.stats, stores);
        count!(self.memory.head.stats, tickets_out);
        Received::Store(StoreTicket { asker, mode: store.mode, received: now, items: store.items })
    }

    /// Starts the answer to a STORE in `reply`: ask the store about each [offer](StoreAnswer::next_offer), then
    /// [finish](StoreAnswer::finish).
    pub fn answer_store<'a, 'd, 'b>(
        &'a mut self,
        ticket: StoreTicket<'d>,
        reply: &'b mut [u8],
    ) -> StoreAnswer<'a, 'm, 'd, 'b> {
        let within = reply.get_mut(..ticket.asker.budget).unwrap_or_default();
        let writer = StoredWriter::begin(&ticket.asker.envelope, &ticket.asker.head, within);
        StoreAnswer { node: self, ticket, writer, next: 0, open: None }
    }

    /// Writes what the store said of a pulled value to `reply`, for [`PulledTicket::to`], and answers with its length.
    pub fn answer_pulled(&mut self, ticket: &PulledTicket, answer: Answer, reply: &mut [u8]) -> Option<usize> {
        self.ticket_answered();
        let mut writer = StoredWriter::begin(&ticket.envelope, &ticket.head, reply)?;
        let ttl_ms = answer.ttl_ms.min(TTL_MAX_MS);
        writer.push(&Answer { ttl_ms, ..answer }.of_item(ticket.index))?;
        let len = writer.finish()?;
        self.sent();
        Some(len)
    }
}
