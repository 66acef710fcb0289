//! Links only if no panic can be reached from the public functions of kad-wire and kad-core (but for `Node::check`, whose
//! purpose is to panic). The panic handler calls a function that does not exist: if the optimiser cannot show that nobody
//! calls the handler, the linker says so.
//!
//! That it links without std and without an allocator is the proof that these crates need neither.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::net::SocketAddr;

use kad_core::wire::{
    Answer, Datagram, DeleteLock, ItemHeader, ItemType, Key, NetworkId, Reply, Request, Sink, StoreMode,
};
use kad_core::{Config, Contact, Event, FindOptions, Instant, Node, NodeId, Received};

unsafe extern "C" {
    fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never called: there is no such function, so the program does not link if this can be reached.
    unsafe { a_panic_can_be_reached() }
}

kad_core::block! {
    struct Block {
        rows: 8,
        contacts_per_row: 9,
        operations: 2,
        candidates_per_operation: 12,
        items_per_operation: 2,
        transfers: 4,
        arena: 8192,
    }
}

/// Entered by nobody: this program is linked, not run.
#[unsafe(no_mangle)]
pub extern "C" fn _start(len: usize) -> ! {
    static DATAGRAM: [u8; 4096] = [0; 4096];
    let datagram = black_box(DATAGRAM.get(..len).unwrap_or_default());
    wire(datagram);
    let mut block = Block::EMPTY;
    let config = black_box(Config { network: NetworkId::named("gate"), ..Config::default() });
    if let Ok(mut node) = Node::new(black_box(NodeId::default()), &config, &black_box([1; 32]), block.memory()) {
        loop {
            commands(&mut node);
            outputs(&mut node);
            input(&mut node, datagram);
            views(&mut node);
        }
    }
    black_box(Node::resume(block.memory()).is_some());
    #[cfg(feature = "control")]
    black_box(datagram[len]);
    #[expect(clippy::empty_loop, reason = "nothing runs this")]
    loop {}
}

/// Uses a value, as far as the optimiser can tell.
fn see<T>(value: T) {
    black_box(value);
}

fn wire(datagram: &[u8]) {
    let mut out = [0; 1500];
    let Ok(decoded) = Datagram::decode(datagram) else { return };
    black_box(decoded.encode(&mut out));
    match decoded {
        Datagram::Request { request: Request::Store(store), .. } => {
            for item in store.items.iter() {
                black_box(item.header.verify(&item.key, item.inline).is_ok());
            }
        }
        Datagram::Reply { reply: Reply::Value(value), .. } => {
            value.items.iter().for_each(see);
            value.contacts.iter().for_each(see);
        }
        Datagram::Reply { reply: Reply::Stored(items), .. } => items.iter().for_each(see),
        _ => {}
    }
    black_box(ItemHeader::publish(&Key::hash(datagram), ItemType::RAW, DeleteLock::NONE, 1, datagram));
}

fn now() -> Instant {
    black_box(Instant::from_micros(5))
}

fn address() -> SocketAddr {
    black_box(SocketAddr::from(([192, 0, 2, 1], 9000)))
}

fn commands(node: &mut Node<'_>) {
    let (key, items) = (black_box(Key::default()), black_box([(Key::default(), ItemHeader::EMPTY)]));
    black_box(node.ping(now(), now(), address()).is_ok());
    black_box(node.join(now(), now(), &[address()]).is_ok());
    black_box(node.find_node(now(), now(), key).is_ok());
    black_box(node.find_value(now(), now(), key, black_box(FindOptions::ALL)).is_ok());
    black_box(node.store(now(), now(), StoreMode::Publish, 3, &items).is_ok());
    black_box(node.store_at(now(), now(), StoreMode::Cache, &items, &black_box([Contact::default()])).is_ok());
    node.ask_contacts(now());
    if let Ok(operation) = node.leave(now(), now()) {
        black_box(node.progress(operation).map(|trace| (trace.hops(), trace.requests(), trace.duration(now()))));
        node.cancel(now(), operation);
    }
}

fn outputs(node: &mut Node<'_>) {
    let mut out = [0; 1500];
    while let Some(transmit) = node.poll_transmit(now(), &mut out) {
        transmit.holes(&mut out).for_each(see);
    }
    while let Some(event) = node.poll_event() {
        match &event {
            Event::Stored { receipt, .. } => {
                receipt.items().for_each(|item| item.holders().for_each(see));
                receipt.items().for_each(|item| see(item.is_complete()));
                receipt.unreached().for_each(see);
                black_box(receipt.copies());
            }
            Event::FoundNodes { trace, .. } | Event::FoundValues { trace, .. } => {
                trace.steps().for_each(see);
                trace.closest().for_each(see);
                see(trace.coverage().is_enough());
            }
            other => see(other.operation()),
        }
    }
    black_box((node.poll_timeout(), node.timeout_reason()));
    node.handle_timeout(now());
}

fn input(node: &mut Node<'_>, datagram: &[u8]) {
    let mut out = [0; 1500];
    match node.handle_datagram(now(), address(), datagram, &mut out) {
        Received::Nothing => {}
        Received::Reply(len) => see(len),
        Received::Find(ticket) => {
            black_box(ticket.query());
            let mut answer = node.answer_find(ticket, &mut out);
            while let Some(hole) = answer.push(&black_box(ItemHeader::EMPTY)) {
                hole.fill(0);
            }
            black_box(answer.finish(1, 2));
        }
        Received::Pull(mut pull) => {
            while let Some(chunk) = pull.next_chunk(&mut out) {
                black_box(chunk);
            }
            node.pull_answered(1);
            black_box(node.refuse_pull(&pull, &mut out));
        }
        Received::Store(ticket) => {
            let mut answer = node.answer_store(ticket, &mut out);
            while let Some(offer) = answer.next_offer() {
                black_box(offer);
                answer.answer(None);
            }
            black_box(answer.finish());
        }
        Received::Pulled(ticket, offer) => {
            black_box(offer);
            black_box(node.answer_pulled(&ticket, black_box(Answer::busy(1)), &mut out));
        }
        Received::Values(values) => values.iter().for_each(see),
    }
}

fn views(node: &mut Node<'_>) {
    let mut closest = [Contact::default(); 9];
    black_box(node.closest(&black_box(Key::default()), &mut closest));
    node.contacts().for_each(see);
    black_box((node.status(), *node.stats(), node.id(), node.k(), node.value_max()));
}
