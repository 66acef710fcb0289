//! What the owner asks for. Each command starts an operation, or says that no place is free.

use core::net::SocketAddr;

use kad_wire::limits::TTL_MAX_MS;
use kad_wire::{Contact, Endpoint, Instant, ItemHeader, Key, NodeId, StoreMode};

use super::Node;
use crate::estimate::Rtt;
use crate::event::{FindOptions, OperationId, StartError};
use crate::operation::{Candidate, ItemSlot, ItemState, Kind, Operation, Pending};
use crate::stats::count;
use crate::via::Via;

impl Node<'_> {
    /// Asks whoever is at `address` for a sign of life. Ends with [`Event::Pinged`](crate::Event::Pinged).
    ///
    /// # Errors
    /// [`StartError::NoSlot`].
    pub fn ping(&mut self, now: Instant, deadline: Instant, address: SocketAddr) -> Result<OperationId, StartError> {
        let operation = self.start(now, deadline, Kind::Ping, Key::default())?;
        self.add_addresses(operation, &[address]);
        Ok(self.started(now, operation))
    }

    /// Joins the network: looks itself up, starting from these addresses and whomever it knows, and shows itself to the
    /// nodes nearest to it (paper, section 2.3). Ends with [`Event::Joined`](crate::Event::Joined).
    ///
    /// All of the addresses are asked, a few at once and the others soon after, one by one, and so that one that answers
    /// need not wait for those that do not. [`join_width`](Self::join_width) of them have places; the rest is ignored.
    ///
    /// # Errors
    /// [`StartError::NoSlot`].
    pub fn join(
        &mut self,
        now: Instant,
        deadline: Instant,
        bootstrap: &[SocketAddr],
    ) -> Result<OperationId, StartError> {
        let own = *self.id().as_key();
        let width = self.join_width();
        let operation = self.start(now, deadline, Kind::Join, own)?;
        self.add_addresses(operation, bootstrap.get(..width).unwrap_or(bootstrap));
        self.add_nearest(operation);
        Ok(self.started(now, operation))
    }

    /// How many addresses a [`join`](Self::join) tries. Some places of its shortlist are left to those whom they name, and
    /// half of them to contacts if there are any.
    pub fn join_width(&self) -> usize {
        let places = self.memory.shortlist();
        let width = if self.is_alone() { places.saturating_sub(places / 4) } else { places / 2 };
        width.max(1)
    }

    /// Looks for the nodes nearest to `target`. Ends with [`Event::FoundNodes`](crate::Event::FoundNodes).
    ///
    /// # Errors
    /// [`StartError::NoSlot`].
    pub fn find_node(&mut self, now: Instant, deadline: Instant, target: Key) -> Result<OperationId, StartError> {
        let operation = self.start(now, deadline, Kind::FindNode, target)?;
        self.add_nearest(operation);
        self.touch(now, target);
        Ok(self.started(now, operation))
    }

    /// Looks for values under `key`, which come as [`Received::Values`](crate::Received::Values). Ends with
    /// [`Event::FoundValues`](crate::Event::FoundValues). This node's own store is not asked: its owner can.
    ///
    /// # Errors
    /// [`StartError::NoSlot`].
    pub fn find_value(
        &mut self,
        now: Instant,
        deadline: Instant,
        key: Key,
        options: FindOptions,
    ) -> Result<OperationId, StartError> {
        let operation = self.start(now, deadline, Kind::FindValue, key)?;
        if let Some(slot) = self.memory.operations.get_mut(operation) {
            slot.types = options.types;
            slot.all = options.all;
            slot.max_age_ms =
                options.max_age.map_or(u32::MAX, |age| u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
        }
        self.add_nearest(operation);
        self.touch(now, key);
        Ok(self.started(now, operation))
    }

    /// Stores items on the k nodes nearest to the key of the first, which should be near all their keys. The owner's store
    /// must have their bytes until [`Event::Stored`](crate::Event::Stored), with which this ends. With a `quorum` above zero,
    /// [`Event::Quorum`](crate::Event::Quorum) tells when each item has so many copies on other nodes.
    ///
    /// The headers must be true at `now`. A server counts as one of the k if it is near enough: its owner stores the items
    /// itself.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn store(
        &mut self,
        now: Instant,
        deadline: Instant,
        mode: StoreMode,
        quorum: u8,
        items: &[(Key, ItemHeader)],
    ) -> Result<OperationId, StartError> {
        let operation = self.start_store(now, deadline, mode, quorum, items)?;
        self.add_nearest(operation);
        self.touch(now, items.first().map(|(key, _)| *key).unwrap_or_default());
        Ok(self.started(now, operation))
    }

    /// Stores items on these nodes and no others: a copy for the closest node that did not have it, say. Otherwise like
    /// [`store`](Self::store). This node itself, and addresses that it cannot reach, are passed over.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn store_at(
        &mut self,
        now: Instant,
        deadline: Instant,
        mode: StoreMode,
        items: &[(Key, ItemHeader)],
        holders: &[Contact],
    ) -> Result<OperationId, StartError> {
        let operation = self.start_store(now, deadline, mode, 0, items)?;
        let (own, families) = (self.memory.head.id, self.memory.head.settings.families);
        for holder in holders {
            let usable = holder.id != own && holder.endpoint.is_usable() && families.reach(&holder.endpoint);
            let via = self.memory.find_at(holder).map_or(Via::ANY, |slot| slot.via);
            let Some(mut lookup) = self.memory.lookup(operation).filter(|_| usable) else { continue };
            let place = lookup.insert(holder, false, 0);
            if let Some(candidate) = place.and_then(|place| lookup.candidates.get_mut(place)) {
                candidate.via = via;
            }
        }
        if let Some(lookup) = self.memory.lookup(operation) {
            lookup.operation.given = true;
        }
        Ok(self.started(now, operation))
    }

    fn start_store(
        &mut self,
        now: Instant,
        deadline: Instant,
        mode: StoreMode,
        quorum: u8,
        items: &[(Key, ItemHeader)],
    ) -> Result<usize, StartError> {
        let width = self.memory.items.len().checked_div(self.memory.operations.len()).unwrap_or(0);
        let Some((target, _)) = items.first() else { return Err(StartError::Items) };
        if items.len() > width {
            return Err(StartError::Items);
        }
        let twice = |(at, (key, header)): (usize, &(Key, ItemHeader))| {
            items.iter().take(at).any(|(other, twin)| other == key && twin.digest == header.digest)
        };
        if items.iter().enumerate().any(twice) {
            return Err(StartError::Items);
        }
        let storable = |header: &ItemHeader| (1..=TTL_MAX_MS).contains(&header.ttl_ms);
        if !items.iter().all(|(_, header)| storable(header)) {
            return Err(StartError::Lifetime);
        }
        let operation = self.start(now, deadline, Kind::Store, *target)?;
        if let Some(lookup) = self.memory.lookup(operation) {
            lookup.operation.mode = mode;
            lookup.operation.quorum = quorum;
            lookup.operation.items = items.len() as u8;
            for (slot, (key, header)) in lookup.items.iter_mut().zip(items) {
                let header = ItemHeader { inline_len: 0, ..*header };
                *slot = ItemSlot { state: ItemState::Held, key: *key, header, received: now, copies: 0 };
            }
        }
        Ok(operation)
    }

    /// Tells every contact that this node leaves: the nearest ones with proof that it is this node which says so. Ends with
    /// [`Event::Left`](crate::Event::Left).
    ///
    /// # Errors
    /// [`StartError::NoSlot`].
    pub fn leave(&mut self, now: Instant, deadline: Instant) -> Result<OperationId, StartError> {
        let own = *self.id().as_key();
        let operation = self.start(now, deadline, Kind::Leave, own)?;
        self.add_nearest(operation);
        Ok(self.started(now, operation))
    }

    /// Ends an operation without an event. Unknown and ended ones are ignored.
    pub fn cancel(&mut self, now: Instant, operation: OperationId) {
        let index = usize::from(operation.index);
        let Some(slot) = self.memory.operations.get_mut(index) else { return };
        if slot.is_free() || slot.generation != operation.generation {
            return;
        }
        // Before its transfers are dropped: a place that they leave is for others, not for what it still wanted.
        slot.pending = Pending::Final;
        self.drop_transfers_of(now, index);
        self.free_operation(index);
    }

    /// Takes a place for an operation and clears it.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        deadline: Instant,
        kind: Kind,
        target: Key,
    ) -> Result<usize, StartError> {
        let index = self.allocate_operation().ok_or(StartError::NoSlot)?;
        if let Some(lookup) = self.memory.lookup(index) {
            let slot = lookup.operation;
            let Operation { wake, generation, next_event, listed, next_changed, changed, .. } = *slot;
            *slot = Operation::EMPTY;
            (slot.next_changed, slot.changed) = (next_changed, changed);
            (slot.wake, slot.generation, slot.next_event, slot.listed) = (wake, generation, next_event, listed);
            (slot.kind, slot.target) = (kind, target);
            (slot.started, slot.deadline) = (now, deadline.max(now));
            lookup.candidates.fill(Candidate::EMPTY);
            lookup.items.fill(ItemSlot::EMPTY);
        }
        Ok(index)
    }

    fn allocate_operation(&mut self) -> Option<usize> {
        let memory = &mut self.memory;
        let free = &mut memory.head.free_operations;
        if let Some(index) = free.first.get() {
            free.first = memory.operations.get(index)?.next_free;
            return Some(index);
        }
        let index = usize::from(free.fresh);
        if index >= memory.operations.len() {
            return None;
        }
        free.fresh = free.fresh.saturating_add(1);
        Some(index)
    }

    /// Hands a new operation to the schedule and its name to the owner.
    pub(crate) fn started(&mut self, now: Instant, operation: usize) -> OperationId {
        count!(self.memory.head.stats, operations_started);
        let id = self.operation_id(operation);
        self.settle_operation(now, operation);
        id
    }

    /// What an operation is called outside.
    pub(crate) fn operation_id(&self, operation: usize) -> OperationId {
        let generation = self.memory.operations.get(operation).map_or(0, |slot| slot.generation);
        OperationId { index: operation as u16, generation }
    }

    /// Adds addresses of which only the answer tells whose they are.
    fn add_addresses(&mut self, operation: usize, addresses: &[SocketAddr]) {
        let families = self.memory.head.settings.families;
        let Some(mut lookup) = self.memory.lookup(operation) else { return };
        for address in addresses {
            let endpoint = Endpoint::from(*address);
            if endpoint.is_usable() && families.reach(&endpoint) {
                lookup.insert(&Contact { id: NodeId::default(), endpoint }, true, 0);
            }
        }
    }

    /// Starts an operation's shortlist with the nearest contacts of the table.
    pub(crate) fn add_nearest(&mut self, operation: usize) {
        let Some(target) = self.memory.operations.get(operation).map(|slot| slot.target) else { return };
        let mut slots = [0; 64];
        let wanted = self.memory.shortlist().min(slots.len());
        let slots = slots.get_mut(..wanted).unwrap_or_default();
        let by_rtt = self.memory.head.settings.proximity_routing;
        let smoothed_us = |rtt: &Rtt| rtt.smoothed_us().filter(|_| by_rtt).unwrap_or(0);
        let usual_us = smoothed_us(&self.memory.head.rtt);
        for slot in self.memory.nearest_of_all(&target, slots) {
            let Some(slot) = self.memory.contacts.get(usize::from(*slot)) else { break };
            let (contact, via, rtt_us) = (slot.contact, slot.via, smoothed_us(&slot.rtt));
            let Some(mut lookup) = self.memory.lookup(operation) else { break };
            lookup.operation.usual_us = usual_us;
            let place = lookup.insert(&contact, false, 0);
            if let Some(candidate) = place.and_then(|place| lookup.candidates.get_mut(place)) {
                (candidate.via, candidate.rtt_us) = (via, rtt_us);
            }
        }
    }

    /// A lookup refreshes the bucket that it goes through.
    pub(crate) fn touch(&mut self, now: Instant, target: Key) {
        let at = self.next_refresh_of_a_row(now);
        if let Some(row) = self.memory.table().row_near(&target) {
            row.refresh_at = at;
        }
        self.settle_upkeep();
    }
}
