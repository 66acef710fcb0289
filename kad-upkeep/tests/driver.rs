//! The loop of the crate's front page, with two nodes on sockets of the standard library.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Clock};

use kad_core::{Config, FindOptions, Instant, Node, NodeId};
use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits};
use kad_upkeep::{CallSlot, Driver, Error, Exchange, FullNode, Link, Outcome, Request, Sent, StoreOptions};
use kad_wire::Key;

kad_core::block! { struct Memory { rows: 8, contacts_per_row: 8, operations: 4, candidates_per_operation: 12,
items_per_operation: 4, transfers: 4, arena: 65536 } }

struct Socket(UdpSocket);

impl Link for Socket {
    fn receive<T>(&mut self, _: Instant, take: impl FnOnce(SocketAddr, &[u8]) -> T) -> Option<T> {
        let mut datagram = [0; kad_wire::limits::DATAGRAM_MAX];
        let (len, from) = self.0.recv_from(&mut datagram).ok()?;
        Some(take(from, &datagram[..len]))
    }

    fn send(&mut self, _: Instant, to: SocketAddr, datagram: &[u8]) -> Sent {
        let _ = self.0.send_to(datagram, to);
        Sent::Done
    }
}

struct Host {
    driver: Driver<'static, Node<'static>, FixedStore<'static>, FullNode<4>>,
    exchange: Exchange<'static, Socket>,
}

impl Host {
    /// A node on loopback that joins through another one. Its memory lives as long as the test.
    fn start(number: u8, bootstrap: &[SocketAddr]) -> Self {
        let (id, block) = (NodeId::from_bytes([number; 32]), Box::leak(Box::new(Memory::EMPTY)));
        let config = Config { k: 8, ..Config::default() };
        let node = Node::new(id, &config, &[number; 32], block.memory()).unwrap();
        let records = Box::leak(Box::new([FixedRecord::EMPTY; 16]));
        let blocks = Box::leak(Box::new([const { FixedBlock::EMPTY }; 512]));
        let store = FixedStore::new(Limits::new(id), records, blocks);
        let (calls, found) = (Box::leak(Box::new([CallSlot::<()>::EMPTY])), Box::leak(Box::new([0; 32768])));
        let role = FullNode::new(&node, bootstrap, Duration::from_secs(600));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            driver: Driver::new(node, store, role, calls, found),
            exchange: Exchange::new(Socket(socket), Box::leak(Box::new([0; 4096]))),
        }
    }

    fn address(&self) -> SocketAddr {
        self.exchange.link.0.local_addr().unwrap()
    }

    fn run(&mut self, now: Instant) {
        self.exchange.run_until_idle(now, &mut self.driver, &());
    }
}

/// Runs both nodes until a call of the first has ended.
fn call(begin: Clock, hosts: [&mut Host; 2], request: Request) -> Result<Outcome, Error> {
    let now = || Instant::from_micros(1 + u64::try_from(begin.elapsed().as_micros()).unwrap());
    let [first, second] = hosts;
    let place = first.driver.begin(request, now() + Duration::from_secs(20)).unwrap();
    loop {
        first.run(now());
        second.run(now());
        if let Some(outcome) = first.driver.outcome(place) {
            first.driver.end_call(now(), place);
            return outcome;
        }
        // Nothing waits for this: it leaves the processor to others.
        std::thread::yield_now();
    }
}

#[test]
fn two_nodes_on_plain_sockets_join_store_and_find() {
    let begin = Clock::now();
    let mut first = Host::start(1, &[]);
    let mut second = Host::start(2, &[first.address()]);
    let (value, key) = (vec![7; 20_000], Key::hash("name"));
    assert!(matches!(call(begin, [&mut second, &mut first], Request::Joined), Ok(Outcome::Joined(1))));

    let now = Instant::from_micros(1 + u64::try_from(begin.elapsed().as_micros()).unwrap());
    let header = second.driver.publish(now, &key, &value, &StoreOptions::DEFAULT).unwrap();
    let request = Request::Store { key, header, copies: StoreOptions::DEFAULT.copies };
    let Ok(Outcome::Stored(receipt)) = call(begin, [&mut second, &mut first], request) else { panic!("it is stored") };
    assert_eq!((receipt.copies, receipt.elsewhere, receipt.complete), (2, 1, true));

    // A third node, which has it not.
    let mut third = Host::start(3, &[first.address()]);
    assert!(matches!(call(begin, [&mut third, &mut first], Request::Joined), Ok(Outcome::Joined(1..))));
    let request = Request::Find { key, options: FindOptions::FIRST };
    assert_eq!(call(begin, [&mut third, &mut first], request), Ok(Outcome::Found));
    assert!(third.driver.values(0).any(|(_, bytes)| bytes == value));
}
