//! Stores.

use std::collections::VecDeque;
use std::time::Duration;

use kad_core::Held;
use kad_wire::{Digest, Instant, ItemHeader, Key};

use tokio::sync::oneshot;

use super::Answer;
use crate::error::Error;
use crate::places::Place;
use crate::report::{Copies, Receipt, Refused};

/// A store call.
pub(crate) struct StoreCall {
    answer: Option<oneshot::Sender<Result<Vec<Receipt>, Error>>>,
    /// Its place among the calls, until nothing is left to do.
    _place: Option<Place>,
    receipts: Vec<Receipt>,
    /// Whether an item's operation has neither its quorum nor its end, by place.
    open: Vec<bool>,
    headers: Vec<(Key, ItemHeader)>,
    /// When the headers were true.
    begun: Instant,
    /// Items that travel together, by place: not started yet.
    batches: VecDeque<Vec<usize>>,
    under_way: usize,
    copies: Copies,
    /// True once the own store has it for good, so that it may go to others.
    arranged: bool,
    /// True if there are no other nodes.
    alone: bool,
    pub(crate) deadline: Instant,
}

impl StoreCall {
    /// A call for items that the own store holds if `local` says so.
    pub(crate) fn new(
        headers: Vec<(Key, ItemHeader)>,
        local: bool,
        copies: Copies,
        begun: Instant,
        deadline: Instant,
        answer: Answer<Vec<Receipt>>,
    ) -> Self {
        let receipt = |(key, header): &(Key, ItemHeader)| Receipt {
            key: *key,
            digest: header.digest,
            copies: usize::from(local),
            elsewhere: 0,
            refused: Vec::new(),
            silent: Vec::new(),
            complete: false,
            ended: false,
            reached: false,
            requests: 0,
            duration: Duration::ZERO,
        };
        let receipts = headers.iter().map(receipt).collect();
        let open = vec![true; headers.len()];
        let (answer, place) = answer.split();
        Self {
            answer: Some(answer),
            _place: place,
            receipts,
            open,
            headers,
            begun,
            batches: VecDeque::new(),
            under_way: 0,
            copies,
            arranged: false,
            alone: false,
            deadline,
        }
    }

    /// The own store does not take this item: so nobody is asked to.
    pub(crate) fn refused_here(&mut self, place: usize, refused: Refused) {
        // They are gone if nobody waits for them any more.
        if let Some(receipt) = self.receipts.get_mut(place) {
            (receipt.copies, receipt.ended) = (0, true);
            receipt.refused.push(refused);
        }
        self.open[place] = false;
    }

    /// Arranges what is open: items that the same nodes will hold travel together, those whose keys share `bits` leading
    /// bits, and no more than `width`. One that was given twice travels once.
    pub(crate) fn arrange(&mut self, bits: usize, width: usize, alone: bool) {
        (self.arranged, self.alone) = (true, alone);
        let mut order: Vec<usize> = (0..self.headers.len()).filter(|&place| self.open[place]).collect();
        order.sort_by_key(|&place| self.name(place));
        self.batches =
            kad_upkeep::regions(&order, bits, width, |&place| self.name(place)).map(<[usize]>::to_vec).collect();
        if self.copies.is_here_enough() {
            self.answer_now();
        }
    }

    fn name(&self, place: usize) -> (Key, Digest) {
        let (key, header) = &self.headers[place];
        (*key, header.digest)
    }

    /// The items of the next batch, with headers that are true now.
    pub(crate) fn next_batch(&self, now: Instant) -> Option<Vec<(Key, ItemHeader)>> {
        let elapsed = u32::try_from(now.micros_since(self.begun) / 1000).unwrap_or(u32::MAX);
        let places = self.batches.front()?;
        let mut items: Vec<_> =
            places.iter().map(|&place| (self.headers[place].0, self.headers[place].1.aged(elapsed))).collect();
        items.dedup_by_key(|(key, header)| (*key, header.digest));
        Some(items)
    }

    /// The next batch was started, or cannot be: which places that concerns.
    pub(crate) fn take_batch(&mut self, started: bool) -> Vec<usize> {
        self.under_way += usize::from(started);
        self.batches.pop_front().unwrap_or_default()
    }

