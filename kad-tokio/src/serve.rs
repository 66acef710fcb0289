//! The core's loop in this home: what a datagram asks of the store, and what the node has to send.

use std::net::SocketAddr;

use kad_core::{Node, Received, Values};
use kad_store::Store;
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{Digest, Instant, Key};

use crate::socket::{DATAGRAM, Socket};
use crate::tasks::Pinned;

/// What a datagram meets besides the node.
pub(crate) struct Home<'a> {
    pub(crate) store: &'a mut dyn Store,
    pub(crate) pinned: &'a Pinned,
    pub(crate) socket: &'a mut Socket,
}

impl Home<'_> {
    /// Copies bytes of a value from `offset` on to `out` and says how many.
    fn read(&mut self, now: Instant, key: &Key, digest: &Digest, offset: u32, out: &mut [u8]) -> usize {
        match self.pinned.read(digest, offset, out) {
            Some(read) => read,
            None => self.store.read(now, key, digest, offset, out),
        }
    }
}

/// Takes in a datagram; what must be sent because of it is queued. Values that this node looked for go to `found`.
pub(crate) fn receive(
    node: &mut Node<'_>,
    home: &mut Home<'_>,
    now: Instant,
    from: SocketAddr,
    datagram: &[u8],
    found: impl FnOnce(&Values<'_, '_>),
) {
    let mut out = [0; DATAGRAM];
    match node.handle_datagram(now, from, datagram, &mut out[..DATAGRAM_MAX]) {
        Received::Nothing => {}
        Received::Reply(len) => home.socket.queue(from, &out[..len]),
        Received::Find(ticket) => {
            let mut answer = node.answer_find(ticket, &mut out[..DATAGRAM_MAX]);
            let page = home.store.find(now, ticket.query(), &mut answer);
            let len = answer.finish(page.total, page.next_cursor);
            if len > 0 {
                home.socket.queue(from, &out[..len]);
            }
        }
        Received::Pull(mut pull) => {
            let mut sent = 0;
            while let Some(chunk) = pull.next_chunk(&mut out) {
                let hole = &mut out[chunk.head_len..chunk.head_len + chunk.len];
                let read = home.read(now, pull.key(), pull.digest(), chunk.offset, hole);
                if read == 0 && chunk.len > 0 {
                    break;
                }
                sent += 1;
                home.socket.queue(from, &out[..chunk.head_len + read]);
            }
            if sent > 0 {
                node.pull_answered(sent);
            } else if let Some(len) = node.refuse_pull(&pull, &mut out) {
                home.socket.queue(from, &out[..len]);
            }
        }
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, &mut out[..DATAGRAM_MAX]);
            while let Some(offer) = answer.next_offer() {
                answer.answer(home.store.offer(now, &offer));
            }
            if let Some(len) = answer.finish() {
                home.socket.queue(from, &out[..len]);
            }
        }
        Received::Pulled(ticket, offer) => {
            if let Some(answer) = home.store.offer(now, &offer)
                && let Some(len) = node.answer_pulled(&ticket, answer, &mut out)
            {
                home.socket.queue(from, &out[..len]);
            }
        }
        Received::Values(values) => found(&values),
    }
}

/// Queues what the node has to send, until the queue is full. Answers whether there may be more.
pub(crate) fn transmit(node: &mut Node<'_>, home: &mut Home<'_>, now: Instant) -> bool {
    let mut out = [0; DATAGRAM_MAX];
    while !home.socket.is_full() {
        let Some(transmit) = node.poll_transmit(now, &mut out) else { return false };
        let mut complete = true;
        for hole in transmit.holes(&mut out) {
            complete &= home.read(now, &hole.key, &hole.digest, 0, hole.bytes) == hole.bytes.len();
        }
        if complete {
            home.socket.queue(transmit.to, &out[..transmit.len]);
        } else {
            home.socket.hole_unfilled();
        }
    }
    true
}
