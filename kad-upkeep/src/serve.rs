//! The heart of every home's loop: what a datagram asks of the store, and what the node has to send.
//!
//! Nothing is sent here: a datagram lies in the caller's buffer, and the caller asks for the next one when it has room.

use kad_core::{Node, PullTicket, Received, Sender, Transmit, Values};
use kad_store::Store;
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{Digest, Instant, Key};

/// Values that are not in the store: those that a node offers and does not keep itself. `()` has none.
pub trait Aside {
    /// Copies bytes of a value from `offset` on to `out` and says how many; `None` when it is not here.
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize>;
}

/// Copies the bytes of `value` from `offset` on to `out`, as many as there are and fit, and says how many.
pub fn copy_part(value: &[u8], offset: u32, out: &mut [u8]) -> usize {
    let rest = value.get(offset as usize..).unwrap_or_default();
    let len = rest.len().min(out.len());
    if let (Some(to), Some(from)) = (out.get_mut(..len), rest.get(..len)) {
        to.copy_from_slice(from);
    }
    len
}

impl Aside for () {
    fn read(&self, _: &Digest, _: u32, _: &mut [u8]) -> Option<usize> {
        None
    }
}

/// Where the values are that a node sends.
pub struct Shelves<'a, S: ?Sized, A = ()> {
    /// What the node remembers.
    pub store: &'a mut S,
    /// What it has besides.
    pub aside: &'a A,
}

impl<S: Store + ?Sized, A: Aside> Shelves<'_, S, A> {
    fn read(&mut self, now: Instant, (key, digest): (&Key, &Digest), offset: u32, out: &mut [u8]) -> usize {
        match self.aside.read(digest, offset, out) {
            Some(read) => read,
            None => self.store.read(now, key, digest, offset, out),
        }
    }
}

/// What a datagram is answered with: none, one or many datagrams, which go to where it came from.
///
/// Dropping it loses datagrams that were asked for; the requester asks again.
#[must_use = "what is not asked for is not sent"]
#[derive(Default)]
pub struct Response {
    rest: Rest,
    promises: bool,
}

#[derive(Default)]
enum Rest {
    #[default]
    Nothing,
    /// A datagram of this length is in the buffer.
    Reply(usize),
    Chunks {
        pull: PullTicket,
        sent: u32,
    },
}

impl Response {
    fn reply(len: Option<usize>) -> Self {
        Self { rest: len.filter(|len| *len > 0).map_or(Rest::Nothing, Rest::Reply), promises: false }
    }

    /// A reply that passes on what the store has answered to an offer.
    fn promise(len: Option<usize>) -> Self {
        Self { promises: true, ..Self::reply(len) }
    }

    /// Whether it says that the store holds something: then it must not be sent before a [`Store::commit`].
    pub const fn promises(&self) -> bool {
        self.promises
    }

    /// Whether nothing is left.
    pub const fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Length of the next datagram, which is in `buffer` then. The first call takes the buffer that
    /// [`receive`] has filled; from the second on it may come later, and with other contents.
    pub fn next<S: Store + ?Sized, A: Aside>(
        &mut self,
        now: Instant,
        node: &mut Node<'_>,
        shelves: &mut Shelves<'_, S, A>,
        buffer: &mut [u8],
    ) -> Option<usize> {
        match core::mem::take(&mut self.rest) {
            Rest::Nothing => None,
            Rest::Reply(len) => Some(len),
            Rest::Chunks { mut pull, mut sent } => {
                if let Some(len) = next_chunk(now, shelves, &mut pull, buffer) {
                    sent += 1;
                    self.rest = Rest::Chunks { pull, sent };
                    return Some(len);
                }
                if sent == 0 {
                    return node.refuse_pull(&pull, buffer);
                }
                node.pull_answered(sent);
                None
            }
        }
    }
}

fn next_chunk<S: Store + ?Sized, A: Aside>(
    now: Instant,
    shelves: &mut Shelves<'_, S, A>,
    pull: &mut PullTicket,
    buffer: &mut [u8],
) -> Option<usize> {
    let chunk = pull.next_chunk(buffer)?;
    let hole = buffer.get_mut(chunk.head_len..chunk.head_len + chunk.len)?;
    let read = shelves.read(now, (pull.key(), pull.digest()), chunk.offset, hole);
    (read > 0 || chunk.len == 0).then_some(chunk.head_len + read)
}

/// Takes in a datagram, and answers with what is to be sent to where it came from. Values that this node looked for go to
/// `found`. `buffer` takes the largest datagram that is written, a chunk: 4096 bytes are always enough, and fewer make
/// chunks shorter.
pub fn receive<S: Store + ?Sized>(
    now: Instant,
    node: &mut Node<'_>,
    store: &mut S,
    (sender, datagram): (impl Into<Sender>, &[u8]),
    buffer: &mut [u8],
    found: impl FnOnce(&Values<'_, '_>),
) -> Response {
    let small = small(buffer);
    match node.handle_datagram(now, sender, datagram, small) {
        Received::Nothing => Response::default(),
        Received::Reply(len) => Response::reply(Some(len)),
        Received::Find(ticket) => {
            let mut answer = node.answer_find(ticket, small);
            let page = store.find(now, ticket.query(), &mut answer);
            Response::reply(Some(answer.finish(page.total, page.next_cursor)))
        }
        Received::Pull(pull) => Response { rest: Rest::Chunks { pull, sent: 0 }, promises: false },
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, small);
            while let Some(offer) = answer.next_offer() {
                answer.answer(store.offer(now, &offer));
            }
            Response::promise(answer.finish())
        }
        Received::Pulled(ticket, offer) => {
            let answer = store.offer(now, &offer);
            Response::promise(answer.and_then(|answer| node.answer_pulled(&ticket, answer, buffer)))
        }
        Received::Values(values) => {
            found(&values);
            Response::default()
        }
    }
}

/// The next datagram that the node has to send, which is in `buffer` then, whole.
pub fn next_transmit<S: Store + ?Sized, A: Aside>(
    now: Instant,
    node: &mut Node<'_>,
    shelves: &mut Shelves<'_, S, A>,
    buffer: &mut [u8],
) -> Option<Transmit> {
    loop {
        let transmit = node.poll_transmit(now, small(buffer))?;
        let mut complete = true;
        for hole in transmit.holes(buffer) {
            complete &= shelves.read(now, (&hole.key, &hole.digest), 0, hole.bytes) == hole.bytes.len();
        }
        if complete {
            return Some(transmit);
        }
        node.transmit_dropped();
    }
}

/// As much of a buffer as any datagram but a chunk may fill.
fn small(buffer: &mut [u8]) -> &mut [u8] {
    let len = buffer.len().min(DATAGRAM_MAX);
    buffer.get_mut(..len).unwrap_or_default()
}