    pub(crate) fn quorum(&self) -> u8 {
        self.copies.quorum()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    pub(crate) fn batch_ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The call's deadline has come.
    pub(crate) fn expire(&mut self) {
        if !self.arranged {
            // Whether this node's own store has it is not known yet.
            if let Some(answer) = self.answer.take() {
                let _ = answer.send(Err(Error::Timeout));
            }
        } else if self.has_batches() {
            self.answer_now();
        }
        // What is under way ends at the same time, and answers.
    }

    /// Whether batches wait to be started.
    pub(crate) fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Notes what is known of some of the items.
    pub(crate) fn progress(&mut self, places: &[usize], update: impl Fn(&mut Receipt)) {
        for &place in places {
            if let Some(receipt) = self.receipts.get_mut(place) {
                update(receipt);
            }
        }
    }

    /// These items have what was waited for; when all have, the call is answered.
    pub(crate) fn enough(&mut self, places: &[usize]) {
        for &place in places {
            if let Some(open) = self.open.get_mut(place) {
                *open = false;
            }
        }
        if !self.open.contains(&true) {
            self.answer_now();
        }
    }

    /// Answers with what is known by now.
    pub(crate) fn answer_now(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let mut receipts = std::mem::take(&mut self.receipts);
        for receipt in &mut receipts {
            receipt.reached = self.is_reached(receipt);
        }
        // A caller that has gone away does not want it.
        let _ = answer.send(Ok(receipts));
    }

    /// Returns true if a receipt says what was asked for.
    fn is_reached(&self, receipt: &Receipt) -> bool {
        let is_refused_here = receipt.copies == 0 && receipt.ended && receipt.elsewhere == 0;
        let Receipt { elsewhere, complete, ended, .. } = *receipt;
        !is_refused_here && self.copies.is_reached(elsewhere, complete, ended, self.alone)
    }

    /// Nobody waits for the answer any more. What has begun goes on: it is published.
    pub(crate) fn forget_caller(&mut self) {
        self.answer = None;
        self.receipts.clear();
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_none()
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_answered() && self.batches.is_empty() && self.under_way == 0
    }
}

/// What a store says of one of its items. `ended`: it is over, at a node that has a network to reach, or none.
pub(crate) fn note_item(
    receipt: &mut Receipt,
    of_operation: &kad_core::Receipt<'_>,
    now: Instant,
    ended: Option<bool>,
) {
    let of_item = of_operation.items().find(|item| item.key == receipt.key && item.digest == receipt.digest);
    let Some(of_item) = of_item else { return };
    let local = receipt.copies - receipt.elsewhere;
    (receipt.elsewhere, receipt.copies) = (of_item.copies, of_item.copies + local);
    receipt.refused.clear();
    receipt.silent.clear();
    for (contact, held) in of_item.holders() {
        match held {
            Held::Refused(status) => receipt.refused.push(Refused { contact, status }),
            Held::Silent => receipt.silent.push(contact),
            Held::Asked if ended.is_some() => receipt.silent.push(contact),
            Held::Yes | Held::Asked | Held::NotAsked => {}
        }
    }
    if let Some(has_network) = ended {
        receipt.silent.extend(of_operation.unreached());
        let is_alone = of_operation.trace().coverage().nearest == 0;
        receipt.ended = true;
        receipt.complete = of_item.is_complete() && !(is_alone && has_network);
    }
    receipt.requests = of_operation.trace().requests();
    receipt.duration = of_operation.trace().duration(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kad_wire::{DeleteLock, ItemType};

    fn call(keys: &[[u8; 32]]) -> StoreCall {
        let header = |key: &Key| ItemHeader::publish(key, ItemType::RAW, DeleteLock::NONE, 60_000, b"value");
        let headers = keys.iter().map(|bytes| Key::from_bytes(*bytes)).map(|key| (key, header(&key))).collect();
        let (answer, _) = oneshot::channel();
        StoreCall::new(headers, true, Copies::All, Instant::ZERO, Instant::ZERO, Answer::new(answer, None))
    }

    #[test]
    fn neighbours_travel_together_and_twins_once() {
        let mut call = call(&[[0xf0; 32], [0x01; 32], [0xf1; 32], [0x01; 32], [0x00; 32]]);
        call.arrange(6, 2, false);
        assert_eq!(call.batches, [vec![4, 1, 3], vec![0, 2]]);
        let items = call.next_batch(Instant::from_micros(5_000_000)).unwrap();
        assert_eq!(items.len(), 2);
        assert!(items.iter().all(|(_, header)| header.ttl_ms == 55_000));
        assert_eq!(call.take_batch(true), [4, 1, 3]);
        assert!(call.has_batches() && !call.is_over());
    }
}
