//! Requests of this node: which is next for a slot that is ready, and its bytes.

use kad_wire::limits::{ITEM_HEADER_LEN, KEY_LEN, STORE_HEAD_LEN};
use kad_wire::{
    Contact, Endpoint, FindNode, FindValue, Instant, ItemHeader, MaxDatagram, NodeId, Pull, Request, RequestFlags,
    StoreMode, StoreWriter, Token, TransactionId,
};

use super::{Node, Transmit};
use crate::config::Settings;
use crate::lookup::Lookup;
use crate::operation::{Candidate, Give, ItemState, Kind, Phase, Walk};
use crate::path::{Path, SMALLEST, Way, units};
use crate::probe::Reason;
use crate::schedule::Slot;
use crate::stats::count;
use crate::via::Via;

/// Values up to this size travel inside a STORE that is most likely no news to the holder.
const INLINE_REPLICA: u32 = 256;
/// Bytes of a FIND_NODE to one of many addresses of which most may be dead: enough for ten contacts in the answer.
const DOOR_LEN: usize = 211;
/// Items of a STORE that fit the smallest datagrams, without their bytes.
const SMALL_OFFERS: u32 = ((SMALLEST - STORE_HEAD_LEN) / (KEY_LEN + ITEM_HEADER_LEN)) as u32;
/// How long one holder may keep a store busy with pulls and pleas to wait: enough for a full batch of large values over a
/// slow line.
const PATIENCE_US: u64 = 15_000_000;

/// What a request to a candidate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Send {
    /// For the first time.
    First(usize),
    /// Again, because its answer is late.
    Again(usize),
}

