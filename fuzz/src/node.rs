//! Two to four nodes on a path that a script rules: it starts and cancels operations, lets time pass, delivers datagrams in any
//! order, twice, bent, cut or not at all, and plays strangers who know every tag and token that they can know.
//!
//! After every step the invariants of every node that was touched are checked; in the end the path heals, everything must end,
//! and every place must be free.

use std::time::Duration;

use kad_core::FindOptions;
use kad_wire::{Contact, ItemHeader, Key, StoreMode, TypeMask};

use crate::forge;
use crate::ledger::Asked;
use crate::member::{Owner, Packet};
use crate::script::{self, Step};
use crate::values;
use crate::world::{Backing, Shape, World};

/// Most steps of one input: more would only make inputs slow.
const STEPS: usize = 200;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((shape, steps)) = script::read::<Shape>(data) else { return };
    let mut backing = [Backing::EMPTY; 2];
    let mut world = World::new(shape, &mut backing);
    for step in steps.take(STEPS) {
        take(&mut world, step);
    }
    world.rest();
}

/// Codes of the steps: the low five bits of their first byte. Never renumber them, or recorded inputs lose their meaning.
pub(crate) mod code {
    pub(crate) const WAIT: u8 = 0;
    pub(crate) const DELIVER: u8 = 1;
    pub(crate) const DROP: u8 = 2;
    pub(crate) const DUPLICATE: u8 = 3;
    pub(crate) const BEND: u8 = 4;
    pub(crate) const CUT: u8 = 5;
    pub(crate) const DELIVER_ALL: u8 = 6;
    pub(crate) const UNTIL_TIMEOUT: u8 = 7;
    pub(crate) const PING: u8 = 8;
    pub(crate) const JOIN: u8 = 9;
    pub(crate) const FIND_NODE: u8 = 10;
    pub(crate) const FIND_VALUE: u8 = 11;
    pub(crate) const STORE: u8 = 12;
    pub(crate) const STORE_AT: u8 = 13;
    pub(crate) const LEAVE: u8 = 14;
    pub(crate) const CANCEL: u8 = 15;
    pub(crate) const TIMEOUT: u8 = 16;
    pub(crate) const TRANSMIT: u8 = 17;
    pub(crate) const EVENT: u8 = 18;
    pub(crate) const PUBLISH: u8 = 19;
    pub(crate) const FORGET: u8 = 20;
    pub(crate) const REPLY: u8 = 21;
    pub(crate) const REQUEST: u8 = 22;
    pub(crate) const RAW: u8 = 23;
    pub(crate) const AGAIN: u8 = 24;
    pub(crate) const UPKEEP: u8 = 25;
    pub(crate) const LEAVE_BY_UPKEEP: u8 = 26;
    pub(crate) const RESTART: u8 = 27;
    pub(crate) const GROW: u8 = 28;
    pub(crate) const MOVE: u8 = 29;
    pub(crate) const LATE_FIND: u8 = 30;
    // 31: nothing but what every step ends with, the turn of a node.
}

/// How long an operation may take.
fn limit_ms(number: u8) -> u64 {
    [8_000, 0, 30, 400, 2_000, 5_000, 20_000, 60_000][usize::from(number & 7)]
}

/// A span that may be a microsecond, a round trip, a timeout, or days.
fn span(number: u8, more: u8) -> Duration {
    let units = [1, 1_000, 20_000, 250_000, 2_000_000, 60_000_000, 1_800_000_000, 40_000_000_000];
    Duration::from_micros(units[usize::from(number & 7)] * (1 + u64::from(more & 7)))
}

