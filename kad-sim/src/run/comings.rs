//! Nodes come and go.

use std::time::Duration;

use kad_store::MemoryStore;
use kad_wire::{Contact, NodeId};

use super::{Action, Pending, Run};
use crate::dice::Dice;
use crate::network::REGIONS;
use crate::world::World;

/// Nodes that everybody knows of, to join through.
const DOORS: usize = 3;
/// How often a node that knows others looks whether its doors are still in its network, give or take a quarter.
const REJOIN: Duration = Duration::from_secs(600);
/// After this a node that had no place for a join tries again.
const PAUSE: Duration = Duration::from_secs(2);

/// Sessions and absences.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// Half of all sessions are shorter.
    pub session: Duration,
    /// Half of all absences are shorter.
    pub absence: Duration,
    /// Whether a few sessions are very long (see [`Dice::heavy_tailed`](crate::Dice::heavy_tailed)).
    pub heavy_tailed: bool,
    /// How many of a million say goodbye.
    pub goodbyes: u32,
    /// Whether what a node held is still there when it comes back.
    pub keeps_values: bool,
}

impl Run {
    /// Adds nodes until there are so many, in waves that each join through random earlier ones, and waits until they have.
    pub fn grow(&mut self, count: usize) {
        self.grow_by(count, |world| world.add());
    }

    /// The same, and who and where they are depends on these dice alone, not on what happens while they join.
    pub fn grow_from(&mut self, count: usize, who: &mut Dice) {
        self.grow_by(count, |world| {
            let (id, region) = (NodeId::from_bytes(who.bytes()), who.below(REGIONS as u64) as u8);
            world.add_in(id, region)
        });
    }

    fn grow_by(&mut self, count: usize, mut add: impl FnMut(&mut World) -> usize) {
        while self.world.len() < count {
            let wave = (self.world.len() / 20).clamp(1, count - self.world.len());
            for _ in 0..wave {
                let number = add(&mut self.world);
                self.arrive(number);
            }
            self.wait_for_joins();
        }
    }

    /// Adds so many nodes whose tables hold what years of use would have brought: of every part of the key space k random
    /// nodes, or all that there are.
    pub fn fill(&mut self, count: usize) {
        let first = self.world.len();
        for _ in 0..count {
            let number = self.world.add();
            self.oracle.arrived(self.world.id(number), number);
            self.world.member(number).has_joined = true;
        }
        let mut ids: Vec<_> = (0..self.world.len()).map(|number| self.world.contact(number)).collect();
        ids.sort_unstable_by_key(|contact| contact.id);
        for number in first..self.world.len() {
            self.fill_table(number, &ids);
        }
    }

    fn fill_table(&mut self, of: usize, sorted: &[Contact]) {
        let own = self.world.id(of);
        let now = self.world.shown(of);
        let mut range = sorted;
        for bit in 0..256 {
            // Sorted ids with a common prefix are neighbours: those with a zero at this bit come first.
            let split = range.partition_point(|contact| !contact.id.as_key().bit(bit));
            let (zeros, ones) = range.split_at(split);
            let (same, others) = if own.as_key().bit(bit) { (ones, zeros) } else { (zeros, ones) };
            let wanted = self.k().min(others.len());
            // One at random of each of so many stretches: neighbours in the order of ids would be alike.
            for number in 0..wanted {
                let (first, end) = (others.len() * number / wanted, others.len() * (number + 1) / wanted);
                let chosen = first + self.world.dice.below((end - first) as u64) as usize;
                self.world.member(of).node().adopt(now, &others[chosen]);
            }
            range = same;
            if range.len() <= 1 {
                break;
            }
        }
        self.world.drive(of);
    }

    /// A node that was just added takes part from now on.
    pub fn arrive(&mut self, number: usize) {
        self.oracle.arrived(self.world.id(number), number);
        if self.oracle.population() == 1 {
            self.world.member(number).has_joined = true;
        } else {
            self.joining += 1;
            self.try_join(number);
        }
    }

    /// Lets time pass until everybody has joined.
    pub fn wait_for_joins(&mut self) {
        let give_up = self.world.now().plus_millis(600_000);
        while self.joining > 0 && self.step(give_up) {}
    }

    /// Whom a node joins through.
    fn doors(&mut self, number: usize) -> Vec<usize> {
        let mut doors = Vec::new();
        for _ in 0..100 {
            let door = self.world.dice.below(self.world.len() as u64) as usize;
            let open = door != number && self.world.is_alive(door) && !doors.contains(&door);
            if open && (self.knows_doors || self.world.member(door).has_joined) {
                doors.push(door);
            }
            if doors.len() >= DOORS {
                break;
            }
        }
        doors
    }

