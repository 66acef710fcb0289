//! Datagrams between a node and its link, in one buffer.

use core::net::SocketAddr;

use kad_store::Store;
use kad_wire::Instant;

use crate::call::Notify;
use crate::driver::Driver;
use crate::memory::NodeMemory;
use crate::role::Role;
use crate::serve::{Aside, Response};

/// What becomes of a datagram that is given to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It is on its way, or lost: there is nothing more to do.
    Done,
    /// There is no room for it: try again with this datagram when there is.
    Full,
}

/// Where datagrams come from and go to: a socket that does not wait.
pub trait Link {
    /// Hands a datagram that has come to `take`, without copying it. `None`: there is none.
    fn receive<T>(&mut self, now: Instant, take: impl FnOnce(SocketAddr, &[u8]) -> T) -> Option<T>;

    /// Sends a datagram.
    fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) -> Sent;
}

/// A link, and what waits to be sent through it.
pub struct Exchange<'m, L> {
    /// The link.
    pub link: L,
    /// Where every datagram is written that this node sends.
    buffer: &'m mut [u8],
    /// The destination and length of the datagram in the buffer for which the link had no room.
    unsent: Option<(SocketAddr, usize)>,
    /// What is left of the answer to a datagram that came.
    response: Option<(SocketAddr, Response)>,
    /// Datagrams that may still be sent, if there is a bound.
    pub budget: Option<u32>,
    /// Datagrams that were handed to the link.
    pub sent: u32,
    /// Datagrams that came.
    pub received: u32,
}

impl<'m, L: Link> Exchange<'m, L> {
    /// A link with nothing to send. `buffer`: as long as the largest datagram that the node sends.
    pub const fn new(link: L, buffer: &'m mut [u8]) -> Self {
        Self { link, buffer, unsent: None, response: None, budget: None, sent: 0, received: 0 }
    }

    /// Lets a node do everything that it can do now, until there is nothing more, or the link has no room.
    pub fn run_until_idle<M: NodeMemory, S: Store, R: Role, W: Notify>(
        &mut self,
        now: Instant,
        driver: &mut Driver<'_, M, S, R, W>,
        aside: &impl Aside,
    ) {
        loop {
            driver.turn(now);
            // What came or was sent may have ended something.
            if !self.run(now, driver, aside) || self.is_blocked() {
                return;
            }
        }
    }

    /// Sends and receives until there is nothing more to do, or the link has no room. Returns whether there was anything.
    pub fn run<M: NodeMemory, S: Store, R: Role, W: Notify>(
        &mut self,
        now: Instant,
        driver: &mut Driver<'_, M, S, R, W>,
        aside: &impl Aside,
    ) -> bool {
        let before = (self.sent, self.received);
        while self.send(now) {
            let next = self.next_response(now, driver, aside).or_else(|| {
                self.receive(now, driver);
                if self.response.is_some() {
                    return None;
                }
                driver.transmit(now, aside, self.buffer).map(|transmit| (transmit.to, transmit.len))
            });
            self.unsent = next;
            if self.unsent.is_none() && self.response.is_none() {
                break;
            }
        }
        (self.sent, self.received) != before
    }

    /// Returns whether it waits for room in the link.
    pub const fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Returns whether nothing more may be sent.
    pub const fn is_spent(&self) -> bool {
        matches!(self.budget, Some(0))
    }

    /// Forgets what waits to be sent.
    pub fn clear(&mut self) {
        (self.unsent, self.response) = (None, None);
    }

    /// Sends what waits. Returns whether the buffer is free.
    fn send(&mut self, now: Instant) -> bool {
        let Some((to, len)) = self.unsent else { return true };
        if self.is_spent() {
            self.unsent = None;
            return true;
        }
        if self.link.send(now, to, self.buffer.get(..len).unwrap_or_default()) == Sent::Full {
            return false;
        }
        self.sent = self.sent.wrapping_add(1);
        self.budget = self.budget.map(|left| left.saturating_sub(1));
        self.unsent = None;
        true
    }

    fn next_response<M: NodeMemory, S: Store, R: Role, W: Notify>(
        &mut self,
        now: Instant,
        driver: &mut Driver<'_, M, S, R, W>,
        aside: &impl Aside,
    ) -> Option<(SocketAddr, usize)> {
        let (to, response) = self.response.as_mut()?;
        let to = *to;
        match driver.respond(now, aside, response, self.buffer) {
            Some(len) => Some((to, len)),
            None => {
                self.response = None;
                None
            }
        }
    }

    /// Takes in datagrams until one is answered, or there is none.
    fn receive<M: NodeMemory, S: Store, R: Role, W: Notify>(
        &mut self,
        now: Instant,
        driver: &mut Driver<'_, M, S, R, W>,
    ) {
        let buffer = &mut *self.buffer;
        while let Some((from, response)) =
            self.link.receive(now, |from, datagram| (from, driver.receive(now, from, datagram, buffer)))
        {
            self.received = self.received.wrapping_add(1);
            if !response.is_over() {
                self.response = Some((from, response));
                return;
            }
        }
    }
}
