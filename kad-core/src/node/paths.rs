//! Paths that carry small datagrams only: how a node learns of them, and whom it tells.

use core::net::SocketAddr;

use kad_wire::limits::{CONTACT_LEN, ENVELOPE_LEN, REPLY_HEAD_LEN, ROOM_UNIT, VALUE_INLINE_MAX};
use kad_wire::{Contact, Endpoint, Instant, Reply, TransactionId};

use super::Node;
use super::transmit::way_of;
use crate::event::PathLimits;
use crate::operation::Give;
use crate::path::{Path, SMALLEST, Way, is_large, units};
use crate::stats::count;

/// After so many small paths with no wide one between them unknown paths are tried with large and small datagrams at once.
const NARROW: u8 = 4;

/// Bytes of a NODES with as many contacts as k usually is.
const LIST_LEN: usize = ENVELOPE_LEN + REPLY_HEAD_LEN + 20 * CONTACT_LEN;

impl Node<'_> {
    /// Notes the largest datagrams that pass to and from an address, as the local system says, whose own link may be the
    /// small one, or another worker. What is under way and too large goes out again at once, smaller.
    pub fn path_takes(&mut self, now: Instant, address: SocketAddr, limits: PathLimits) {
        let endpoint = Endpoint::from(address);
        let contact = self.memory.contacts.iter_mut().find(|slot| !slot.is_free() && slot.contact.endpoint == endpoint);
        let is_news = contact.is_none_or(|slot| slot.path.told(limits));
        if is_news {
            count!(self.memory.head.stats, small_paths);
            self.memory.head.path_news = true;
            self.narrows();
        }
        let Some(out) = limits.out else { return };
        let bytes = usize::from(out).max(SMALLEST);
        for operation in 0..self.memory.operations.len() {
            let Some(lookup) = self.memory.lookup(operation).filter(|lookup| lookup.operation.is_running()) else {
                continue;
            };
            let place = lookup.by_endpoint(&endpoint);
            let Some(candidate) = place.and_then(|place| lookup.candidates.get_mut(place)) else { continue };
            if candidate.give == Give::Sent && candidate.longest > units(bytes) && candidate.larger == 0 {
                candidate.resend = true;
                self.settle_operation(now, operation);
            }
        }
    }

    /// The next contact whose path has turned out to carry small datagrams only.
    pub fn poll_small_path(&mut self) -> Option<(Contact, PathLimits)> {
        if !self.memory.head.path_news {
            return None;
        }
        let mut slots = self.memory.contacts.iter_mut().filter(|slot| slot.is_live());
        let news = slots.find_map(|slot| slot.path.take_news().then_some((slot.contact, slot.path.limits())));
        self.memory.head.path_news = news.is_some();
        news
    }

    /// Whether the paths of this node tend to be small.
    pub(crate) fn is_narrow(&self) -> bool {
        self.memory.head.narrow >= NARROW
    }

    fn narrows(&mut self) {
        let narrow = &mut self.memory.head.narrow;
        *narrow = narrow.saturating_add(1).min(NARROW);
    }

    /// Notes that a datagram of this size has passed.
    pub(crate) fn passed(&mut self, contact: &Contact, way: Way, len: usize) {
        if len <= SMALLEST {
            return;
        }
        if let Some(slot) = self.memory.find_at(contact) {
            slot.path.passed(way, len);
        }
        if is_large(len) {
            self.memory.head.narrow = 0;
        }
    }

    /// Notes that a datagram has passed for which `limit` bytes were allowed, and that one of `larger` bytes has not.
    pub(crate) fn failed(&mut self, contact: &Contact, way: Way, (limit, larger): (usize, usize)) {
        self.becomes_small(contact, |path| path.failed(way, limit, larger));
    }

    /// A holder has tried large chunks and fallen back to small ones.
    pub(crate) fn shown_small(&mut self, contact: &Contact) {
        self.becomes_small(contact, |path| path.shown_small(Way::Out));
    }

    fn becomes_small(&mut self, contact: &Contact, change: impl FnOnce(&mut Path)) {
        self.narrows();
        let Some(slot) = self.memory.find_at(contact) else { return };
        change(&mut slot.path);
        if slot.path.has_news() {
            count!(self.memory.head.stats, small_paths);
            self.memory.head.path_news = true;
        }
    }

    /// An answer that is no longer needed, to the larger one of two attempts: it was not lost, but late.
    pub(crate) fn size_answered_late(
        &mut self,
        operation: usize,
        place: usize,
        tag: TransactionId,
        from: &Endpoint,
        len: usize,
    ) {
        let Some((slot, candidate)) = self.memory.candidate(operation, place) else { return };
        let ours = candidate.tag.same_exchange(tag) && candidate.contact.endpoint == *from;
        if ours && tag.attempt() < candidate.larger {
            let (contact, longest) = (candidate.contact, usize::from(candidate.longest));
            match way_of(slot.kind, slot.phase) {
                Some(Way::Out) => self.passed(&contact, Way::Out, longest.saturating_mul(ROOM_UNIT)),
                Some(Way::In) => self.passed(&contact, Way::In, len),
                None => {}
            }
        }
    }

    /// A request was answered: what that says of the path.
    pub(crate) fn size_answered(
        &mut self,
        operation: usize,
        place: usize,
        tag: TransactionId,
        reply: &Reply<'_>,
        len: usize,
    ) {
        let Some((slot, candidate)) = self.memory.candidate(operation, place) else { return };
        let Some(way) = way_of(slot.kind, slot.phase) else { return };
        let (contact, limit) = (candidate.contact, candidate.size());
        let large = candidate.larger == 0 || tag.attempt() < candidate.larger;
        let sent = usize::from(candidate.longest).saturating_mul(ROOM_UNIT);
        match way {
            // Who has the value has received the chunks.
            Way::Out if candidate.pulled != 0 => {
                let pulled = usize::from(candidate.pulled).saturating_sub(1).saturating_mul(ROOM_UNIT);
                self.passed(&contact, way, pulled);
            }
            Way::Out if large => {
                candidate.limit = 0;
                self.passed(&contact, way, sent);
            }
            Way::Out if sent > limit => self.failed(&contact, way, (limit, sent)),
            Way::Out => {}
            Way::In => {
                let larger = if large || candidate.names_only { 0 } else { len_without(reply, len, limit) };
                if larger > len {
                    self.failed(&contact, way, (limit, larger));
                } else {
                    candidate.limit = 0;
                    self.passed(&contact, way, len);
                }
            }
        }
    }
}

/// How long a reply would have been, more or less, if there had been no limit; 0 if not longer.
fn len_without(reply: &Reply<'_>, len: usize, limit: usize) -> usize {
    let is_full = len.saturating_add(CONTACT_LEN) > limit;
    // As long as a list of contacts is.
    let list = if is_full { LIST_LEN } else { 0 };
    match reply {
        Reply::Nodes(_) => list,
        Reply::Value(value) => {
            let items = value.items.iter().filter(|item| !item.header.is_whole());
            let inline = items.map(|item| item.header.total_len as usize).filter(|len| *len <= VALUE_INLINE_MAX);
            inline.map(|inline| inline.saturating_add(len)).max().unwrap_or(0).max(list)
        }
        _ => 0,
    }
}
