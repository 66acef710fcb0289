//! What the store has answered leaves this node when it is durable, and not before.

use kad_wire::ItemStatus;

use super::Worker;
use crate::error::Error;
use crate::report::Refused;
use crate::tasks::{CallId, StoreCall};

/// A store call whose values are in the own store since the last commit.
pub(super) struct Published {
    pub(super) id: CallId,
    pub(super) call: StoreCall,
    /// What the own store says of each value.
    pub(super) statuses: Vec<ItemStatus>,
}

impl Worker {
    /// Makes durable what the store has answered. `false`: it does not hold, and must not be passed on.
    pub(super) fn commit(&mut self) -> bool {
        let committed = self.parts.store.commit();
        if committed.is_err() {
            tracing::error!("the store cannot write: what it took last is refused, what it holds is served");
        }
        committed.is_ok()
    }

    /// Sends the answers of a batch. If what the store said in it does not hold, none is sent: to their requesters they
    /// are lost like any datagram, and they ask again.
    pub(super) async fn send_answers(&mut self) {
        if !self.commit() {
            self.parts.socket.withhold();
        }
        self.parts.socket.flush().await;
    }

    /// The values of all calls that were published just now become durable together; then they go to the network.
    pub(super) fn settle_published(&mut self) {
        if self.published.is_empty() {
            return;
        }
        let durable = self.commit();
        for Published { id, mut call, statuses } in std::mem::take(&mut self.published) {
            for (place, status) in statuses.into_iter().enumerate() {
                let status = if durable || !status.is_held() { status } else { ItemStatus::Full };
                if !status.is_held() {
                    call.refused_here(place, Refused { contact: self.own_contact(), status });
                }
            }
            let (bits, width) = (self.node().region_bits(), self.node().items_per_operation());
            call.arrange(bits, width);
            // Those that the own store refused wait for nothing.
            call.enough(&[]);
            if !call.is_over() {
                self.tasks.stores.insert(id, call);
                self.start_batches(id);
            }
        }
    }

    /// What is no longer published is so over a restart, or it is still published.
    pub(super) fn forgotten(&mut self, forgotten: usize) -> Result<usize, Error> {
        match self.commit() {
            true => Ok(forgotten),
            false => Err(Error::NotDurable),
        }
    }
}
