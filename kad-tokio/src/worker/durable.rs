//! What the store has answered leaves this node when it is durable, and not before.

use kad_store::NotDurable;
use kad_wire::ItemStatus;

use super::Worker;
use crate::error::Error;
use crate::report::Refused;
use crate::socket::Outgoing;
use crate::tasks::{Answer, CallId, StoreCall};
use crate::vault::Durable;

/// Answers that may wait for the disk. More are dropped: to their requesters they are lost like any datagram.
const HELD: usize = 4096;

/// A store call whose values are in the own store since the last commit.
pub(super) struct Published {
    pub(super) id: CallId,
    pub(super) call: StoreCall,
    /// What the own store says of each value.
    pub(super) statuses: Vec<ItemStatus>,
}

/// What waits for a commit.
pub(super) struct Held {
    commit: u64,
    what: Pledge,
}

/// What must not be said before it is durable.
enum Pledge {
    Answers(Outgoing),
    Published(Vec<Published>),
    Forgotten(Answer<usize>, usize),
}

impl Worker {
    /// Sends what may be sent, and sees to it that the rest may be. Whoever is answered may count on being known to all
    /// workers, so they are told first.
    pub(super) async fn send_answers(&mut self) {
        self.tell_contacts();
        self.parts.socket.flush(&mut self.queue).await;
        if self.pledged.is_empty() {
            return;
        }
        let pledged = std::mem::replace(&mut self.pledged, Outgoing::new(self.parts.socket.segments()));
        self.pledge(Pledge::Answers(pledged));
        self.parts.socket.flush(&mut self.queue).await;
    }

    /// The values of all calls that were published just now become durable together; then they go to the network.
    pub(super) fn settle_published(&mut self) {
        if !self.published.is_empty() {
            let published = std::mem::take(&mut self.published);
            self.pledge(Pledge::Published(published));
        }
    }

    /// What is no longer published is so over a restart, or it is still published.
    pub(super) fn forgotten(&mut self, answer: Answer<usize>, forgotten: usize) {
        self.pledge(Pledge::Forgotten(answer, forgotten));
    }

    /// Makes the store durable for its own sake: nobody was promised anything.
    pub(super) fn save(&mut self) {
        if let Durable::Now(result) = self.parts.store.make_durable() {
            complain(result);
        }
    }

    fn pledge(&mut self, what: Pledge) {
        match self.parts.store.make_durable() {
            Durable::Now(result) => self.redeem(what, result),
            Durable::After(commit) => {
                self.held.push_back(Held { commit, what });
                self.drop_surplus();
            }
        }
    }

    /// No peer can make more answers wait than this.
    fn drop_surplus(&mut self) {
        let waiting = |held: &Held| if let Pledge::Answers(answers) = &held.what { answers.len() } else { 0 };
        if self.held.iter().map(waiting).sum::<usize>() > HELD
            && let Some(Held { what: Pledge::Answers(answers), .. }) = self.held.back_mut()
        {
            self.parts.socket.withhold(answers);
        }
    }

    /// A commit has ended.
    pub(super) fn committed(&mut self, number: u64, result: Result<(), NotDurable>) {
        while let Some(held) = self.held.pop_front_if(|held| held.commit <= number) {
            self.redeem(held.what, result);
        }
    }

    /// Says what was not to be said before it is durable, or that it is not.
    fn redeem(&mut self, what: Pledge, result: Result<(), NotDurable>) {
        complain(result);
        match what {
            Pledge::Answers(mut answers) => match result {
                Ok(()) => self.queue.append(&mut answers),
                // They are lost like any datagram, and their requesters ask again.
                Err(NotDurable) => self.parts.socket.withhold(&mut answers),
            },
            Pledge::Published(published) => {
                for published in published {
                    self.publish_further(published, result.is_ok());
                }
            }
            Pledge::Forgotten(answer, forgotten) => {
                // A caller that has gone away does not want it.
                let _ = answer.send(result.map(|()| forgotten).map_err(|NotDurable| Error::NotDurable));
            }
        }
    }

    /// Values are in the own store, durable or not: brings them to the network.
    fn publish_further(&mut self, published: Published, durable: bool) {
        let Published { id, mut call, statuses } = published;
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

fn complain(result: Result<(), NotDurable>) {
    if result.is_err() {
        tracing::error!("the store cannot write: what it took last is refused, what it holds is served");
    }
}