    pub(super) fn try_join(&mut self, number: usize) {
        if !self.world.is_alive(number) {
            return;
        }
        let doors = self.doors(number);
        let addresses: Vec<_> = doors.iter().map(|&door| self.world.contact(door).endpoint.into()).collect();
        let started = self.world.try_start(number, |node, now| node.join(now, now.plus_millis(10_000), &addresses));
        match started {
            Ok(operation) => drop(self.pending.insert((number, operation), Pending::Join)),
            Err(_) => self.plan(PAUSE, Action::Join(number)),
        }
    }

    pub(super) fn join_ended(&mut self, number: usize, answered: usize) {
        let member = self.world.member(number);
        let first = !member.has_joined;
        if answered == 0 {
            self.tally.joins.1 += 1;
            let pause = Duration::from_micros(self.world.dice.below(4_000_000) + 500_000);
            return self.plan(pause, Action::Join(number));
        }
        member.has_joined = true;
        if self.rejoins {
            let quarter = REJOIN.as_micros() as u64 / 4;
            let pause = Duration::from_micros(3 * quarter + self.world.dice.below(2 * quarter));
            self.plan(pause, Action::Join(number));
        }
        if first {
            self.tally.joins.0 += 1;
            self.joining = self.joining.saturating_sub(1);
            self.begin_session(number);
        }
    }

    /// Everybody looks for its doors again from now on, every ten minutes or so: parts of a network that lost each other
    /// find together only through somebody whom both know.
    pub fn keep_doors_open(&mut self) {
        self.rejoins = true;
        let living: Vec<_> = self.world.living().collect();
        for number in living {
            let jitter = Duration::from_micros(self.world.dice.below(REJOIN.as_micros() as u64));
            self.plan(jitter, Action::Join(number));
        }
    }

    fn begin_session(&mut self, number: usize) {
        if let Some(churn) = self.churn {
            let span = self.span(churn.session, churn.heavy_tailed);
            self.plan(span, Action::End(number));
        }
    }

    fn span(&mut self, median: Duration, heavy_tailed: bool) -> Duration {
        let (median, dice) = (median.as_micros() as u64, &mut self.world.dice);
        Duration::from_micros(if heavy_tailed { dice.heavy_tailed(median) } else { dice.exponential(median) })
    }

    /// Everybody's session begins now.
    pub fn begin_churn(&mut self, churn: Churn) {
        self.churn = Some(churn);
        let living: Vec<_> = self.world.living().collect();
        for number in living {
            self.begin_session(number);
        }
    }

    pub(super) fn end_session(&mut self, number: usize) {
        let Some(churn) = self.churn else { return };
        if self.world.dice.chance(churn.goodbyes) {
            self.depart(number);
        } else {
            let store = self.crash(number);
            self.kept.extend(store.filter(|_| churn.keeps_values).map(|store| (number, store)));
        }
        let span = self.span(churn.absence, churn.heavy_tailed);
        // Whoever leaves needs a moment.
        self.plan(span.max(Duration::from_secs(10)), Action::Return(number));
    }

    pub(super) fn come_back(&mut self, number: usize) {
        let store = self.kept.remove(&number);
        self.revive(number, store);
    }

    /// A node hands over, says goodbye, and is gone.
    pub fn depart(&mut self, number: usize) {
        self.forget(number);
        self.world.leave(number, Duration::from_secs(5));
    }

    /// A node is gone without a word. Answers with what it held.
    pub fn crash(&mut self, number: usize) -> Option<MemoryStore> {
        self.forget(number);
        self.world.kill(number)
    }

    /// A node comes back with what it held, if that survived, and joins.
    pub fn revive(&mut self, number: usize, store: Option<MemoryStore>) {
        self.world.restart(number, store);
        self.rejoin(number);
    }

    /// A node that has come back joins.
    pub fn rejoin(&mut self, number: usize) {
        self.joining += 1;
        self.oracle.arrived(self.world.id(number), number);
        self.try_join(number);
    }

    /// The node is gone: for the oracle at once, and nobody waits for its operations.
    fn forget(&mut self, number: usize) {
        self.oracle.gone(&self.world.id(number));
        let of_node: Vec<_> = self.pending.keys().filter(|(of, _)| *of == number).copied().collect();
        for key in of_node {
            self.pending.remove(&key);
        }
        if self.world.is_alive(number) && !self.world.member(number).has_joined {
            self.joining = self.joining.saturating_sub(1);
        }
    }
}
