//! Another node with this node's id: a data directory that was copied to a second host, say. Other nodes know only one of
//! the two, so each gets a part of what is meant for both.
//!
//! Whoever sends in this node's name, or is named at another address with its id, is asked with a PING, for anybody can write
//! any id into a datagram. Only an answer in this node's own name is proof, and only if its token is not this node's: a
//! node reaches itself at each of its own addresses.

use kad_wire::limits::AMPLIFICATION;
use kad_wire::{Endpoint, Envelope, Instant, Reply, ReplyHead, Request, RequestFlags};

use super::receive::{Asked, PROBE_LEN};
use super::{Node, Received};
use crate::event::Duplicate;
use crate::memory::Cell;
use crate::probe::Reason;
use crate::stats::count;
use crate::via::Via;

/// How often an address is asked that uses this node's id, or is said to.
const ASK_INTERVAL_MS: u64 = 10_000;
/// How often a duplicate is asked whether it is still there ...
const CHECK_INTERVAL_MS: u64 = 60_000;
/// ... how soon if that was not possible ...
const CHECK_AGAIN_MS: u64 = 1_000;
/// ... and how long after its last answer it counts as gone.
const GONE_US: u64 = 180_000_000;

/// What is known of nodes with this node's id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duplicates {
    /// The last one that answered; its address has no port if there is none.
    found: Duplicate,
    /// When it is asked again.
    check_at: Instant,
    /// When the next address may be asked.
    ask_at: Instant,
    /// An address at which this node reaches itself.
    own: Endpoint,
}

impl Duplicates {
    const NONE: Duplicate = Duplicate { endpoint: Endpoint::UNSPECIFIED, seen: Instant::ZERO };
    pub(crate) const EMPTY: Self =
        Self { found: Self::NONE, check_at: Instant::ZERO, ask_at: Instant::ZERO, own: Endpoint::UNSPECIFIED };

    const fn is_found(&self) -> bool {
        self.found.endpoint.port != 0
    }

    /// When something must be done.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        self.is_found().then_some(self.check_at)
    }
}

impl Node<'_> {
    /// The other node with this node's id, if there is one: it answered within the last three minutes.
    pub fn duplicate(&self) -> Option<Duplicate> {
        let duplicates = &self.memory.head.duplicates;
        duplicates.is_found().then_some(duplicates.found)
    }

    /// Takes in a request in this node's own name: its own, which came back to it, one of a duplicate, or of somebody who
    /// writes what he likes. A PING is answered, because that is how two nodes with one id find out.
    pub(crate) fn asked_in_own_name(
        &mut self,
        now: Instant,
        asked: &Asked<'_>,
        request: &Request<'_>,
        out: &mut [u8],
    ) -> Received<'static, 'static> {
        let is_client = asked.flags.has(RequestFlags::CLIENT) || self.memory.head.settings.client;
        if !is_client {
            self.id_claimed(now, asked.from);
        }
        if is_client || !matches!(request, Request::Ping(_)) {
            count!(self.memory.head.stats, dropped_own);
            return Received::Nothing;
        }
        count!(self.memory.head.stats, pings);
        let budget = asked.len.saturating_mul(AMPLIFICATION).saturating_sub(PROBE_LEN);
        let asker = self.asker(now, asked, budget.min(out.len()));
        self.reply(&asker, &Reply::Pong, out)
    }

    /// Asks at an address that uses this node's id, or is said to.
    pub(crate) fn id_claimed(&mut self, now: Instant, endpoint: Endpoint) {
        let head = &mut self.memory.head;
        let known = [head.duplicates.own, head.duplicates.found.endpoint].contains(&endpoint);
        let usable = endpoint.is_usable() && head.settings.families.reach(&endpoint);
        if known || !usable || now < head.duplicates.ask_at {
            return;
        }
        if head.probes.plan(now, (&endpoint, Via::ANY), Reason::Duplicate, head.random.next()) {
            head.duplicates.ask_at = now.plus_millis(ASK_INTERVAL_MS);
        }
        self.settle_upkeep();
    }

    /// Takes in a reply in this node's own name.
    pub(crate) fn replied_in_own_name(&mut self, now: Instant, from: Endpoint, envelope: &Envelope, reply: &ReplyHead) {
        count!(self.memory.head.stats, dropped_own);
        if !self.was_asked(now, from, envelope) {
            return;
        }
        let head = &mut self.memory.head;
        // On this host's own number of the link, if the address is of one.
        let observed = reply.observed.named_by(&from).unwrap_or(reply.observed);
        let own_token = head.tokens.verify(now, head.settings.network, &observed, &head.id, envelope.token);
        match own_token {
            true => head.duplicates.own = from,
            false => {
                head.duplicates.found = Duplicate { endpoint: from, seen: now };
                head.duplicates.check_at = now.plus_millis(CHECK_INTERVAL_MS);
            }
        }
        self.settle_upkeep();
    }

    /// Whether a reply belongs to a request of this node, which is over then: nobody else is at that address.
    fn was_asked(&mut self, now: Instant, from: Endpoint, envelope: &Envelope) -> bool {
        let tag = envelope.prefix.tag;
        match self.memory.cell(tag.slot()) {
            Cell::Probe(cell) => self.memory.head.probes.answered(cell, tag, &from).is_some(),
            Cell::Candidate(operation, place) => {
                let asked = self.memory.candidate(operation, place).is_some_and(|(slot, candidate)| {
                    slot.is_running()
                        && candidate.is_awaited()
                        && candidate.tag.same_exchange(tag)
                        && candidate.contact.endpoint == from
                });
                if asked {
                    self.candidate_failed(operation, place);
                    self.settle_operation(now, operation);
                }
                asked
            }
            Cell::Transfer(_) | Cell::None => false,
        }
    }

    /// Asks a duplicate whether it is still there, or forgets it.
    pub(crate) fn check_duplicate(&mut self, now: Instant) {
        let head = &mut self.memory.head;
        let duplicates = &mut head.duplicates;
        if !duplicates.is_found() || now < duplicates.check_at {
            return;
        }
        if now.micros_since(duplicates.found.seen) >= GONE_US {
            duplicates.found = Duplicates::NONE;
            return;
        }
        let asked =
            head.probes.plan(now, (&duplicates.found.endpoint, Via::ANY), Reason::Duplicate, head.random.next());
        duplicates.check_at = now.plus_millis(if asked { CHECK_INTERVAL_MS } else { CHECK_AGAIN_MS });
    }
}