/// Takes one step. Nodes that it touches do at once what follows, unless the step's highest bits forbid it.
fn take(world: &mut World<'_>, step: Step) {
    let Step { a, b, c, .. } = step;
    let touched = match step.code & 0x1f {
        code::WAIT => {
            world.advance(span(a, b));
            None
        }
        code::DELIVER | code::DROP | code::DUPLICATE | code::BEND | code::CUT => on_path(world, step),
        code::DELIVER_ALL => {
            world.deliver_all(a.into());
            None
        }
        code::UNTIL_TIMEOUT => until_timeout(world, a),
        code::PING | code::JOIN | code::FIND_NODE | code::FIND_VALUE | code::LEAVE => Some(start(world, step)),
        code::STORE | code::STORE_AT => Some(store(world, step)),
        code::REPLY => {
            let request = nth(&world.path, a).cloned();
            let answer = request.and_then(|request| forge::reply(world, &request, step));
            answer.and_then(|answer| world.arrive(answer, Owner::Willing))
        }
        code::REQUEST => forge::request(world, step).and_then(|request| world.arrive(request, owner(c))),
        code::RAW => raw(world, a, &[5, b, 0, c, b, c]),
        code::AGAIN => {
            let mut packet = nth(&world.past, a).cloned();
            if let Some(byte) = packet.as_mut().and_then(|packet| packet.bytes.get_mut(usize::from(b))) {
                *byte ^= c;
            }
            packet.and_then(|packet| world.arrive(packet, Owner::Willing))
        }
        _ => on_node(world, step),
    };
    // The high bits of a reply's code say what it is; those of others, whether the node has its turn.
    let is_reply = step.code & 0x1f == code::REPLY;
    match touched {
        Some(number) if is_reply || step.code & 0x80 == 0 => world.drive(number),
        Some(number) => world.members[number].node().check(),
        None => {}
    }
}

fn owner(number: u8) -> Owner {
    match number >> 6 {
        2 => Owner::Slow,
        3 => Owner::Overloaded,
        _ => Owner::Willing,
    }
}

fn nth(packets: &std::collections::VecDeque<Packet>, any: u8) -> Option<&Packet> {
    packets.get(usize::from(any) % packets.len().max(1))
}

/// What the path does to one of the datagrams on it.
fn on_path(world: &mut World<'_>, Step { code, a, b, c }: Step) -> Option<usize> {
    let mut packet = world.take(a)?;
    match code & 0x1f {
        code::DROP => return None,
        code::DUPLICATE => world.path.push_back(packet.clone()),
        code::BEND => {
            let at = usize::from(b) * (1 + usize::from(c & 7)) % packet.bytes.len().max(1);
            if let Some(byte) = packet.bytes.get_mut(at) {
                *byte ^= c | 1;
            }
        }
        code::CUT => packet.bytes.truncate(usize::from(b) * (1 + usize::from(c & 7))),
        _ => {}
    }
    world.arrive(packet, owner(b))
}

fn raw(world: &mut World<'_>, number: u8, bytes: &[u8]) -> Option<usize> {
    let number = world.number(number);
    let (from, to) = (world.someone(bytes[1]).endpoint.into(), world.members[number].address);
    world.arrive(Packet { from, to, bytes: bytes.into() }, Owner::Willing)
}

/// A node is told the time when it asked for it, or a little before or after.
fn until_timeout(world: &mut World<'_>, any: u8) -> Option<usize> {
    let number = world.number(any);
    let at = world.members[number].node().poll_timeout()?;
    let early = Duration::from_micros((any >> 4 & 1).into());
    world.advance(at.saturating_since(world.now).saturating_sub(early) + Duration::from_millis((any >> 5).into()));
    Some(number)
}