impl Node<'_> {
    /// After how many microseconds a first request to somebody is late.
    pub(crate) fn timeout_us(&mut self, contact: &Contact) -> u64 {
        self.path_to(contact).0
    }

    /// The same, and what is known of the path.
    fn path_to(&mut self, contact: &Contact) -> (u64, Path) {
        let slot = self.memory.find(&contact.id).map(|slot| &*slot);
        let path =
            slot.filter(|slot| slot.contact.endpoint == contact.endpoint).map_or(Path::UNKNOWN, |slot| slot.path);
        let of_contact = slot.and_then(|slot| slot.rtt.timeout_us());
        let settings = &self.memory.head.settings;
        // Of strangers only the others' average is known, which deserves more patience.
        let of_all = self.memory.head.rtt.timeout_us().map(|all| all.saturating_mul(2));
        let timeout = of_contact.or(of_all).unwrap_or(settings.initial_timeout_us);
        // Not `clamp`, which panics if the bounds are the wrong way round.
        (timeout.max(settings.min_timeout_us).min(settings.max_timeout_us), path)
    }

    pub(crate) fn attempts(&self) -> u8 {
        self.memory.head.settings.attempts
    }

    /// The timeout of attempt number `attempt`, from 1.
    #[inline(never)]
    fn backed_off(&self, timeout_us: u64, attempt: u8) -> u64 {
        let max = self.memory.head.settings.max_timeout_us;
        let doubled = timeout_us.checked_shl(attempt.saturating_sub(1).into()).unwrap_or(u64::MAX);
        doubled.min(max.max(timeout_us))
    }

    /// Whether an operation has something to send.
    pub(crate) fn wants_to_send(&mut self, operation: usize) -> bool {
        let settings = self.memory.head.settings;
        let Some(lookup) = self.memory.lookup(operation) else { return false };
        next_send(&lookup, &settings).is_some() || self.next_to_tell(operation).is_some()
    }

    pub(crate) fn transmit_operation(&mut self, now: Instant, operation: usize, out: &mut [u8]) -> Option<Transmit> {
        let settings = self.memory.head.settings;
        let Some(send) = next_send(&self.memory.lookup(operation)?, &settings) else {
            return self.transmit_hint(operation, out);
        };
        let place = self.prepare(now, operation, send)?;
        let via = self.memory.candidate(operation, place)?.1.via;
        let transmit = self.write_request(now, operation, place, out);
        if transmit.is_none() {
            // A request that does not fit anywhere will not fit later either.
            self.candidate_failed(operation, place);
        }
        transmit.map(|transmit| transmit.through(via))
    }

    /// Notes that a request goes out to a candidate: its tag, its attempt, when it is late.
    fn prepare(&mut self, now: Instant, operation: usize, send: Send) -> Option<usize> {
        let (place, again) = match send {
            Send::First(place) => (place, false),
            Send::Again(place) => (place, true),
        };
        let cell = self.memory.candidate_cell(operation, place);
        let nonce = self.memory.head.random.next();
        let contact = self.memory.candidate(operation, place)?.1.contact;
        let (path_us, path) = self.path_to(&contact);
        let (narrow, full) = (self.is_narrow(), self.memory.head.settings.room().datagram());
        let lookup = self.memory.lookup(operation)?;
        let (kind, phase) = (lookup.operation.kind, lookup.operation.phase);
        // Who reads all values, and knows of some, most likely knows those that this one has: their names will do.
        let knows_some = lookup.operation.all && lookup.items.iter().any(|slot| slot.state != ItemState::Free);
        let candidate = lookup.candidates.get_mut(place)?;
        candidate.resend = false;
        candidate.busy = 0;
        candidate.names_only |= knows_some && candidate.cursor == 0 && !again;
        if again {
            candidate.tag = candidate.tag.with_attempt(candidate.attempts);
        } else {
            candidate.tag = TransactionId::new(cell, nonce, 0);
            candidate.attempts = 0;
            candidate.late = false;
            (candidate.limit, candidate.larger, candidate.longest) = (0, 0, 0);
            (candidate.probes, candidate.pulled) = (false, 0);
            match phase {
                Phase::Walk => candidate.walk = Walk::Asked,
                Phase::Give => candidate.give = Give::Sent,
            }
        }
        if phase == Phase::Give && candidate.patience == Instant::ZERO {
            candidate.patience = now.plus_micros(PATIENCE_US);
        }
        if let Some(way) = way_of(kind, phase) {
            let attempt = path.attempt(way, candidate.attempts, nonce, narrow);
            let full = if way == Way::In { full } else { candidate.room.datagram() };
            let limit = attempt.limit.map_or(full, usize::from).min(full);
            if limit < full.min(candidate.size()) {
                (candidate.limit, candidate.larger) = (units(limit), candidate.attempts);
            }
            // The small one beside a repeated STORE must have the same items in the same places.
            let fits = !again || candidate.carried.count_ones() <= SMALL_OFFERS;
            let probes = attempt.probes && fits && path.limit(way).map_or(SMALLEST, usize::from) < limit;
            candidate.resend = probes && !candidate.probes;
            candidate.probes |= probes;
        }
        candidate.attempts = candidate.attempts.saturating_add(1);
        candidate.sent = now;
        lookup.operation.requests = lookup.operation.requests.saturating_add(1);
        if candidate.order == 0 {
            candidate.order = lookup.operation.requests;
        }
        let attempt = candidate.attempts.saturating_sub(candidate.probes.into());
        let is_probe = candidate.probes && candidate.attempts == 2;
        let deadline = lookup.operation.deadline;
        let timeout_us = if kind == Kind::Store && phase == Phase::Give {
            let settings = &self.memory.head.settings;
            let service_us = self.memory.head.store_rtt.timeout_us();
            service_us
                .unwrap_or(settings.initial_timeout_us.saturating_mul(4))
                .max(path_us)
                .min(settings.max_timeout_us)
        } else {
            path_us
        };
        let late_at = now.plus_micros(self.backed_off(timeout_us, attempt)).min(deadline);
        self.memory.candidate(operation, place)?.1.deadline = late_at;
        let stats = &mut self.memory.head.stats;
        count!(stats, requests_out);
        match (again, is_probe) {
            (true, true) => count!(stats, path_probes),
            (true, false) => count!(stats, retransmissions),
            _ => {}
        }
        Some(place)
    }

    fn write_request(&mut self, now: Instant, operation: usize, place: usize, out: &mut [u8]) -> Option<Transmit> {
        let flags = self.flags();
        let (k, room) = (self.memory.head.settings.k, self.memory.head.settings.room());
        let alpha = self.memory.head.settings.alpha.into();
        let many_doors = self.memory.lookup(operation)?.has_many_doors(alpha);
        let (slot, candidate) = self.memory.candidate(operation, place)?;
        let many_doors = candidate.anonymous && many_doors;
        let (kind, phase, target) = (slot.kind, slot.phase, slot.target);
        let Candidate { tag, token, cursor, names_only, .. } = *candidate;
        let room = room.min(MaxDatagram::of(candidate.size()));
        let to = candidate.contact.endpoint;
        match (kind, phase) {
            (Kind::Leave, Phase::Give) => {
                // Not answered: it is done when it is sent.
                (candidate.give, candidate.attempts) = (Give::Done, 0);
                self.write(&to, &Request::Goodbye, tag, token, flags, out)
            }
            (Kind::Ping | Kind::Leave, _) | (Kind::Join, Phase::Give) => self.write_ping(&to, tag, token, out),
            (Kind::Store, Phase::Give) => self.write_store(now, operation, place, out),
            (Kind::FindValue, _) => {
                let names_only = if names_only { RequestFlags::HEADERS_ONLY } else { 0 };
                let flags = RequestFlags(flags.0 | names_only);
                let find = self.find_value_request(operation, cursor, room)?;
                self.write_within(room, &to, &Request::FindValue(find), tag, flags, out)
            }
            _ => {
                let len = if many_doors { DOOR_LEN } else { Request::padded_len(room) };
                let padding = len.saturating_sub(90);
                let find = FindNode { limit: k, target, padding };
                self.write_within(room, &to, &Request::FindNode(find), tag, flags, out)
            }
        }
    }

    fn find_value_request(&mut self, operation: usize, cursor: u32, room: MaxDatagram) -> Option<FindValue> {
        let operation = self.memory.operations.get(operation)?;
        Some(FindValue {
            limit: if operation.all { contacts_with_values(room) } else { 0 },
            types: operation.types,
            burst: 0,
            max_age_ms: operation.max_age_ms,
            cursor,
            key: operation.target,
            padding: Request::padded_len(room).saturating_sub(100),
        })
    }

    fn write(
        &mut self,
        to: &Endpoint,
        request: &Request<'_>,
        tag: TransactionId,
        token: Token,
        flags: RequestFlags,
        out: &mut [u8],
    ) -> Option<Transmit> {
        let len = request.encode(&self.envelope(tag, token), flags, out)?;
        Some(Transmit { to: (*to).into(), via: Via::ANY, len, has_holes: false })
    }

    /// Writes a request whose reply must be no larger than this.
    fn write_within(
        &mut self,
        room: MaxDatagram,
        to: &Endpoint,
        request: &Request<'_>,
        tag: TransactionId,
        flags: RequestFlags,
        out: &mut [u8],
    ) -> Option<Transmit> {
        let mut envelope = self.envelope(tag, Token::NONE);
        envelope.prefix.room = room;
        let len = request.encode(&envelope, flags, out)?;
        Some(Transmit { to: (*to).into(), via: Via::ANY, len, has_holes: false })
    }

    /// Writes a PING, which tells where this node is to be listed if that is not where it comes from.
    fn write_ping(&mut self, to: &Endpoint, tag: TransactionId, token: Token, out: &mut [u8]) -> Option<Transmit> {
        let advertised = self.memory.head.settings.advertised_to(to);
        let flags = match advertised {
            Some(_) => RequestFlags(self.flags().0 & !RequestFlags::CLIENT),
            None => self.flags(),
        };
        self.write(to, &Request::Ping(advertised), tag, token, flags, out)
    }

    /// Writes as many of the items that a holder has not answered for as fit one datagram: whole where they fit, as offers
    /// where they never would.
    fn write_store(&mut self, now: Instant, operation: usize, place: usize, out: &mut [u8]) -> Option<Transmit> {
        let flags = self.flags();
        let candidate = self.memory.lookup(operation)?.candidates.get(place).copied()?;
        let mut envelope = self.envelope(candidate.tag, candidate.token);
        // The holder pulls what is offered in chunks that pass, too.
        envelope.prefix.room = envelope.prefix.room.min(MaxDatagram::of(candidate.size()));
        let (expected, latest) = self.arrival(now, &candidate);
        let lookup = self.memory.lookup(operation)?;
        let mode = lookup.operation.mode;
        let within = candidate.room.datagram().min(candidate.size()).min(out.len());
        let mut writer = StoreWriter::begin(&envelope, flags, mode, out.get_mut(..within)?)?;
        let alone = writer.inline_room().unwrap_or(0);
        // A repeated STORE has the same items in the same places, because the answer names them by place.
        let again = candidate.attempts > 1;
        let open = lookup.operation.item_mask() & !candidate.acked & !candidate.closed;
        let mut left = if again { candidate.carried } else { open };
        let (mut carried, mut has_holes) = (0u32, false);
        while left != 0 {
            let item = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            let Some(slot) = lookup.items.get(item as usize) else { break };
            let header = slot.header_at(expected, latest);
            let inline = inline_len(&header, mode, alone);
            if writer.push(&slot.key, &header.with_inline(inline)).is_none() {
                break;
            }
            has_holes |= inline > 0;
            carried |= 1u32.checked_shl(item).unwrap_or(0);
        }
        let len = writer.finish()?;
        let candidate = lookup.candidates.get_mut(place)?;
        (candidate.carried, candidate.longest) = (carried, candidate.longest.max(units(len)));
        if len <= SMALLEST && !again {
            // It passes as it is.
            (candidate.resend, candidate.probes) = (false, false);
        }
        Some(Transmit { to: candidate.contact.endpoint.into(), via: candidate.via, len, has_holes })
    }

    /// When what is sent now arrives: to be expected, and at the latest unless something goes wrong. Until then the life of a
    /// value has passed, so that none grows on its way; its age is by the first, so that values that one node has published one
    /// after the other keep their order whatever their ways.
    fn arrival(&mut self, now: Instant, candidate: &Candidate) -> (Instant, Instant) {
        let of_contact = self.memory.find(&candidate.contact.id).map(|slot| slot.rtt);
        let head = &self.memory.head;
        let rtt = of_contact.filter(|rtt| rtt.smoothed_us().is_some()).unwrap_or(head.rtt);
        let longest_us = rtt.timeout_us().unwrap_or(0).max(candidate.rtt_us.into());
        // Who answers long after it was given up must not shorten the lives of values.
        let longest_us = longest_us.min(head.settings.max_timeout_us);
        let expected_us = u64::from(rtt.smoothed_us().unwrap_or(0) / 2).min(longest_us);
        (now.plus_micros(expected_us), now.plus_micros(longest_us))
    }

    /// Tells a farther contact that this node leaves, without the proof that the nearest ones get.
    fn transmit_hint(&mut self, operation: usize, out: &mut [u8]) -> Option<Transmit> {
        let nonce = self.memory.head.random.next();
        let flags = self.flags();
        let (index, contact, via) = self.next_to_tell(operation)?;
        let slot = self.memory.operations.get_mut(operation)?;
        slot.cursor = u16::try_from(index.saturating_add(1)).unwrap_or(u16::MAX);
        count!(self.memory.head.stats, requests_out);
        let tag = TransactionId::new(0, nonce, 0);
        let transmit = self.write(&contact.endpoint, &Request::Goodbye, tag, Token::NONE, flags, out)?;
        Some(transmit.through(via))
    }

    /// The next contact that a leaving node says goodbye to without proof, and its slot in the table.
    fn next_to_tell(&self, operation: usize) -> Option<(usize, Contact, Via)> {
        let slot = self.memory.operations.get(operation)?;
        if slot.kind != Kind::Leave || slot.phase != Phase::Give || !slot.is_running() {
            return None;
        }
        let told = self.memory.candidates_of(operation);
        let is_told = |contact: &Contact| told.iter().any(|candidate| candidate.contact.endpoint == contact.endpoint);
        let mut slots = self.memory.contacts.iter().enumerate().skip(slot.cursor.into());
        let next = slots.find(|(_, slot)| slot.is_live() && !is_told(&slot.contact));
        next.map(|(index, slot)| (index, slot.contact, slot.via))
    }

    pub(crate) fn transmit_probe(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let flags = self.flags();
        let to = self.memory.head.probes.next_due()?.to;
        let stranger = Contact { id: NodeId::default(), endpoint: to };
        let contact = self.memory.table().at(&to).unwrap_or(stranger);
        let timeout_us = self.timeout_us(&contact);
        let attempt = self.memory.head.probes.next_due()?.attempts.saturating_add(1);
        let late_at = now.plus_micros(self.backed_off(timeout_us, attempt));
        let probe = self.memory.head.probes.next_due()?;
        probe.due = false;
        probe.tag = probe.tag.with_attempt(probe.attempts);
        probe.attempts = attempt;
        probe.sent = now;
        probe.deadline = late_at;
        let (tag, via, reason, first) =
            (probe.tag, probe.via, probe.reason, attempt == 1 && probe.reason != Reason::Free);
        if first {
            count!(self.memory.head.stats, probes);
        }
        count!(self.memory.head.stats, requests_out);
        let transmit = match reason {
            Reason::Doubted => self.write_ping(&to, tag, Token::NONE, out)?,
            // As long as what caused it, and no longer.
            _ => self.write(&to, &Request::PING, tag, Token::NONE, flags, out)?,
        };
        Some(transmit.through(via))
    }

    pub(crate) fn transmit_pull(&mut self, now: Instant, index: usize, out: &mut [u8]) -> Option<Transmit> {
        let (flags, was_short) = (self.flags(), self.is_short_of_credit());
        let window = u32::from(self.memory.head.settings.receive_window);
        let credit = window.saturating_sub(self.memory.head.granted);
        let source = self.memory.transfers.get(index)?.source;
        let path_us = self.timeout_us(&source);
        let transfer = self.memory.transfers.get_mut(index)?;
        let (request, chunk_len) = transfer.wants(credit)?;
        let proof = request.bitmap == 0;
        // A larger chunk than those of the window is a probe: what it brings is in the way of nothing else.
        let probes = !proof && chunk_len != transfer.window.chunk_len();
        let tag = transfer.tag.with_attempt(transfer.attempt);
        transfer.attempt = transfer.attempt.wrapping_add(1).max(1);
        let rounds = transfer.empty_rounds.saturating_add(1);
        if probes {
            (transfer.probe, transfer.larger) = (0, true);
        } else {
            transfer.window.sent(&request);
            (transfer.tag, transfer.sent, transfer.proving) = (tag, now, proof);
        }
        let pull = Pull {
            lane: if transfer.is_offered() { transfer.lane } else { 0 },
            chunk_len,
            offset: request.offset,
            bitmap: request.bitmap,
            offer: transfer.offer,
            key: transfer.key,
            digest: transfer.header.digest,
        };
        let (token, via) = (transfer.token, transfer.via);
        if probes {
            count!(self.memory.head.stats, path_probes);
        } else {
            self.memory.head.granted = self.memory.head.granted.saturating_add(request.bitmap.count_ones());
            let ends = now.plus_micros(self.backed_off(path_us, rounds));
            self.memory.transfers.get_mut(index)?.round_ends = ends;
            self.credit_changed(was_short, index);
        }
        count!(self.memory.head.stats, requests_out);
        let transmit = self.write(&source.endpoint, &Request::Pull(pull), tag, token, flags, out)?;
        Some(transmit.through(via))
    }

    /// Marks the upkeep's readiness and deadline.
    pub(crate) fn settle_upkeep(&mut self) {
        let ready = self.memory.head.probes.has_due();
        let deadline = self.upkeep_deadline();
        self.memory.reschedule(Slot::Upkeep, ready, deadline);
    }
}

