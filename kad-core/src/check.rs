//! Every invariant of a node, asserted. The simulator and the fuzzers call this after every step.

use kad_wire::{Endpoint, Instant, Key};

use crate::bucket::Place;
use crate::lookup::nearest;
use crate::memory::{Cell, FreeList};
use crate::node::{BOOTSTRAP_ATTEMPTS, Node, alpha};
use crate::operation::{Give, ItemState, Kind, Operation, Walk};
use crate::probe::Reason;
use crate::transfer::{Purpose, State, Transfer};
use crate::wake::Link;

/// Asserts what is always true between two calls.
impl Node<'_> {
    /// Panics if an invariant does not hold: which is a bug of this crate, whatever the inputs were. Costs far more than
    /// any step; meant for tests, simulators and fuzzers.
    ///
    /// The invariants are listed in the repository's ARCHITECTURE.md.
    pub fn check(&mut self) {
        self.check_table();
        self.check_silences();
        self.check_closest();
        for operation in 0..self.memory.operations.len() {
            self.check_operation(operation);
        }
        self.check_transfers();
        self.check_places();
        self.check_schedule();
        self.check_counters();
    }

    fn check_table(&mut self) {
        let own = self.id();
        let (k, depth) = (self.k(), usize::from(self.memory.head.depth));
        let width = self.memory.contacts.len() / self.memory.rows.len();
        let head = &self.memory.head;
        assert!(head.doubts || !head.probes.asks_all, "who is still to be asked is looked for");
        assert!((1..=self.memory.rows.len()).contains(&depth), "rows in use");
        for (index, slot) in self.memory.contacts.iter().enumerate().filter(|(_, slot)| slot.place != Place::Free) {
            let shared = own.distance(slot.contact.id.as_key()).shared_bits();
            assert_ne!(slot.contact.id, own, "this node's id is not in its own table");
            assert_eq!(index / width, shared.min(depth - 1), "a contact is in the row that its distance gives");
            assert!(slot.contact.endpoint.is_usable(), "a contact has a usable address");
            let others = self.memory.contacts.iter().skip(index + 1).filter(|other| other.place != Place::Free);
            for other in others {
                assert_ne!(other.contact.id, slot.contact.id, "an id is in the table once");
                assert_ne!(other.contact.endpoint, slot.contact.endpoint, "an address is in the table once");
            }
        }
        let is_silent = |slot: &crate::ContactSlot| slot.is_live() && (slot.failures > 0 || slot.is_doubted());
        let looks = self.memory.head.doubts || !self.memory.contacts.iter().any(is_silent);
        assert!(looks, "who is silent or doubted is looked for");
        for row in self.memory.contacts.chunks(width) {
            let live = row.iter().filter(|slot| slot.is_live()).count();
            let spares = row.iter().filter(|slot| slot.place == Place::Spare).count();
            assert!(live <= k, "a row has at most k live contacts");
            assert!(spares == 0 || live == k, "a spare waits only where there is no place");
        }
    }

    fn check_silences(&self) {
        let head = &self.memory.head;
        for (place, mark) in head.silences.marks().enumerate() {
            assert!(!head.silences.marks().skip(place + 1).any(|other| other == mark), "an address is silent once");
        }
        for probe in &head.probes.places {
            let checks = matches!(probe.reason, Reason::Doubted | Reason::Goodbye);
            assert!(
                checks || probe.elsewhere == Endpoint::UNSPECIFIED,
                "only the address of a contact is left for another"
            );
        }
    }

    fn check_closest(&mut self) {
        let targets = [*self.id().as_key(), Key::default(), Key::from_bytes([0xff; 32])];
        for target in targets {
            let mut slots = [0; 16];
            let found = self.memory.nearest_of_all(&target, &mut slots).len();
            let good = || self.memory.contacts.iter().filter(|slot| slot.is_good());
            assert_eq!(found, good().count().min(slots.len()), "closest finds as many as there are");
            let distance =
                |slot: &u16| self.memory.contacts.get(usize::from(*slot)).map(|slot| slot.contact.id.distance(&target));
            let answer = slots.get(..found).unwrap_or_default();
            assert!(answer.is_sorted_by_key(distance), "closest is sorted");
            if let Some(farthest) = answer.last().and_then(distance) {
                let nearer = good().filter(|slot| slot.contact.id.distance(&target) < farthest).count();
                assert!(nearer < found, "closest equals brute force");
            }
        }
    }

    fn check_operation(&mut self, operation: usize) {
        let (own, settings) = (self.id(), self.memory.head.settings);
        let ready = self.wants_to_send(operation);
        let cell = |memory: &crate::Memory<'_>, place| memory.cell(memory.candidate_cell(operation, place));
        for place in 0..self.memory.shortlist() {
            assert_eq!(cell(&self.memory, place), Cell::Candidate(operation, place), "a cell names its candidate");
        }
        let Some(lookup) = self.memory.lookup(operation) else { return };
        if !lookup.operation.is_running() {
            let wake = &lookup.operation.wake;
            assert!(!wake.is_ready() && wake.deadline().is_none(), "what is over neither sends nor wakes");
            return;
        }
        let wake = &lookup.operation.wake;
        // A contact may leave the table before it is told that this node leaves: then the mark is in vain, but never missing.
        let in_vain = wake.is_ready() && lookup.operation.kind == Kind::Leave;
        assert!(
            wake.is_ready() == ready || in_vain,
            "an operation is marked ready exactly if it has something to send"
        );
        assert_eq!(wake.deadline(), Some(lookup.wakes()), "an operation has the deadline of its earliest wait");
        assert!(lookup.wakes() <= lookup.operation.deadline, "no wait is longer than the operation");
        let in_list = nearest(lookup.operation, lookup.candidates).count();
        let in_use = lookup.candidates.iter().filter(|candidate| candidate.walk != Walk::Free).count();
        assert_eq!(in_list, in_use, "every candidate is in the list once");
        let target = lookup.operation.target;
        let named = lookup.nearest().filter(|(_, candidate)| !candidate.anonymous);
        assert!(named.map(|(_, candidate)| candidate.contact.id.distance(&target)).is_sorted(), "the list is sorted");
        let asked = |anonymous| {
            let asked = |other: &&crate::Candidate| other.walk == Walk::Asked && other.anonymous == anonymous;
            lookup.candidates.iter().filter(asked).count()
        };
        let doors = usize::from(lookup.operation.doors) + usize::from(settings.alpha);
        assert!(asked(true) <= doors, "addresses are asked one after the other");
        let asked = asked(false);
        // While the last round widened, as many as that round had.
        let most = alpha(&lookup, &settings).max(settings.k.into()).saturating_mul(2);
        assert!(asked <= most, "the requests in flight are bounded");
        for (place, candidate) in lookup.nearest() {
            assert!(candidate.anonymous || candidate.contact.id != own, "this node is no candidate of its own");
            let most = settings.attempts.max(BOOTSTRAP_ATTEMPTS) + 1 + u8::from(candidate.probes);
            assert!(candidate.attempts <= most, "attempts are bounded");
            if candidate.is_in_flight() && candidate.attempts > 0 {
                let cell = candidate.tag.slot();
                let of_others =
                    lookup.candidates.iter().filter(|other| other.is_in_flight() && other.tag.slot() == cell);
                assert_eq!(of_others.count(), 1, "a tag names one request");
            }
            let twins = lookup
                .nearest()
                .filter(|(other, twin)| *other != place && twin.contact.endpoint == candidate.contact.endpoint);
            assert_eq!(twins.count(), 0, "an address is a candidate once");
            assert_eq!(candidate.acked & candidate.closed, 0, "an item is held or refused");
            assert!(
                candidate.give != Give::Done || candidate.acked != 0 || lookup.operation.items == 0,
                "done is done"
            );
        }
    }

    fn check_transfers(&mut self) {
        let head = &self.memory.head;
        let window = u32::from(head.settings.receive_window);
        let credit = window.saturating_sub(head.granted);
        let outstanding: u32 = self.memory.transfers.iter().map(|transfer| transfer.window.outstanding()).sum();
        assert_eq!(outstanding, head.granted, "credit is what is on its way");
        assert!(outstanding <= window, "no more is asked for than the socket holds");
        let mut rows = 0;
        for (index, transfer) in self.memory.transfers.iter().enumerate() {
            assert_eq!(self.memory.cell(self.memory.transfer_cell(index)), Cell::Transfer(index));
            assert_eq!(
                transfer.wake.is_ready(),
                transfer.wants(credit).is_some(),
                "a transfer is ready if it has a pull"
            );
            assert_eq!(transfer.wake.deadline(), transfer.wakes(), "a transfer has the deadline of its round");
            let has_row = transfer.state == State::Pulling;
            assert_eq!(transfer.row != Link::NONE, has_row, "who pulls has a row, and nobody else");
            assert!(!has_row || head.arena.is_taken(transfer.row), "a row that is used is taken");
            assert!(!has_row || !transfer.window.is_complete(), "a complete value is lent at once");
            let fits = usize::from(transfer.window.chunk_len()) <= transfer.room.bytes();
            assert!(!has_row || fits, "chunks fit what the source writes");
            assert!(
                transfer.probe == 0 || transfer.probe > transfer.window.chunk_len(),
                "a probe is larger than the rest"
            );
            self.check_purpose(transfer);
            rows += usize::from(has_row);
        }
        assert_eq!(head.arena.rows() - head.arena.free(), rows, "every taken row is used");
    }

    fn check_purpose(&self, transfer: &Transfer) {
        let Purpose::Own { operation, item } = transfer.purpose else { return };
        if transfer.is_free() {
            return;
        }
        let running = self.memory.operations.get(usize::from(operation)).is_some_and(Operation::is_running);
        assert!(running, "a value is pulled for an operation that is under way");
        let slot = self.memory.items_of(operation.into()).get(usize::from(item));
        let wanted = slot.is_some_and(|slot| slot.state == ItemState::Pulling && slot.header == transfer.header);
        assert!(wanted, "the operation waits for the value that is pulled");
    }

    /// Every place is used, or on its free list, or was never used.
    fn check_places(&self) {
        let memory = &self.memory;
        let taken = |free: &FreeList, next: &dyn Fn(usize) -> Link| {
            let ever_used = usize::from(free.fresh);
            let listed = core::iter::successors(free.first.get(), |&place| next(place).get());
            ever_used.checked_sub(listed.take(ever_used + 1).count())
        };
        let used = memory.operations.iter().filter(|operation| !operation.is_free()).count();
        let next = |place: usize| memory.operations.get(place).map_or(Link::NONE, |slot| slot.next_free);
        assert_eq!(taken(&memory.head.free_operations, &next), Some(used), "no place for an operation is lost");
        let used = memory.transfers.iter().filter(|transfer| !transfer.is_free()).count();
        let next = |place: usize| memory.transfers.get(place).map_or(Link::NONE, |slot| slot.next_free);
        assert_eq!(taken(&memory.head.free_transfers, &next), Some(used), "no place for a transfer is lost");
        let next = |place: usize| memory.operations.get(place).and_then(|slot| slot.next_changed.get());
        let listed = core::iter::successors(memory.head.first_changed.get(), |&place| next(place));
        let changed = memory.operations.iter().filter(|operation| operation.changed).count();
        assert_eq!(listed.take(changed + 1).count(), changed, "what has changed is listed, once");
    }

    fn check_schedule(&self) {
        let memory = &self.memory;
        let wakes = core::iter::once(memory.head.upkeep.deadline())
            .chain(memory.transfers.iter().map(|transfer| transfer.wake.deadline()))
            .chain(memory.operations.iter().map(|operation| operation.wake.deadline()));
        let least: Option<Instant> = wakes.flatten().min();
        assert_eq!(self.poll_timeout(), least, "the next timeout is the earliest deadline");
        assert_eq!(memory.head.upkeep.is_ready(), memory.head.probes.has_due(), "probes that are due are marked");
        // An answer may have taken away what the upkeep was to be woken for: then it wakes in vain, but never late.
        let upkeep = memory.head.upkeep.deadline();
        let in_time = self.upkeep_deadline().is_none_or(|due| upkeep.is_some_and(|at| at <= due));
        assert!(in_time, "the upkeep wakes in time");
        let running = memory.operations.iter().filter(|operation| Operation::is_running(operation));
        assert!(running.clone().all(|operation| operation.wake.deadline().is_some()), "everything ends");
    }

    fn check_counters(&self) {
        let stats = self.stats();
        let handled = stats.pings
            + stats.find_nodes
            + stats.find_values
            + stats.pulls
            + stats.stores
            + stats.goodbyes
            + stats.replies
            + stats.chunks
            + stats.token_refused
            + stats.pull_refused;
        let dropped = stats.dropped_version
            + stats.dropped_kind
            + stats.dropped_malformed
            + stats.dropped_network
            + stats.dropped_own
            + stats.dropped_client
            + stats.dropped_unsolicited;
        assert_eq!(stats.datagrams_in, handled + dropped, "every datagram is counted once");
        assert!(stats.tickets_answered <= stats.tickets_out, "no ticket is answered twice");
    }
}