/// Starts an operation that gives nothing.
fn start(world: &mut World<'_>, Step { code, a, b, c }: Step) -> usize {
    let number = world.number(a);
    let (now, until) = (world.now, world.now.plus_millis(limit_ms(a >> 2)));
    let (someone, other) = (world.someone(b), world.someone(c));
    let member = &mut world.members[number];
    match code & 0x1f {
        code::PING => member.start(Asked::Ping, |node| node.ping(now, until, someone.endpoint.into())),
        code::JOIN => {
            let addresses = [someone.endpoint.into(), other.endpoint.into()];
            let bootstrap = &addresses[..usize::from(c >> 6).min(2)];
            member.start(Asked::Join, |node| node.join(now, until, bootstrap))
        }
        code::FIND_NODE => {
            let target = if c & 1 == 0 { *someone.id.as_key() } else { values::pick(b).key };
            member.start(Asked::FindNode, |node| node.find_node(now, until, target))
        }
        code::LEAVE => member.start(Asked::Leave, |node| node.leave(now, until)),
        _ => {
            let key = values::pick(b).key;
            let max_age = (c & 8 != 0).then(|| Duration::from_secs(c.into()));
            let types = TypeMask(if c & 2 == 0 { 0xff } else { c >> 4 });
            let options = FindOptions { types, max_age, all: c & 1 == 0 };
            let asked = Asked::FindValue { key, all: options.all };
            member.start(asked, |node| node.find_value(now, until, key, options))
        }
    };
    number
}

/// A node publishes values and stores them on others.
fn store(world: &mut World<'_>, Step { code, a, b, c }: Step) -> usize {
    let number = world.number(a);
    let (now, until) = (world.now, world.now.plus_millis(limit_ms(a >> 2)));
    let holders: Vec<Contact> = (0..=c >> 6).map(|more| world.someone(c.wrapping_add(more * 3))).collect();
    let member = &mut world.members[number];
    let items: Vec<(Key, ItemHeader)> = (0..=(a >> 5 & 3))
        .map(|more| {
            let value = values::pick(b.wrapping_add(more));
            let header = ItemHeader { ttl_ms: values::ttl_ms(c >> 2), ..value.header };
            member.store.publish(now, &value.key, &header, &value.bytes);
            (value.key, header)
        })
        .collect();
    let mode = StoreMode::try_from(c & 3).unwrap_or_default();
    if code & 0x1f == code::STORE_AT {
        let asked = Asked::Store { quorum: 0, items: items.len() };
        member.start(asked, |node| node.store_at(now, until, mode, &items, &holders));
        return number;
    }
    let quorum = b >> 6;
    let asked = Asked::Store { quorum, items: items.len() };
    member.start(asked, |node| node.store(now, until, mode, quorum, &items));
    number
}

/// What an owner does with its node.
fn on_node(world: &mut World<'_>, Step { code, a, b, c }: Step) -> Option<usize> {
    let number = world.number(a);
    let now = world.now;
    let value = values::pick(b);
    let member = &mut world.members[number];
    let mut out = Vec::new();
    match code & 0x1f {
        code::CANCEL => {
            if let Some(operation) = member.ledger.nth(b) {
                member.cancel(now, operation);
                // Twice does no harm.
                member.cancel(now, operation);
            }
        }
        code::TIMEOUT => member.timeout(now),
        code::TRANSMIT => {
            member.transmit(now, &mut out);
        }
        code::EVENT => {
            member.event();
        }
        code::PUBLISH => {
            let header = ItemHeader { ttl_ms: values::ttl_ms(c), ..value.header };
            member.store.publish(now, &value.key, &header, &value.bytes);
        }
        code::FORGET => {
            member.store.forget(&value.key, None);
        }
        code::UPKEEP => member.drive_upkeep(now),
        code::LEAVE_BY_UPKEEP => member.upkeep.leave(now.plus_millis(limit_ms(b))),
        code::RESTART => world.restart(number, b & 1 == 1),
        code::GROW => member.grow(),
        code::MOVE => member.address.set_port(9000 + u16::from(b & 1)),
        code::LATE_FIND => member.answer_late(now, &mut out),
        _ => {}
    }
    world.send(out);
    // What is done one by one ends there.
    if matches!(code & 0x1f, code::TIMEOUT | code::TRANSMIT | code::EVENT) {
        world.members[number].node().check();
        return None;
    }
    Some(number)
}