/// Contacts that a find of all values wants besides the values: they take a third of the room, so that a value is left a
/// place in the smallest reply too.
fn contacts_with_values(room: MaxDatagram) -> u8 {
    let contacts = room.datagram() / (3 * kad_wire::limits::CONTACT_LEN);
    u8::try_from(contacts).unwrap_or(u8::MAX)
}

/// In which direction a request's large datagrams go, if it has any.
pub(crate) fn way_of(kind: Kind, phase: Phase) -> Option<Way> {
    match (kind, phase) {
        (Kind::Store, Phase::Give) => Some(Way::Out),
        (Kind::Ping | Kind::Leave, _) | (_, Phase::Give) => None,
        _ => Some(Way::In),
    }
}

/// What an operation sends next.
fn next_send(lookup: &Lookup<'_>, settings: &Settings) -> Option<Send> {
    if !lookup.operation.is_running() {
        return None;
    }
    if let Some(place) = lookup.next_to_resend() {
        return Some(Send::Again(place));
    }
    let first = match lookup.operation.phase {
        Phase::Walk if waits_for_a_value(lookup) => None,
        Phase::Walk => {
            let next = || lookup.next_to_ask(walk_width(lookup, settings.k), alpha(lookup, settings));
            lookup.next_door(settings.alpha.into()).or_else(next)
        }
        Phase::Give => lookup.next_to_give(give_width(lookup, settings.store_width)),
    };
    first.map(Send::First)
}

