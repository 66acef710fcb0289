//! The core's loop in this home: what a datagram asks of the store, and what the node has to send.

use std::net::SocketAddr;

use kad_core::{Node, Received, Values};
use kad_store::Store;
use kad_wire::limits::DATAGRAM_MAX;
use kad_wire::{Hole, Instant};

use crate::socket::{DATAGRAM, Socket};
use crate::tasks::Pinned;

/// Takes in a datagram; what must be sent because of it is queued. Values that this node looked for go to `found`.
pub(crate) fn receive(
    node: &mut Node<'_>,
    store: &mut dyn Store,
    pinned: &Pinned,
    socket: &mut Socket,
    now: Instant,
    from: SocketAddr,
    datagram: &[u8],
    found: impl FnOnce(&Values<'_, '_>),
) {
    let mut out = [0; DATAGRAM];
    match node.handle_datagram(now, from, datagram, &mut out[..DATAGRAM_MAX]) {
        Received::Nothing => {}
        Received::Reply(len) => socket.queue(from, &out[..len]),
        Received::Find(ticket) => {
            let mut answer = node.answer_find(ticket, &mut out[..DATAGRAM_MAX]);
            let page = store.find(now, ticket.query(), &mut answer);
            let len = answer.finish(page.total, page.next_cursor);
            if len > 0 {
                socket.queue(from, &out[..len]);
            }
        }
        Received::Pull(mut pull) => {
            let mut sent = 0;
            while let Some(chunk) = pull.next_chunk(&mut out) {
                let hole = &mut out[chunk.head_len..chunk.head_len + chunk.len];
                let read = pinned.read(pull.digest(), chunk.offset, hole);
                let read = read.unwrap_or_else(|| store.read(now, pull.key(), pull.digest(), chunk.offset, hole));
                if read == 0 && chunk.len > 0 {
                    break;
                }
                sent += 1;
                socket.queue(from, &out[..chunk.head_len + read]);
            }
            if sent > 0 {
                node.pull_answered(sent);
            } else if let Some(len) = node.refuse_pull(&pull, &mut out) {
                socket.queue(from, &out[..len]);
            }
        }
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, &mut out[..DATAGRAM_MAX]);
            while let Some(offer) = answer.next_offer() {
                answer.answer(store.offer(now, &offer));
            }
            if let Some(len) = answer.finish() {
                socket.queue(from, &out[..len]);
            }
        }
        Received::Pulled(ticket, offer) => {
            if let Some(answer) = store.offer(now, &offer)
                && let Some(len) = node.answer_pulled(&ticket, answer, &mut out)
            {
                socket.queue(from, &out[..len]);
            }
        }
        Received::Values(values) => found(&values),
    }
}

/// Queues what the node has to send, until the queue is full. Answers whether there may be more.
pub(crate) fn transmit(
    node: &mut Node<'_>,
    socket: &mut Socket,
    now: Instant,
    mut fill: impl FnMut(Hole<'_>) -> bool,
) -> bool {
    let mut out = [0; DATAGRAM_MAX];
    while !socket.is_full() {
        let Some(transmit) = node.poll_transmit(now, &mut out) else { return false };
        let mut complete = true;
        for hole in transmit.holes(&mut out) {
            complete &= fill(hole);
        }
        if complete {
            socket.queue(transmit.to, &out[..transmit.len]);
        } else {
            socket.hole_unfilled();
        }
    }
    true
}
