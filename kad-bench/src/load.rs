//! A loader: keeps a window of requests in flight, and checks every reply.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::batch::{BATCH, Batch};
use crate::clock::{ThreadId, this_thread, thread_time, threads_time};
use crate::failure::Failure;
use crate::figures::Rate;

/// Requests in flight: two batches, so that one is answered while the other is on its way.
const WINDOW: u16 = 2 * BATCH as u16;
/// A reply that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(100);
/// A round in which more of the replies are lost or wrong has measured something else.
const LOST_MAX: f64 = 0.01;

/// Bits of a nonce (docs/protocol.md, section 2.1).
const NONCE: u64 = (1 << 46) - 1;

/// What is asked, and what a right answer is.
pub(crate) trait Exchange {
    /// Writes the request of a place of the window to `out`, which is empty; its reply must show place and nonce.
    fn request(&mut self, place: u16, nonce: u64, out: &mut Vec<u8>);

    /// The place and the nonce that a reply shows; `None` if it is not a right one.
    fn reply(&mut self, datagram: &[u8]) -> Option<(u16, u64)>;
}

/// What a round of load brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Requests that were answered rightly.
    pub(crate) answered: u64,
    /// Requests a second, and processor time of the server's threads.
    pub(crate) rate: Rate,
    /// Share of the time in which the server's threads ran.
    pub(crate) server_busy: f64,
    /// Share of the time in which the loader ran.
    pub(crate) loader_busy: f64,
    /// Requests that were not answered in time, or not rightly.
    pub(crate) lost: u64,
}

/// How a loader sends its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// As different nodes do: each by itself.
    Apart,
    /// As a node does that has many: eight at a time, if the system does that.
    Together,
}

/// Requests that travel together.
const TOGETHER: usize = 8;

/// A window of requests.
struct Window<'e, E> {
    exchange: &'e mut E,
    /// The nonce that each place waits for.
    nonces: Vec<Option<u64>>,
    /// How many nonces there were.
    made: u64,
    free: Vec<u16>,
    requests: Vec<Vec<u8>>,
    answered: u64,
    wrong: u64,
}

impl<'e, E: Exchange> Window<'e, E> {
    fn new(exchange: &'e mut E) -> Self {
        let nonces = vec![None; WINDOW.into()];
        let requests = Vec::with_capacity(WINDOW.into());
        Self { exchange, nonces, made: 0, free: (0..WINDOW).collect(), requests, answered: 0, wrong: 0 }
    }

    /// Asks for everything that is free.
    fn send(&mut self, batch: &mut Batch, sending: Sending) -> Result<(), Failure> {
        let count = self.free.len();
        if self.requests.len() < count {
            self.requests.resize_with(count, Vec::new);
        }
        for (request, place) in self.requests.iter_mut().zip(self.free.drain(..)) {
            let nonce = scattered(self.made);
            self.made += 1;
            self.nonces[usize::from(place)] = Some(nonce);
            request.clear();
            self.exchange.request(place, nonce, request);
        }
        match sending {
            Sending::Apart => batch.send(&self.requests[..count]),
            Sending::Together => batch.send_together(&self.requests[..count], TOGETHER),
        }
    }

    /// Takes in what the last read brought.
    fn take(&mut self, batch: &Batch) {
        for datagram in batch.datagrams() {
            match self.exchange.reply(datagram) {
                Some((place, nonce)) if self.nonces.get(usize::from(place)) == Some(&Some(nonce)) => {
                    self.nonces[usize::from(place)] = None;
                    self.free.push(place);
                    self.answered += 1;
                }
                _ => self.wrong += 1,
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.free.len() < self.nonces.len()
    }

    /// Gives up what was not answered, and says how much that was.
    fn give_up(&mut self) -> u64 {
        let before = self.free.len();
        for (place, nonce) in self.nonces.iter_mut().enumerate().filter(|(_, nonce)| nonce.is_some()) {
            *nonce = None;
            self.free.push(place as u16);
        }
        (self.free.len() - before) as u64
    }
}

/// The next of a row of nonces that look like chance, as real ones do: servers spread requests over their threads by them.
/// (SplitMix64: Steele, Lea and Flood 2014.)
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & NONCE
}

/// Loads a server for some time. `threads` are the server's.
///
/// # Errors
/// [`Failure::Void`] when more than one in a hundred replies is lost or wrong.
pub(crate) fn load(
    to: SocketAddr,
    threads: &[ThreadId],
    exchange: &mut impl Exchange,
    sending: Sending,
    span: Duration,
) -> Result<Round, Failure> {
    let mut batch = Batch::connected(to, PATIENCE)?;
    let mut window = Window::new(exchange);
    let (cpu, own, begun) = (threads_time(threads)?, thread_time(this_thread())?, Instant::now());
    let mut lost = 0;
    while begun.elapsed() < span {
        window.send(&mut batch, sending)?;
        match batch.receive()? {
            0 => lost += window.give_up(),
            _ => window.take(&batch),
        }
    }
    let (wall, answered) = (begun.elapsed(), window.answered);
    let (cpu, own) = (threads_time(threads)?.saturating_sub(cpu), thread_time(this_thread())?.saturating_sub(own));
    // What is still on its way must not meet the next round.
    while window.is_waiting() && batch.receive()? > 0 {
        window.take(&batch);
    }
    lost += window.wrong;
    if lost as f64 > answered as f64 * LOST_MAX {
        return Err(Failure::Void(format!("{lost} requests were lost or answered wrongly, {answered} rightly")));
    }
    let share = |time: Duration| time.as_secs_f64() / wall.as_secs_f64();
    Ok(Round { answered, rate: Rate::of(answered, wall, cpu), server_busy: share(cpu), loader_busy: share(own), lost })
}
