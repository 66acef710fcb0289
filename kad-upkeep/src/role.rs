//! What a node does of its own accord, besides what calls ask for: much if it stays, nothing if it only visits.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::Vec;
use kad_core::{Event, Node, OperationId};
use kad_store::Store;
use kad_wire::Instant;

use crate::call::{Outcome, Request};
use crate::error::Error;
use crate::{Joining, Upkeep, UpkeepStats};

/// Longest time that one attempt to join takes.
pub const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// How a call goes on.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// It waits.
    Wait,
    /// It may be started.
    Start,
    /// It is done without an operation.
    Done(Outcome),
}

/// The part that a node plays in its network: [`FullNode`] or [`Visitor`].
pub trait Role {
    /// Whether stores go on after their callers have enough copies.
    const STAYS: bool;
    /// Whether the node itself holds what it stores, and serves it to others.
    const SERVES: bool;

    /// Starts what comes before calls.
    fn before_calls(&mut self, now: Instant, node: &mut Node<'_>);

    /// Starts what comes after calls.
    fn after_calls<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S);

    /// Returns when there is something to do, if nothing happens before.
    fn next_wake(&self) -> Option<Instant>;

    /// Takes in an event, and returns whether it is of an operation that was started here.
    fn ended(&mut self, operation: OperationId, event: &Event<'_>) -> bool;

    /// Returns whether calls of this kind are taken at all.
    fn takes(&self, request: &Request) -> bool;

    /// Decides how a call goes on.
    ///
    /// # Errors
    /// What ends the call.
    fn admit(&self, node: &Node<'_>, request: &Request) -> Result<Next, Error>;

    /// Returns whether there is a network that should answer.
    fn has_network(&self) -> bool;

    /// Returns whether the node leaves, or has left.
    fn is_leaving(&self) -> bool;

    /// Begins to leave.
    fn leave(&mut self, now: Instant, until: Instant, node: &mut Node<'_>);
}

/// A node that only wakes for an operation. It needs no memory and no code for anything else.
#[derive(Debug)]
pub struct Visitor;

impl Role for Visitor {
    const STAYS: bool = false;
    const SERVES: bool = false;

    fn before_calls(&mut self, _: Instant, _: &mut Node<'_>) {}

    fn after_calls<S: Store + ?Sized>(&mut self, _: Instant, _: &mut Node<'_>, _: &mut S) {}

    fn next_wake(&self) -> Option<Instant> {
        None
    }

    fn ended(&mut self, _: OperationId, _: &Event<'_>) -> bool {
        false
    }

    fn takes(&self, _: &Request) -> bool {
        true
    }

    fn admit(&self, _: &Node<'_>, _: &Request) -> Result<Next, Error> {
        Ok(Next::Start)
    }

    fn has_network(&self) -> bool {
        true
    }

    fn is_leaving(&self) -> bool {
        false
    }

    fn leave(&mut self, _: Instant, _: Instant, _: &mut Node<'_>) {}
}

/// What an attempt to join came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Nodes that answered.
    pub answered: usize,
    /// Contacts that are known now.
    pub contacts: usize,
}

/// A node that stays: it joins, cares for what it holds, and leaves. `BOOTSTRAP`: the addresses to join through that it keeps.
#[derive(Debug)]
pub struct FullNode<const BOOTSTRAP: usize> {
    upkeep: Upkeep,
    upkeep_at: Option<Instant>,
    joining: Joining,
    join: Option<OperationId>,
    /// How many nodes answered a join that has just ended.
    answered: Option<usize>,
    joined: Option<Joined>,
    bootstrap: Vec<SocketAddr, BOOTSTRAP>,
}

impl<const BOOTSTRAP: usize> FullNode<BOOTSTRAP> {
    /// A node that is about to join through these addresses, as many as it keeps, and again every `rejoin_interval`, give or
    /// take a quarter. Without any it is the first of its network.
    pub fn new(node: &Node<'_>, bootstrap: &[SocketAddr], rejoin_interval: Duration) -> Self {
        let id = node.id();
        let seed = id.as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        Self {
            upkeep: Upkeep::new(),
            upkeep_at: None,
            joining: Joining::new(!bootstrap.is_empty(), rejoin_interval, seed),
            join: None,
            answered: None,
            joined: None,
            bootstrap: bootstrap.iter().take(BOOTSTRAP).copied().collect(),
        }
    }

    /// Returns what its upkeep has done.
    pub const fn upkeep_stats(&self) -> &UpkeepStats {
        self.upkeep.stats()
    }

    /// Returns whether it has left: it need not be driven any more.
    pub fn has_left(&self) -> bool {
        self.upkeep.has_left()
    }

    /// Returns what the last attempt to join came to, once.
    pub const fn take_joined(&mut self) -> Option<Joined> {
        self.joined.take()
    }

    fn join_if_due(&mut self, now: Instant, node: &mut Node<'_>) {
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
}

impl<const BOOTSTRAP: usize> Role for FullNode<BOOTSTRAP> {
    const STAYS: bool = true;
    const SERVES: bool = true;

    fn before_calls(&mut self, now: Instant, node: &mut Node<'_>) {
        if let Some(answered) = self.answered.take() {
            let contacts = node.status().contacts;
            let _pause = self.joining.ended(now, answered, contacts);
            self.joined = Some(Joined { answered, contacts });
        }
        self.join_if_due(now, node);
    }

    /// Lets the upkeep start what is due, unless the node does not know its network yet.
    fn after_calls<S: Store + ?Sized>(&mut self, now: Instant, node: &mut Node<'_>, store: &mut S) {
        if self.joining.is_settled() || self.upkeep.is_leaving() {
            self.upkeep_at = self.upkeep.drive(now, node, store);
        } else {
            store.expire(now);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
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

    fn admit(&self, node: &Node<'_>, request: &Request) -> Result<Next, Error> {
        let settled = self.joining.is_settled();
        match request {
            Request::Leave if self.upkeep.has_left() => Ok(Next::Done(Outcome::Left)),
            Request::Leave => Ok(Next::Wait),
            _ if self.upkeep.is_leaving() => Err(Error::Closed),
            Request::Joined if settled => match node.status().contacts {
                0 if self.has_network() => Err(Error::Unreachable),
                contacts => Ok(Next::Done(Outcome::Joined(contacts))),
            },
            Request::Joined => Ok(Next::Wait),
            _ if request.needs_contacts() && !settled => Ok(Next::Wait),
            _ => Ok(Next::Start),
        }
    }

    fn has_network(&self) -> bool {
        !self.bootstrap.is_empty()
    }

    fn is_leaving(&self) -> bool {
        self.upkeep.is_leaving()
    }

    fn leave(&mut self, now: Instant, until: Instant, node: &mut Node<'_>) {
        if let Some(join) = self.join.take() {
            node.cancel(now, join);
        }
        self.upkeep.leave(until);
    }
}
