//! Two nodes with one id, as when a data directory is copied to a second host.

use std::net::SocketAddr;
use std::time::Duration;

use kad_core::{Config, Duplicate};
use kad_sim::{Settings, World};
use kad_wire::{
    Envelope, FindNode, Key, MaxDatagram, NetworkId, NodeId, Prefix, Request, RequestFlags, Token, TransactionId,
};

fn found(world: &mut World, number: usize) -> Option<SocketAddr> {
    world.member(number).node().duplicate().map(|Duplicate { endpoint, .. }| endpoint.into())
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 99, 0, number as u8], 9000))
}

#[test]
fn both_notice_and_both_see_when_the_other_is_gone() {
    for known in [0, 3] {
        let mut world = World::grown(Settings::new(1), 8);
        let (id, original) = (world.id(3), world.member(3).address);
        let clone = world.add_as(id, address(1), &Config::default());
        // Through any node, or through the original itself.
        world.join(clone, &[known]);
        world.run_for(Duration::from_secs(5));
        assert_eq!((found(&mut world, clone), found(&mut world, 3)), (Some(original), Some(address(1))));
        assert!((0..8).filter(|number| *number != 3).all(|number| found(&mut world, number).is_none()));
        // It stays, and is still known an hour later; but not for long when it is gone.
        world.run_for(Duration::from_secs(3600));
        assert_eq!(found(&mut world, 3), Some(address(1)));
        world.kill(clone);
        world.run_for(Duration::from_secs(240));
        assert_eq!(found(&mut world, 3), None);
    }
}

/// A stranger writes the node's id into datagrams from addresses where others are, or nobody is.
#[test]
fn whoever_only_writes_this_nodes_id_is_no_duplicate() {
    let mut world = World::grown(Settings::new(2), 5);
    let (victim, id) = (world.member(0).address, world.id(0));
    let before = world.traffic().0;
    for number in 0..600u64 {
        let tag = TransactionId::new(0, number, 0);
        let prefix = Prefix { lane: 0, room: MaxDatagram::of(1232), network: NetworkId(0), tag };
        let envelope = Envelope { prefix, token: Token::NONE, sender: id };
        let find = Request::FindNode(FindNode { limit: 20, target: Key::hash_int(number), padding: 311 });
        let from = [world.member(1).address, address(7), address((number % 200) as usize)][number as usize % 3];
        for request in [Request::PING, find] {
            let mut out = [0; 1232];
            let len = request.encode(&envelope, RequestFlags(0), &mut out).unwrap();
            world.inject(from, victim, &out[..len]);
        }
        world.run_for(Duration::from_millis(100));
        assert_eq!(found(&mut world, 0), None);
    }
    let probes = world.member(0).node().stats().probes;
    assert!(probes < 20, "{probes} strangers asked in a minute, of {} datagrams", world.traffic().0 - before);
    assert_eq!(world.member(0).node().id(), NodeId::from_bytes(*id.as_bytes()));
}
