//! Networks with nodes that break the rules.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use kad_wire::{Contact, Key, NodeId};

use super::{Scenario, Stage};
use crate::enemy::Scheme;
use crate::run::Workload;
use crate::tally::share;

const PEOPLE: Workload = Workload {
    puts_per_hour: 1_000,
    gets_per_hour: 10_000,
    lookups_per_hour: 5_000,
    hot: false,
    ttl_secs: 24 * 3600,
    len_max: 1_000,
};

/// Grows a network, lets people store values, and adds enemies with these ids, who make themselves known to everybody near
/// them.
fn infiltrate(stage: &mut Stage, ids: &[NodeId], scheme: impl Fn(Rc<[Contact]>) -> Scheme) -> Vec<usize> {
    let config = stage.settings().config;
    let mut enemies = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let address = SocketAddr::from((Ipv4Addr::from(0x2e00_0000 + number as u32), 9000));
        enemies.push(stage.run.world.add_as(*id, address, &config));
    }
    let all: Rc<[Contact]> = enemies.iter().map(|&enemy| stage.run.world.contact(enemy)).collect();
    for &enemy in &enemies {
        stage.run.world.turn(enemy, scheme(all.clone()));
    }
    for round in 0..5 {
        for &enemy in &enemies {
            let mut victims = stage.run.oracle.nearest(stage.run.world.id(enemy).as_key(), 40);
            victims.extend((0..20).filter_map(|_| stage.run.somebody()));
            for victim in victims {
                stage.run.world.knock(enemy, victim);
            }
            stage.run.run_for(Duration::from_millis(50));
        }
        stage.run.run_for(Duration::from_secs(10 + round));
    }
    enemies
}

/// Share of all contacts in honest tables that are enemies.
fn infiltration(stage: &mut Stage, enemies: &[usize]) -> f64 {
    let ids: std::collections::BTreeSet<_> = enemies.iter().map(|&enemy| stage.run.world.id(enemy)).collect();
    let living: Vec<_> = stage.run.world.living().collect();
    let (mut theirs, mut all) = (0, 0);
    for number in living {
        for known in stage.run.world.member(number).node().contacts() {
            all += 1;
            theirs += u64::from(ids.contains(&known.contact.id));
        }
    }
    share(theirs, all)
}

fn use_it(stage: &mut Stage, span: Duration) -> (f64, f64) {
    stage.run.tally = Default::default();
    stage.run.open(Workload { puts_per_hour: 0, ..PEOPLE });
    stage.run.run_for(span);
    stage.run.close();
    stage.run.run_for(Duration::from_secs(40));
    (stage.run.tally.success(), stage.run.tally.requests.mean())
}

/// Grows the honest network, stores values, and measures what reads cost.
fn prepare(stage: &mut Stage) -> f64 {
    stage.run.grow(stage.nodes);
    stage.run.open(Workload { gets_per_hour: 0, ..PEOPLE });
    stage.run.run_for(Duration::from_secs(900));
    stage.run.close();
    let span = stage.span / 2;
    let (_, messages) = use_it(stage, span);
    stage.figure("messages_mean_before", messages);
    messages
}

fn attack(stage: &mut Stage, ids: &[NodeId], scheme: impl Fn(Rc<[Contact]>) -> Scheme) -> (f64, f64) {
    let enemies = infiltrate(stage, ids, scheme);
    let share = infiltration(stage, &enemies);
    stage.figure("enemies_in_tables", share);
    let span = stage.span;
    let (success, messages) = use_it(stage, span);
    stage.figure("messages_mean_under_attack", messages);
    stage.figure("success_under_attack", success);
    (success, messages)
}

pub(super) const TABLE_POISONING: Scenario = Scenario {
    name: "table-poisoning",
    about: "one node in five is an enemy with a random id who names only its accomplices and keeps nothing",
    pass_line: "99 % of reads succeed, at no more than three times the messages",
    nodes: 400,
    hours: 0.25,
    known_gap: None,
    play: |stage| {
        let before = prepare(stage);
        let ids: Vec<_> = (0..stage.nodes / 4).map(|_| NodeId::from_bytes(stage.run.world.dice.bytes())).collect();
        let (success, messages) = attack(stage, &ids, Scheme::NameAccomplices);
        stage.demand(success >= 0.99, format!("only {success} of reads succeed"));
        stage.demand(messages <= 3.0 * before, format!("{messages} messages a read, {before} before"));
        stage.demand_rest();
    },
};

pub(super) const ECLIPSE: Scenario = Scenario {
    name: "eclipse",
    about: "forty enemies take ids that are nearer to one key than anybody else's, name only each other and keep nothing",
    pass_line: "99 % of reads of that key succeed",
    nodes: 400,
    hours: 0.1,
    known_gap: Some(
        "ids are not bound to addresses and there is no cap per subnet, so whoever computes ids near a key can hide it",
    ),
    play: |stage| {
        prepare(stage);
        let key = stage.run.oracle.acknowledged[0].key;
        let ids: Vec<_> = (0..40).map(|_| near(&key, stage)).collect();
        infiltrate(stage, &ids, Scheme::NameAccomplices);
        stage.run.tally = Default::default();
        for _ in 0..500 {
            if let Some(number) = stage.run.somebody() {
                stage.run.get_on(number, 0);
            }
            stage.run.run_for(Duration::from_millis(200));
        }
        stage.run.run_for(Duration::from_secs(40));
        let (success, messages) = (stage.run.tally.success(), stage.run.tally.requests.mean());
        stage.figure("success_under_attack", success);
        stage.figure("messages_mean_under_attack", messages);
        stage.demand(success >= 0.99, format!("only {success} of reads succeed"));
        stage.demand_rest();
    },
};

/// An id that shares the first 24 bits with a key.
fn near(key: &Key, stage: &mut Stage) -> NodeId {
    let mut id = *key.as_bytes();
    id[3..].copy_from_slice(&stage.run.world.dice.bytes::<29>());
    NodeId::from_bytes(id)
}

pub(super) const LOOKUP_BOMBS: Scenario = Scenario {
    name: "lookup-bombs",
    about: "one node in ten names twenty nodes that do not exist, nearer than anybody, in every answer",
    pass_line: "99 % of reads succeed, at no more than ten times the messages; lookups end",
    nodes: 400,
    hours: 0.25,
    known_gap: None,
    play: |stage| {
        let before = prepare(stage);
        let ids: Vec<_> = (0..stage.nodes / 9).map(|_| NodeId::from_bytes(stage.run.world.dice.bytes())).collect();
        let (success, messages) = attack(stage, &ids, |_| Scheme::NameNobody);
        stage.demand(success >= 0.99, format!("only {success} of reads succeed"));
        stage.demand(messages <= 10.0 * before, format!("{messages} messages a read, {before} before"));
        stage.demand_rest();
    },
};
