//! Datagrams between a node and its link, one buffer for all of them.

use core::net::SocketAddr;

use kad_upkeep::Response;
use kad_wire::Instant;

use crate::home::Home;
use crate::net::{Link, Sent};

/// A link, and what waits to be sent through it.
pub(crate) struct Exchange {
    pub(crate) link: Link,
    /// Where every datagram is written that this node sends.
    buffer: &'static mut [u8],
    /// Length of the datagram in the buffer that the link had no room for, and to whom it goes.
    unsent: Option<(SocketAddr, usize)>,
    /// What is left of the answer to a datagram that came.
    response: Option<(SocketAddr, Response)>,
    /// Datagrams that were handed to the link.
    pub(crate) sent: u32,
    /// Datagrams that came.
    pub(crate) received: u32,
}

impl Exchange {
    pub(crate) const fn new(link: Link, buffer: &'static mut [u8]) -> Self {
        Self { link, buffer, unsent: None, response: None, sent: 0, received: 0 }
    }

    /// Lets the node do everything that it can do now, until there is nothing more, or the link has no room.
    pub(crate) fn run_until_idle(&mut self, now: Instant, home: &mut Home) {
        self.link.handle_timeout(now);
        loop {
            let before = (self.sent, self.received);
            home.turn(now);
            self.run(now, home);
            // What came or was sent may have ended something.
            if (self.sent, self.received) == before || self.is_blocked() {
                return;
            }
        }
    }

    /// Sends and receives until there is nothing more to do, or the link has no room.
    fn run(&mut self, now: Instant, home: &mut Home) {
        loop {
            if !self.send(now) {
                return;
            }
            let next = self.next_response(now, home).or_else(|| {
                self.receive(now, home);
                if self.response.is_some() {
                    return None;
                }
                home.transmit(now, self.buffer)
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
        if self.link.send(now, to, self.buffer.get(..len).unwrap_or_default()) == Sent::Full {
            return false;
        }
        self.sent = self.sent.wrapping_add(1);
        self.unsent = None;
        true
    }

    fn next_response(&mut self, now: Instant, home: &mut Home) -> Option<(SocketAddr, usize)> {
        let (to, response) = self.response.as_mut()?;
        let to = *to;
        match home.respond(now, response, self.buffer) {
            Some(len) => Some((to, len)),
            None => {
                self.response = None;
                None
            }
        }
    }

    /// Takes in datagrams until one is answered, or there is none.
    fn receive(&mut self, now: Instant, home: &mut Home) {
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