/// How many of the nearest must answer before a walk is over.
pub(crate) fn walk_width(lookup: &Lookup<'_>, k: u8) -> usize {
    match lookup.operation.kind {
        Kind::Ping => 1,
        Kind::Leave => usize::MAX,
        _ => k.into(),
    }
}

/// How many may be waited for at a time. A round that brings nobody nearer is followed by one to all of the k nearest that
/// were not asked (paper, section 2.3), as far as their answers fit the socket; unless the first value is enough, which most
/// likely comes before. Whoever leaves asks everyone at once.
pub(crate) fn alpha(lookup: &Lookup<'_>, settings: &Settings) -> usize {
    let alpha = usize::from(settings.alpha);
    let operation = &lookup.operation;
    if operation.kind == Kind::Leave {
        usize::MAX
    } else if operation.stalled && (operation.kind != Kind::FindValue || operation.all) {
        let fits = usize::from(settings.receive_window / 4);
        usize::from(settings.k).min(fits).max(alpha)
    } else {
        alpha
    }
}

/// How many holders are given to at a time: everyone when the items travel inside, a few when they are pulled.
fn give_width(lookup: &Lookup<'_>, store_width: u8) -> usize {
    let large = lookup.items.iter().any(|slot| slot.header.total_len as usize > kad_wire::limits::STORE_INLINE_MAX);
    if lookup.operation.kind == Kind::Store && large { store_width.into() } else { usize::from(u8::MAX) }
}

/// Whether the first value is on its way, so that nobody else need be asked.
fn waits_for_a_value(lookup: &Lookup<'_>) -> bool {
    lookup.operation.kind == Kind::FindValue
        && !lookup.operation.all
        && lookup.items.iter().any(|slot| slot.state == ItemState::Pulling)
}

/// How many bytes of an item travel inside a STORE: all or none.
fn inline_len(header: &ItemHeader, mode: StoreMode, alone: usize) -> u16 {
    let likely_held = matches!(mode, StoreMode::Replicate | StoreMode::Handover);
    let fits = header.total_len as usize <= alone;
    if fits && (!likely_held || header.total_len <= INLINE_REPLICA) { header.total_len as u16 } else { 0 }
}
