//! The routing table's own life: contacts that are doubted, or silent, are checked, quiet buckets are refreshed.

use kad_wire::{Contact, Instant, Key};

use super::Node;
use crate::bucket::{Admission, BAD, FRESH_US};
use crate::operation::Kind;
use crate::probe::Reason;
use crate::stats::count;

/// Checks of silent contacts come at multiples of this, each half as often as the one before ...
const ROUND_US: u64 = 5_000_000;
/// ... but not less often than every so many rounds, or than this many while nobody answers.
const ROUNDS_MAX: u64 = 128;
const ROUNDS_CUT_OFF: u64 = 8;
/// A check for which there was no place is tried again after this.
const CHECK_RETRY_MS: u64 = 1_000;
/// A contact that was seen within so many intervals between checks is not checked for the sake of it.
const SEEN_INTERVALS: u64 = 4;
/// After a join the neighbourhood is looked at again after this, or up to twice as long.
const SECOND_LOOK_US: u64 = 15_000_000;
/// A refresh must be done by then.
const REFRESH_LIMIT_MS: u64 = 30_000;
/// A refresh that found no free place is tried again after this.
const REFRESH_RETRY_MS: u64 = 10_000;

impl Node<'_> {
    pub(crate) fn upkeep(&mut self, now: Instant) {
        let attempts = self.attempts();
        while let Some(probe) = self.memory.head.probes.expire(now, attempts) {
            self.probe_failed(now, &probe);
            self.ask_next(now);
        }
        if self.memory.head.doubts && self.memory.head.probes.next_look <= now {
            self.check_silent(now);
        }
        self.check_duplicate(now);
        self.check_least_recently_seen(now);
        if self.wants_survey() {
            self.survey(now);
        } else {
            self.refresh_quiet_bucket(now);
        }
        self.settle_upkeep();
    }

    /// When the upkeep must be woken.
    pub(crate) fn upkeep_deadline(&self) -> Option<Instant> {
        let head = &self.memory.head;
        let look = head.doubts.then_some(head.probes.next_look);
        let refresh = match self.wants_survey() {
            true => Some(Instant::ZERO),
            false => self.next_refresh().map(|(_, at)| at),
        };
        let check = (head.settings.check_us > 0 && !self.is_alone()).then_some(head.probes.next_check);
        let probes = sooner(head.probes.wakes(), head.duplicates.wakes());
        sooner(sooner(probes, look), sooner(check, refresh))
    }

    /// The number of the round of checks at a moment. Nodes begin theirs at different moments.
    fn round(&self, now: Instant) -> u64 {
        let [phase, ..] = *self.memory.head.id.as_bytes();
        now.as_micros().saturating_add(u64::from(phase).saturating_mul(ROUND_US / 256)) / ROUND_US
    }

    /// When a round begins.
    fn round_begins(&self, round: u64) -> Instant {
        let [phase, ..] = *self.memory.head.id.as_bytes();
        let begins = round.saturating_mul(ROUND_US).saturating_sub(u64::from(phase).saturating_mul(ROUND_US / 256));
        Instant::from_micros(begins)
    }

    /// There is a contact to check: at the latest in the next round.
    pub(crate) fn look_soon(&mut self, now: Instant) {
        let next = self.round_begins(self.round(now).saturating_add(1));
        let head = &mut self.memory.head;
        head.probes.next_look = if head.doubts { head.probes.next_look.min(next) } else { next };
        head.doubts = true;
    }

    /// Checks the contacts that somebody gave reason to doubt, and the silent ones whose turn it is.
    fn check_silent(&mut self, now: Instant) {
        let (round, cut_off) = (self.round(now), self.is_alone());
        let begins_now = core::mem::replace(&mut self.memory.head.probes.round, round as u32) != round as u32;
        let (mut next, mut waits) = (None, false);
        for index in 0..self.memory.contacts.len() {
            let Some(slot) = self.memory.contacts.get(index) else { break };
            if !(slot.is_live() && (slot.is_doubted() || slot.failures > 0)) {
                continue;
            }
            let rounds = rounds_between(slot.failures, cut_off);
            let place = round.wrapping_add(index as u64) % rounds;
            let (endpoint, via) = (slot.contact.endpoint, slot.via);
            let head = &mut *self.memory.head;
            if slot.is_doubted() || (place == 0 && begins_now && !head.probes.is_under_way(&endpoint)) {
                let planned = head.probes.plan(now, (&endpoint, via), Reason::Doubted, head.random.next());
                let done = planned || head.probes.is_under_way(&endpoint);
                waits |= !done;
                if let Some(slot) = self.memory.contacts.get_mut(index) {
                    slot.set_doubted(!done);
                }
            }
            next = sooner(next, Some(self.round_begins(round.saturating_add(rounds).saturating_sub(place))));
        }
        if waits {
            next = sooner(next, Some(now.plus_millis(CHECK_RETRY_MS)));
        }
        let head = &mut self.memory.head;
        (head.doubts, head.probes.next_look) = (next.is_some(), next.unwrap_or(now));
        head.probes.asks_all &= waits;
    }

    /// Now and then the contact that was seen longest ago is asked whether it is still there.
    fn check_least_recently_seen(&mut self, now: Instant) {
        let interval_us = self.memory.head.settings.check_us;
        if interval_us == 0 || now < self.memory.head.probes.next_check {
            return;
        }
        let jitter = self.memory.head.random.below(interval_us / 2);
        self.memory.head.probes.next_check =
            now.plus_micros((interval_us / 4).saturating_mul(3).saturating_add(jitter));
        let good = self.memory.contacts.iter().filter(|slot| slot.is_good());
        if let Some(oldest) = good.min_by(|a, b| a.seen.cmp(&b.seen))
            && now.micros_since(oldest.seen) > interval_us.saturating_mul(SEEN_INTERVALS)
        {
            let contact = oldest.contact;
            self.doubt(now, &contact, Reason::Doubted);
        }
    }

    /// Asks all contacts whether they are there, as soon as there is a place for each PING. For a node that has moved, or was
    /// asleep: contacts learn where it is from its PING, and those that are gone are found out.
    pub fn ask_contacts(&mut self, now: Instant) {
        let live = self.memory.contacts.iter_mut().filter(|slot| slot.is_live());
        let count = live.map(|slot| slot.set_doubted(true)).count();
        if count > 0 {
            let head = &mut self.memory.head;
            (head.doubts, head.probes.asks_all, head.probes.next_look) = (true, true, now);
            self.settle_upkeep();
        }
    }

    /// A probe is over: while all contacts are being asked, its place is for the next.
    pub(crate) fn ask_next(&mut self, now: Instant) {
        if self.memory.head.probes.asks_all {
            self.memory.head.probes.next_look = now;
        }
    }

    /// Somebody gave reason to doubt a contact. Only the contact's own silence counts against it.
    pub(crate) fn doubt(&mut self, now: Instant, contact: &Contact, reason: Reason) {
        let Some(via) = self.memory.find_at(contact).map(|slot| slot.via) else { return };
        let head = &mut self.memory.head;
        let endpoint = &contact.endpoint;
        let planned = head.probes.plan(now, (endpoint, via), reason, head.random.next());
        let asked = planned || head.probes.is_under_way(endpoint);
        if !asked && let Some(slot) = self.memory.find(&contact.id) {
            slot.set_doubted(true);
            self.look_soon(now);
        }
        self.settle_upkeep();
    }

    /// A newcomer waits as a spare: the contact of its bucket that was seen longest ago is asked whether it still lives.
    pub(crate) fn doubt_least_recently_seen(&mut self, now: Instant, newcomer: &Contact) {
        let mut table = self.memory.table();
        let row = table.row_of(&newcomer.id);
        let oldest = table.bucket(row).least_recently_seen().map(|slot| (slot.contact, slot.seen));
        if let Some((contact, seen)) = oldest
            && now.micros_since(seen) > FRESH_US
        {
            self.doubt(now, &contact, Reason::Doubted);
        }
    }

    /// When a row that a lookup goes through now must be refreshed: after the interval, give or take a quarter.
    #[inline(never)]
    pub(crate) fn next_refresh_of_a_row(&mut self, now: Instant) -> Instant {
        let interval = self.memory.head.settings.refresh_us;
        let jitter = self.memory.head.random.below(interval / 2);
        now.plus_micros((interval / 4).saturating_mul(3).saturating_add(jitter))
    }

    /// Whether buckets may be refreshed now: one after the other, and not by a client, whom nobody asks.
    fn may_refresh(&self) -> bool {
        let head = &self.memory.head;
        !(head.refreshing || head.settings.client || self.is_alone())
    }

    /// The bucket that is due for a refresh next, and when.
    fn next_refresh(&self) -> Option<(usize, Instant)> {
        if !self.may_refresh() {
            return None;
        }
        let head = &self.memory.head;
        let rows = self.memory.rows.iter().take(head.depth.into()).enumerate();
        rows.map(|(row, meta)| (row, meta.refresh_at)).min_by(|(_, a), (_, b)| a.cmp(b))
    }

    /// Looks up a random id in a bucket that went without a lookup for too long (paper, section 2.3).
    fn refresh_quiet_bucket(&mut self, now: Instant) {
        let Some((row, at)) = self.next_refresh() else { return };
        if at > now {
            return;
        }
        let target = self.point_in_row(row);
        let again_at = match self.start_refresh(now, target) {
            true => self.next_refresh_of_a_row(now),
            false => now.plus_millis(REFRESH_RETRY_MS),
        };
        if let Some(meta) = self.memory.rows.get_mut(row) {
            meta.refresh_at = again_at;
        }
    }

    /// Shows a contact to the table. If a row splits for it, there is something to look at.
    pub(crate) fn add_to_table(&mut self, now: Instant, contact: &Contact, rtt_us: Option<u64>) -> Admission {
        let depth = self.memory.head.depth;
        let admission = self.memory.table().admit(now, contact, rtt_us);
        if self.memory.head.depth != depth {
            self.memory.head.survey = true;
            self.settle_upkeep();
        }
        admission
    }

    fn wants_survey(&self) -> bool {
        self.memory.head.survey && self.may_refresh()
    }

    /// A node that joins through a neighbour has seen its own part of the key space alone. The paper has every bucket farther
    /// than the nearest contact refreshed (section 2.3); here the last row stands for many of them until it splits, so its
    /// other half is looked at when nobody is known there.
    fn survey(&mut self, now: Instant) {
        self.memory.head.survey = false;
        if self.memory.table().is_one_sided() {
            let target = self.point_beside(usize::from(self.memory.head.depth).saturating_sub(1));
            // Without a place for it the next refresh sees to it.
            self.start_refresh(now, target);
        }
    }

    /// Starts a lookup for the table's sake, if there is a place.
    fn start_refresh(&mut self, now: Instant, target: Key) -> bool {
        let free = self.memory.operations.iter().filter(|operation| operation.is_free()).count();
        // One place is kept for the owner, where there is more than one.
        if free <= usize::from(self.memory.operations.len() > 1) {
            return false;
        }
        let Ok(operation) = self.start(now, now.plus_millis(REFRESH_LIMIT_MS), Kind::Refresh, target) else {
            return false;
        };
        count!(self.memory.head.stats, refreshes);
        self.memory.head.refreshing = true;
        self.add_nearest(operation);
        self.started(now, operation);
        true
    }

    /// A point whose ids belong in this row: a random one, or in the last row mostly this node's own id, whose lookup sees the
    /// whole neighbourhood.
    fn point_in_row(&mut self, row: usize) -> Key {
        let is_last = row.saturating_add(1) >= usize::from(self.memory.head.depth);
        if is_last && (!self.memory.table().is_one_sided() || self.memory.head.random.below(2) == 0) {
            return *self.memory.head.id.as_key();
        }
        self.point_beside(row)
    }

    /// A random point that shares so many leading bits with this node's id, and no more.
    fn point_beside(&mut self, row: usize) -> Key {
        let head = &mut self.memory.head;
        let (own, mut bytes) = (*head.id.as_bytes(), head.random.bytes32());
        for bit in 0..=row.min(255) {
            let (byte, mask) = (bit / 8, 0x80u8 >> (bit % 8));
            let own_bit = own.get(byte).copied().unwrap_or(0) & mask;
            let differs = bit == row;
            if let Some(byte) = bytes.get_mut(byte) {
                *byte = (*byte & !mask) | if differs { own_bit ^ mask } else { own_bit };
            }
        }
        Key::from_bytes(bytes)
    }

    /// After a join every bucket but the last that holds only a few contacts is due for a refresh: the self-lookup has
    /// only seen the neighbourhood. The neighbourhood is looked at once more when others who join at the same time have
    /// made themselves known there: after a power cut everybody joins at once.
    pub(crate) fn refresh_after_join(&mut self, now: Instant) {
        self.memory.head.survey = true;
        let few = self.memory.table().few();
        let last = usize::from(self.memory.head.depth).saturating_sub(1);
        for row in 0..self.memory.rows.len() {
            let lacks = row < last && self.memory.table().bucket(row).live() < few;
            let at = match row {
                _ if lacks => now,
                _ if row == last => {
                    now.plus_micros(SECOND_LOOK_US.saturating_add(self.memory.head.random.below(SECOND_LOOK_US)))
                }
                _ => self.next_refresh_of_a_row(now),
            };
            if let Some(meta) = self.memory.rows.get_mut(row) {
                meta.refresh_at = at;
            }
        }
        self.settle_upkeep();
    }
}

/// How many rounds after a check that failed the next one comes.
fn rounds_between(failures: u8, cut_off: bool) -> u64 {
    let doubled = 1u64.checked_shl(failures.saturating_sub(BAD).into()).unwrap_or(ROUNDS_MAX);
    doubled.min(if cut_off { ROUNDS_CUT_OFF } else { ROUNDS_MAX })
}

/// The earlier of two moments, if there is any.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
