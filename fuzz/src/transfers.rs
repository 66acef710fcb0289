//! Values of all sizes on their way from a publisher to holders and readers, over a path that loses, repeats, holds back, bends
//! and cuts datagrams, one byte of the input deciding about each.
//!
//! What arrives is what was published, or nothing: never a third thing. And what is held is found once the path heals.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use kad_core::FindOptions;
use kad_wire::{DeleteLock, Digest, ItemHeader, ItemType, Key, StoreMode};

use crate::ledger::Asked;
use crate::member::Owner;
use crate::world::{Shape, World};

/// Largest value here: more chunks than a bitmap has bits, at the smallest chunks.
const VALUE_MAX: u32 = 40 * 1024;
/// Most datagrams that are decided about.
const FATES: usize = 2_000;
/// How long everything may take.
const LIMIT_MS: u64 = 30_000;
const LIFE_MS: u32 = 24 * 3_600_000;

/// What comes before the fates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
struct Head {
    shape: Shape,
    lengths: [u16; 3],
    count: u8,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut rest = Unstructured::new(data);
    let Ok(Head { shape, lengths, count }) = Head::arbitrary(&mut rest) else { return };
    // Three servers that know each other, wide enough that everyone is asked.
    let shape = Shape {
        nodes: 1,
        search: 2 | shape.search & 0x3c | 0x80,
        places: shape.places | 0x0c,
        socket: shape.socket & 0x0f,
    };
    let lengths = &lengths[..1 + usize::from(count % 3)];
    let mut story = Story::new(World::of_values(shape, VALUE_MAX), lengths);
    story.publish();
    for &fate in rest.take_rest().iter().take(FATES) {
        story.next(fate);
    }
    story.world.rest();
    story.nothing_is_false();
    story.what_is_held_is_found();
}

struct Story {
    world: World<'static>,
    key: Key,
    values: Vec<(ItemHeader, Vec<u8>)>,
}

impl Story {
    fn new(world: World<'static>, lengths: &[u16]) -> Self {
        let key = Key::from_bytes([0x77; 32]);
        let values = lengths.iter().enumerate().map(|(number, &len)| {
            let len = u32::from(len) % (VALUE_MAX + 1);
            let bytes: Vec<u8> = (0..len).map(|at| (at / 251 + at * 3 + number as u32) as u8).collect();
            (ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, LIFE_MS, &bytes), bytes)
        });
        let mut values: Vec<_> = values.collect();
        values.dedup_by_key(|(header, _)| header.digest);
        Self { world, key, values }
    }

    /// The first node publishes everything.
    fn publish(&mut self) {
        let (now, key) = (self.world.now, self.key);
        let publisher = &mut self.world.members[0];
        let mut items: Vec<(Key, ItemHeader)> = Vec::new();
        for (header, bytes) in &self.values {
            let kept = publisher.store.publish(now, &key, header, bytes).status.is_held();
            assert!(kept, "there is room for everything");
            if items.iter().all(|(_, other)| other.digest != header.digest) {
                items.push((key, *header));
            }
        }
        let asked = Asked::Store { quorum: 1, items: items.len() };
        let until = now.plus_millis(LIMIT_MS);
        publisher.start(asked, |node| node.store(now, until, StoreMode::Publish, 1, &items));
        self.world.drive(0);
    }

    fn read(&mut self, number: usize, all: bool) {
        let (now, key) = (self.world.now, self.key);
        let options = FindOptions { all, ..FindOptions::FIRST };
        let until = now.plus_millis(LIMIT_MS);
        let asked = Asked::FindValue { key, all };
        self.world.members[number].start(asked, |node| node.find_value(now, until, key, options));
        self.world.drive(number);
    }

    /// Decides about the next datagram, or lets time pass until there is one.
    fn next(&mut self, fate: u8) {
        let (what, how) = (fate & 0x0f, fate >> 4);
        match what {
            12 => self.wait(how),
            13 => self.read(1 + usize::from(how & 1), how & 2 == 0),
            14 => self.publish(),
            15 if how == 15 => self.world.path.clear(),
            15 => {
                let member = &mut self.world.members[usize::from(how) % 3];
                if let Some(operation) = member.ledger.nth(how) {
                    member.cancel(self.world.now, operation);
                }
                self.world.drive(usize::from(how) % 3);
            }
            _ => self.datagram(what, how),
        }
    }

    fn wait(&mut self, how: u8) {
        self.world.advance(Duration::from_millis(1 << (how % 12)));
        for number in 0..self.world.members.len() {
            self.world.drive(number);
        }
    }

    fn datagram(&mut self, what: u8, how: u8) {
        let Some(mut packet) = self.world.take(if what == 9 { how } else { 0 }) else {
            self.wait(6);
            return;
        };
        match what {
            7 => return,
            8 => self.world.path.push_back(packet.clone()),
            10 => {
                let at = packet.bytes.len() * usize::from(how) / 16;
                packet.bytes[at] ^= 1 << (how & 7);
            }
            11 => packet.bytes.truncate(packet.bytes.len() * usize::from(how) / 16),
            _ => {}
        }
        self.world.advance(Duration::from_micros(u64::from(how) * 500));
        if let Some(number) = self.world.arrive(packet, Owner::Willing) {
            self.world.drive(number);
        }
    }

    fn published(&self, digest: &Digest) -> Option<&[u8]> {
        self.values.iter().find(|(header, _)| header.digest == *digest).map(|(_, bytes)| &bytes[..])
    }

    /// Whatever was read and whatever is held is what was published. A bit that is bent in the key of a STORE is beyond what
    /// a digest can tell: the value is held under another key then, and is right all the same.
    fn nothing_is_false(&mut self) {
        let mut out = vec![0; VALUE_MAX as usize + 1];
        for number in 0..self.world.members.len() {
            for (key, digest, bytes) in &self.world.members[number].found {
                assert_eq!((*key, self.published(digest)), (self.key, Some(&bytes[..])), "what is read was published");
            }
            for (key, digest) in self.held_by(number) {
                let now = self.world.now;
                let len = self.world.members[number].store.read(now, &key, &digest, 0, &mut out);
                assert_eq!(self.published(&digest), Some(&out[..len]), "what is held was published");
            }
        }
    }

    fn held_by(&self, number: usize) -> Vec<(Key, Digest)> {
        let store = &self.world.members[number].store;
        let mut last = None;
        let items = std::iter::from_fn(|| {
            let item = store.next_item(self.world.now, last.as_ref())?;
            last = Some(item.place());
            last
        });
        items.collect()
    }

    /// The last node joins the others again and reads everything that they hold.
    fn what_is_held_is_found(&mut self) {
        const READER: usize = 2;
        let addresses = [0, 1].map(|other| self.world.members[other].address);
        let (now, until) = (self.world.now, self.world.now.plus_millis(LIMIT_MS));
        let reader = &mut self.world.members[READER];
        reader.start(Asked::Join, |node| node.join(now, until, &addresses));
        self.world.rest();
        let before = self.world.members[READER].found.len();
        self.read(READER, true);
        self.world.rest();
        let found: Vec<_> = self.world.members[READER].found[before..].iter().map(|(_, digest, _)| *digest).collect();
        for holder in [0, 1] {
            let held = self.held_by(holder).into_iter().filter(|(key, _)| *key == self.key);
            let lost = held.map(|(_, digest)| digest).find(|digest| !found.contains(digest));
            assert_eq!(lost, None, "what node {holder} holds is found");
        }
        self.nothing_is_false();
    }
}
