//! What the store has answered leaves this node when it is durable, and not before.

use kad_store::NotDurable;
use kad_wire::ItemStatus;

use super::Worker;
use crate::error::Error;
use crate::report::Refused;
use crate::socket::Outgoing;
use crate::tasks::{Answer, CallId};
use crate::vault::Durable;

/// Answers that may wait for the disk. More are dropped: to their requesters they are lost like any datagram.
const HELD: usize = 4096;

/// A store call whose values are in the own store since the last commit.
pub(super) struct Published {
    pub(super) id: CallId,
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
            Durable::After(commit) => self.hold(commit, what),
        }
    }

    /// Keeps what waits for a commit. What that is of calls is bounded by their number; of answers to peers, by theirs.
    fn hold(&mut self, commit: u64, mut what: Pledge) {
        if let Pledge::Answers(answers) = &mut what {
            if self.held_answers + answers.len() > HELD {
                return self.parts.socket.withhold(answers);
            }
            self.held_answers += answers.len();
            if let Some(Held { commit: of, what: Pledge::Answers(held) }) = self.held.back_mut()
                && *of == commit
            {
                return held.append(answers);
            }
        }
        self.held.push_back(Held { commit, what });
    }

    /// A commit has ended.
    pub(super) fn committed(&mut self, number: u64, result: Result<(), NotDurable>) {
        while let Some(held) = self.held.pop_front_if(|held| held.commit <= number) {
            if let Pledge::Answers(answers) = &held.what {
                self.held_answers = self.held_answers.saturating_sub(answers.len());
            }
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
                answer.send(result.map(|()| forgotten).map_err(|NotDurable| Error::NotDurable));
            }
        }
    }

    /// Values are in the own store, durable or not: brings them to the network.
    fn publish_further(&mut self, published: Published, durable: bool) {
        let Published { id, statuses } = published;
        let (bits, width, alone) = (self.node().region_bits(), self.node().items_per_operation(), self.is_alone());
        let own = self.own_contact();
        // It is gone if the node is leaving.
        let Some(call) = self.tasks.stores.get_mut(&id) else { return };
        for (place, status) in statuses.into_iter().enumerate() {
            let status = if durable || !status.is_held() { status } else { ItemStatus::Full };
            if !status.is_held() {
                call.refused_here(place, Refused { contact: own, status });
            }
        }
        call.arrange(bits, width, alone);
        // Those that the own store refused wait for nothing.
        call.enough(&[]);
        match call.is_over() {
            true => self.tasks.end_store(id),
            false => drop(self.tasks.unfinished.insert(id)),
        }
    }

    /// Returns true if this node has no network to reach, and has met nobody.
    fn is_alone(&mut self) -> bool {
        !self.parts.reach.has_network() && self.node().stats().contacts_added == 0
    }
}

fn complain(result: Result<(), NotDurable>) {
    if result.is_err() {
        tracing::error!("the store cannot write: what it took last is refused, what it holds is served");
    }
}
