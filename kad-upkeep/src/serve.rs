//! The heart of every home's loop: what a datagram asks of the store, and what the node has to send.

use core::net::SocketAddr;

use kad_core::{Node, Received, Values};
use kad_store::Store;
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{Digest, Instant, Key};

/// Where datagrams go, and where values are that the store does not have.
pub trait Outlet {
    /// Sends a datagram.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);

    /// Copies bytes of a value that is not in the store from `offset` on, and says how many; `None` when it is not here
    /// either.
    fn aside(&mut self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let _ = (digest, offset, out);
        None
    }

    /// Whether no more datagrams should come for now.
    fn is_full(&self) -> bool {
        false
    }

    /// A datagram was not sent because the store had lost the value that belonged in it.
    fn hole_unfilled(&mut self) {}
}

/// Sends the first `len` bytes of a buffer.
fn send(outlet: &mut impl Outlet, to: SocketAddr, buffer: &[u8], len: usize) {
    if let Some(datagram) = buffer.get(..len) {
        outlet.send(to, datagram);
    }
}

fn read<S: Store + ?Sized>(
    store: &mut S,
    outlet: &mut impl Outlet,
    now: Instant,
    (key, digest): (&Key, &Digest),
    offset: u32,
    out: &mut [u8],
) -> usize {
    match outlet.aside(digest, offset, out) {
        Some(read) => read,
        None => store.read(now, key, digest, offset, out),
    }
}

/// Takes in a datagram and sends what is answered at once. Values that this node looked for go to `found`. `buffer` takes the
/// largest datagram that is written, a chunk: 4096 bytes are always enough.
pub fn receive<S: Store + ?Sized>(
    node: &mut Node<'_>,
    store: &mut S,
    outlet: &mut impl Outlet,
    now: Instant,
    (from, datagram): (SocketAddr, &[u8]),
    buffer: &mut [u8],
    found: impl FnOnce(&Values<'_, '_>),
) {
    let small = DATAGRAM_MAX.min(buffer.len());
    match node.handle_datagram(now, from, datagram, &mut buffer[..small]) {
        Received::Nothing => {}
        Received::Reply(len) => send(outlet, from, buffer, len),
        Received::Find(ticket) => {
            let mut answer = node.answer_find(ticket, &mut buffer[..small]);
            let page = store.find(now, ticket.query(), &mut answer);
            let len = answer.finish(page.total, page.next_cursor);
            if len > 0 {
                send(outlet, from, buffer, len);
            }
        }
        Received::Pull(mut pull) => {
            let mut sent = 0;
            while let Some(chunk) = pull.next_chunk(buffer) {
                let Some((_, hole)) = buffer.split_at_mut_checked(chunk.head_len) else { break };
                let Some(hole) = hole.get_mut(..chunk.len) else { break };
                let read = read(store, outlet, now, (pull.key(), pull.digest()), chunk.offset, hole);
                if read == 0 && chunk.len > 0 {
                    break;
                }
                sent += 1;
                send(outlet, from, buffer, chunk.head_len + read);
            }
            if sent > 0 {
                node.pull_answered(sent);
            } else if let Some(len) = node.refuse_pull(&pull, buffer) {
                send(outlet, from, buffer, len);
            }
        }
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, &mut buffer[..small]);
            while let Some(offer) = answer.next_offer() {
                answer.answer(store.offer(now, &offer));
            }
            if let Some(len) = answer.finish() {
                send(outlet, from, buffer, len);
            }
        }
        Received::Pulled(ticket, offer) => {
            if let Some(answer) = store.offer(now, &offer)
                && let Some(len) = node.answer_pulled(&ticket, answer, buffer)
            {
                send(outlet, from, buffer, len);
            }
        }
        Received::Values(values) => found(&values),
    }
}

/// Sends what the node has to send, until the outlet is full. Answers whether there may be more.
pub fn transmit<S: Store + ?Sized>(
    node: &mut Node<'_>,
    store: &mut S,
    outlet: &mut impl Outlet,
    now: Instant,
    buffer: &mut [u8],
) -> bool {
    let small = DATAGRAM_MAX.min(buffer.len());
    while !outlet.is_full() {
        let Some(transmit) = node.poll_transmit(now, &mut buffer[..small]) else { return false };
        let mut complete = true;
        for hole in transmit.holes(buffer) {
            complete &= read(store, outlet, now, (&hole.key, &hole.digest), 0, hole.bytes) == hole.bytes.len();
        }
        if complete {
            send(outlet, transmit.to, buffer, transmit.len);
        } else {
            outlet.hole_unfilled();
        }
    }
    true
}
