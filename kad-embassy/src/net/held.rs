//! Datagrams that wait until their neighbour has answered.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use kad_wire::Instant;
use kad_wire::limits::{AMPLIFICATION, DATAGRAM_MAX};

/// Bytes of the largest PULL.
const PULL: usize = 128;

/// Bytes of the largest datagram that waits at a node whose largest is so long: a request that is no STORE, of which the
/// longest are as long as a third of their answers.
pub const fn held_len(datagram: usize) -> usize {
    let padded = if datagram < DATAGRAM_MAX { datagram } else { DATAGRAM_MAX }.div_ceil(AMPLIFICATION);
    if padded < PULL { PULL } else { padded }
}

/// When a neighbour that has not answered is asked once more: a question may be lost.
const AGAIN: Duration = Duration::from_millis(100);
/// By when a neighbour that is there has answered.
const ANSWERED: Duration = Duration::from_millis(400);

/// Whether a place is used.
// The first is all zero bits, so that unused places cost no flash.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Free,
    /// The neighbour, and to whom the datagram goes through it.
    Waiting(IpAddr, SocketAddr),
}

/// A place for one datagram that waits, but for its bytes. Opaque: made by [`EMPTY`](Self::EMPTY), used by the node.
pub struct HeldDatagram {
    state: State,
    since: Instant,
    asked_again: bool,
    len: usize,
}

impl HeldDatagram {
    /// An unused place.
    pub const EMPTY: Self = Self { state: State::Free, since: Instant::ZERO, asked_again: false, len: 0 };

    pub(crate) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    /// The neighbour, and to whom the datagram goes.
    const fn to(&self) -> Option<(IpAddr, SocketAddr)> {
        match self.state {
            State::Free => None,
            State::Waiting(hop, to) => Some((hop, to)),
        }
    }

    pub(crate) fn goes_to(&self, to: SocketAddr) -> bool {
        self.to().is_some_and(|(_, held)| held == to)
    }

    /// Takes a datagram, whose bytes go to `bytes`. Answers whether there is room for it.
    pub(crate) fn hold(
        &mut self,
        now: Instant,
        hop: IpAddr,
        to: SocketAddr,
        datagram: &[u8],
        bytes: &mut [u8],
    ) -> bool {
        let Some(room) = bytes.get_mut(..datagram.len()) else { return false };
        room.copy_from_slice(datagram);
        self.state = State::Waiting(hop, to);
        (self.since, self.asked_again, self.len) = (now, false, datagram.len());
        true
    }

    /// To whom the datagram goes, and its length, if it waits for this neighbour.
    pub(crate) fn waiting_for(&self, hop: IpAddr) -> Option<(SocketAddr, usize)> {
        let (_, to) = self.to().filter(|(waited, _)| *waited == hop)?;
        Some((to, self.len))
    }

    pub(crate) const fn free(&mut self) {
        self.state = State::Free;
    }

    /// The neighbour, if it is time to ask once more.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Option<IpAddr> {
        let (_, to) = self.to()?;
        if self.asked_again || now < self.since + AGAIN {
            return None;
        }
        self.asked_again = true;
        Some(to.ip())
    }

    /// Frees the place, and names the address, if its neighbour must be taken for dead.
    pub(crate) fn take_vain(&mut self, now: Instant) -> Option<IpAddr> {
        let (_, to) = self.to().filter(|_| now >= self.since + ANSWERED)?;
        self.free();
        Some(to.ip())
    }

    /// When there is something to do for it.
    pub(crate) fn next(&self) -> Option<Instant> {
        let wait = if self.asked_again { ANSWERED } else { AGAIN };
        self.to().map(|_| self.since + wait)
    }
}
