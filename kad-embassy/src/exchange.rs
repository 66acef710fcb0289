//! Datagrams between a node and its link, one buffer for all of them.

use core::net::SocketAddr;

use embassy_futures::select::select;
use kad_upkeep::{Aside, Response};
use kad_wire::Instant;

use crate::duties::Duties;
use crate::home::Home;
use crate::net::{Link, Sent};
use crate::runner::sleep_until;

/// A link, and what waits to be sent through it.
pub(crate) struct Exchange {
    pub(crate) link: Link,
    /// Where every datagram is written that this node sends.
    buffer: &'static mut [u8],
    /// Length of the datagram in the buffer that the link had no room for, and to whom it goes.
    unsent: Option<(SocketAddr, usize)>,
    /// What is left of the answer to a datagram that came.
    response: Option<(SocketAddr, Response)>,
    /// Datagrams that may still be sent, if there is a bound.
    pub(crate) budget: Option<u32>,
    /// Datagrams that were handed to the link.
    pub(crate) sent: u32,
    /// Datagrams that came.
    pub(crate) received: u32,
}

impl Exchange {
    pub(crate) const fn new(link: Link, buffer: &'static mut [u8]) -> Self {
        Self { link, buffer, unsent: None, response: None, budget: None, sent: 0, received: 0 }
    }

    /// Lets the node do everything that it can do now, until there is nothing more, or the link has no room.
    pub(crate) fn run_until_idle(&mut self, now: Instant, home: &mut Home<impl Duties>, aside: &impl Aside) {
        self.link.handle_timeout(now);
        loop {
            let before = (self.sent, self.received);
            home.turn(now);
            self.run(now, home, aside);
            // What came or was sent may have ended something.
            if (self.sent, self.received) == before || self.is_blocked() {
                return;
            }
        }
    }

    /// Sends and receives until there is nothing more to do, or the link has no room.
    fn run(&mut self, now: Instant, home: &mut Home<impl Duties>, aside: &impl Aside) {
        loop {
            if !self.send(now) {
                return;
            }
            let next = self.next_response(now, home, aside).or_else(|| {
                self.receive(now, home);
                if self.response.is_some() {
                    return None;
                }
                home.transmit(now, aside, self.buffer)
            });
            self.unsent = next;
            if self.unsent.is_none() && self.response.is_none() {
                return;
            }
        }
    }

    /// Whether it waits for the link.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Sends what waits. Answers whether the buffer is free.
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

    /// Whether nothing more may be sent.
    pub(crate) const fn is_spent(&self) -> bool {
        matches!(self.budget, Some(0))
    }

    /// Closes the link; what waits is lost.
    pub(crate) fn close(&mut self) {
        self.link.close();
        (self.unsent, self.response) = (None, None);
    }

    /// Waits until there is something to receive, or room for what waits, or it is time.
    pub(crate) async fn ready(&mut self, now: Instant, next: Option<Instant>) {
        let blocked = self.is_blocked();
        let next = next.into_iter().chain(self.link.next_deadline()).min();
        select(self.link.ready(!blocked, blocked), sleep_until(now, next)).await;
    }

    fn next_response(
        &mut self,
        now: Instant,
        home: &mut Home<impl Duties>,
        aside: &impl Aside,
    ) -> Option<(SocketAddr, usize)> {
        let (to, response) = self.response.as_mut()?;
        let to = *to;
        match home.respond(now, aside, response, self.buffer) {
            Some(len) => Some((to, len)),
            None => {
                self.response = None;
                None
            }
        }
    }

    /// Takes in datagrams until one is answered, or there is none.
    fn receive(&mut self, now: Instant, home: &mut Home<impl Duties>) {
        let buffer = &mut *self.buffer;
        while let Some((from, response)) =
            self.link.receive(now, |from, datagram| (from, home.receive(now, from, datagram, buffer)))
        {
            self.received = self.received.wrapping_add(1);
            if !response.is_over() {
                self.response = Some((from, response));
                return;
            }
        }
    }
}
