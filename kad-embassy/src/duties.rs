//! What a node does of its own accord, besides what calls ask for: much if it stays, nothing if it only visits.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Vec;
use kad_core::{Event, Node, OperationId};
use kad_store::Store;
use kad_upkeep::{Joining, Upkeep};
use kad_wire::Instant;

use crate::calls::{Outcome, Request};
use crate::error::Error;
use crate::logs;
use crate::net::LinkStats;

/// Bootstrap addresses that a node keeps.
pub const BOOTSTRAP: usize = 4;
/// How long one attempt to join may take.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// How far a call has come.
pub(crate) enum Step {
    /// It waits.
    Wait,
    /// It may be started.
    Start,
    /// It is done without an operation.
    Done(Outcome),
}

/// See the [module](self). A node without duties needs no memory and no code for them.
pub(crate) trait Duties {
    /// Whether stores go on after their callers have enough copies.
    const STAYS: bool;

    /// Starts what comes before calls.
    fn begin(&mut self, now: Instant, node: &mut Node<'static>);

    /// Starts what comes after calls.
    fn go_on(&mut self, now: Instant, node: &mut Node<'static>, store: &mut dyn Store);

    /// When there is something to do, if nothing happens before.
    fn next(&self) -> Option<Instant>;

    /// Takes in the end of an operation that was started here. Answers whether it was.
    fn ended(&mut self, operation: OperationId, event: &Event<'_>) -> bool;

    /// Whether calls of this kind are taken at all.
    fn takes(&self, request: &Request) -> bool;

    /// Whether a call may be started.
    fn admit(&self, node: &Node<'static>, request: &Request) -> Result<Step, Error>;
}

/// Those of a node that only wakes for an operation.
pub(crate) struct Visitor;

impl Duties for Visitor {
    const STAYS: bool = false;

    fn begin(&mut self, _: Instant, _: &mut Node<'static>) {}

    fn go_on(&mut self, _: Instant, _: &mut Node<'static>, _: &mut dyn Store) {}

    fn next(&self) -> Option<Instant> {
        None
    }

    fn ended(&mut self, _: OperationId, _: &Event<'_>) -> bool {
        false
    }

    fn takes(&self, _: &Request) -> bool {
        true
    }

    fn admit(&self, _: &Node<'static>, _: &Request) -> Result<Step, Error> {
        Ok(Step::Start)
    }
}

/// Those of a node that stays: it joins, cares for what it holds, and leaves.
pub(crate) struct Resident {
    upkeep: Upkeep,
    upkeep_at: Option<Instant>,
    joining: Joining,
    join: Option<OperationId>,
    /// How many nodes answered a join that has just ended.
    answered: Option<usize>,
    bootstrap: Vec<SocketAddr, BOOTSTRAP>,
    /// What the link counted when it was last looked at.
    pub(crate) link: LinkStats,
}

impl Resident {
    pub(crate) fn new(node: &Node<'static>, bootstrap: &[SocketAddr], rejoin_interval: Duration) -> Self {
        let id = node.id();
        let seed = id.as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        Self {
            upkeep: Upkeep::new(),
            upkeep_at: None,
            joining: Joining::new(!bootstrap.is_empty(), rejoin_interval, seed),
            join: None,
            answered: None,
            bootstrap: bootstrap.iter().take(BOOTSTRAP).copied().collect(),
            link: LinkStats::default(),
        }
    }

    pub(crate) const fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Begins to leave: what is held is handed over until `until`, and then goodbye is said.
    pub(crate) fn leave(&mut self, now: Instant, until: Instant, node: &mut Node<'static>) {
        if let Some(join) = self.join.take() {
            node.cancel(now, join);
        }
        self.upkeep.leave(until);
    }

    fn join_if_due(&mut self, now: Instant, node: &mut Node<'static>) {
        // Counting contacts means to look at all of them.
        if self.join.is_some() || self.upkeep.is_leaving() || self.joining.next().is_none_or(|at| now < at) {
            return;
        }
        let contacts = node.status().contacts;
        if !self.joining.is_due(now, contacts) {
            return;
        }
        let mut addresses = self.bootstrap.clone();
        let addresses = self.joining.choose(&mut addresses, node.join_width());
        match node.join(now, now + JOIN_LIMIT, addresses) {
            Ok(operation) => self.join = Some(operation),
            // Every place is taken: an attempt in vain, and there will be another.
            Err(_) => drop(self.joining.ended(now, 0, contacts)),
        }
    }

    fn joined(&mut self, now: Instant, node: &Node<'static>, answered: usize) {
        let contacts = node.status().contacts;
        let _pause = self.joining.ended(now, answered, contacts);
        match (answered, contacts) {
            (0, 0) => logs::warning!("no bootstrap node answers"),
            (0, _) => logs::debug!("no bootstrap node answers, but others are known"),
            _ => logs::info!("joined: {} nodes answered", answered),
        }
    }
}

impl Duties for Resident {
    const STAYS: bool = true;

    fn begin(&mut self, now: Instant, node: &mut Node<'static>) {
        if let Some(answered) = self.answered.take() {
            self.joined(now, node, answered);
        }
        self.join_if_due(now, node);
    }

    /// Lets the upkeep start what is due, unless the node does not know its network yet.
    fn go_on(&mut self, now: Instant, node: &mut Node<'static>, store: &mut dyn Store) {
        if self.joining.is_settled() || self.upkeep.is_leaving() {
            self.upkeep_at = self.upkeep.drive(now, node, store);
        } else {
            store.expire(now);
        }
    }

    fn next(&self) -> Option<Instant> {
        self.upkeep_at.into_iter().chain(self.joining.next()).min()
    }

    fn ended(&mut self, operation: OperationId, event: &Event<'_>) -> bool {
        if self.join == Some(operation) {
            self.join = None;
            self.answered = Some(if let Event::Joined { answered, .. } = event { *answered } else { 0 });
            return true;
        }
        self.upkeep.ended(operation)
    }

    fn takes(&self, request: &Request) -> bool {
        matches!(request, Request::Leave) || !self.upkeep.is_leaving()
    }

    fn admit(&self, node: &Node<'static>, request: &Request) -> Result<Step, Error> {
        let settled = self.joining.is_settled();
        match request {
            Request::Leave if self.upkeep.has_left() => Ok(Step::Done(Outcome::Left)),
            Request::Leave => Ok(Step::Wait),
            _ if self.upkeep.is_leaving() => Err(Error::Closed),
            Request::Joined if settled => match node.status().contacts {
                0 if !self.bootstrap.is_empty() => Err(Error::Unreachable),
                contacts => Ok(Step::Done(Outcome::Joined(contacts))),
            },
            Request::Joined => Ok(Step::Wait),
            _ if request.needs_contacts() && !settled => Ok(Step::Wait),
            _ => Ok(Step::Start),
        }
    }
}
