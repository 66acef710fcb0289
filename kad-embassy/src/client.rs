//! The sleepy role: wakes, does one operation with a bounded number of datagrams, and sleeps.

use core::net::SocketAddr;
use core::time::Duration;

use embassy_net::Stack;
use heapless::Vec;
use kad_core::{Config, FindOptions, Role};
use kad_upkeep::{
    Aside, Copies, Driver, Exchange, Found, Outcome, Receipt, Request, StoreOptions, Visitor, copy_part, lifetime_ms,
};
use kad_wire::{Digest, ItemHeader, Key, NodeId};

use crate::error::{Error, StartError};
use crate::net::{Link, Neighbours};
use crate::runner::{Assembly, Options, Parts, assemble, close, now, ready};
use crate::shared::{BOOTSTRAP, NodeDriver};

/// What an operation may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Datagrams that are sent, at most. Those that come are about as many.
    pub datagrams: u32,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Limit {
    /// 64 datagrams, ten seconds.
    fn default() -> Self {
        Self { datagrams: 64, time: Duration::from_secs(10) }
    }
}

/// What an operation cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cost {
    /// Datagrams that were sent.
    pub sent: u32,
    /// Datagrams that came.
    pub received: u32,
    /// How long it took.
    pub time: Duration,
}

/// A node that only asks, and only when it is called: between two calls nothing runs, no socket is open, and nobody expects
/// it to answer. It is in nobody's routing table. What it knows of the network it keeps for the next call.
///
/// It runs in the task that calls it; there is nothing to spawn but the network stack's own task.
pub struct Client {
    driver: NodeDriver<Visitor>,
    exchange: Exchange<'static, Link>,
    bootstrap: Vec<SocketAddr, BOOTSTRAP>,
    cost: Cost,
}

impl Client {
    /// Makes a client. Of the parts, the store may be [none](kad_store::NoStore): a value is sent from where its caller has it.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(
        stack: Stack<'static>,
        neighbours: &'static Neighbours,
        parts: Parts<'_>,
        options: &Options<'_>,
    ) -> Result<Self, StartError> {
        let config = Config { role: Role::Client, ..parts.config.clone() };
        let Assembly { node, store, calls, found, mut exchange } =
            assemble(stack, neighbours, Parts { config: &config, ..parts }, options)?;
        close(&mut exchange);
        let driver = Driver::new(node, store, Visitor, calls, found);
        let bootstrap = options.bootstrap.iter().take(BOOTSTRAP).copied().collect();
        Ok(Self { driver, exchange, bootstrap, cost: Cost::default() })
    }

    /// Who this node is.
    pub fn id(&mut self) -> NodeId {
        self.driver.with_node(|node| node.id())
    }

    /// What the last operation cost.
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// Finds a value under a key: the newest that the first node which has any knows. Its bytes go to `out`. `None` when the
    /// nearest nodes have none.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the value is larger than `out` or than this node has room for; [`Error::Unreachable`],
    /// [`Error::Incomplete`], [`Error::Timeout`], [`Error::Budget`].
    pub async fn find(&mut self, key: Key, out: &mut [u8], limit: Limit) -> Result<Option<Found>, Error> {
        let copy = |bytes: &[u8]| out.get_mut(..bytes.len()).map(|out| out.copy_from_slice(bytes));
        match self.find_with(key, limit, copy).await? {
            Some((_, None)) => Err(Error::Truncated),
            found => Ok(found.map(|(found, _)| found)),
        }
    }

    /// The same, but the value's bytes are shown to `look` where they are.
    ///
    /// # Errors
    /// As with [`find`](Self::find).
    pub async fn find_with<R>(
        &mut self,
        key: Key,
        limit: Limit,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<(Found, R)>, Error> {
        let request = Request::Find { key, options: FindOptions::FIRST };
        let ended = self.operate(&request, &(), limit).await;
        let found = self.driver.values(0).next().map(|(found, bytes)| (*found, look(bytes)));
        self.driver.end_call(now(), 0);
        ended.map(|_| found)
    }

    /// Stores a value under a key on the nodes nearest to it. Nobody republishes it: it lives as long as it says, if its
    /// holders pass it on.
    ///
    /// # Errors
    /// [`Error::Lifetime`] and [`Error::TooLarge`] when nothing was sent; [`Error::Unreachable`], [`Error::Timeout`],
    /// [`Error::Budget`].
    pub async fn store(
        &mut self,
        key: Key,
        value: &[u8],
        options: &StoreOptions,
        limit: Limit,
    ) -> Result<Receipt, Error> {
        let max = kad_wire::limits::VALUE_MAX;
        if value.len() > max {
            return Err(Error::TooLarge { len: value.len(), max });
        }
        let header = ItemHeader::publish(&key, options.item_type, options.lock, lifetime_ms(options.ttl)?, value);
        let copies = match options.copies {
            Copies::AtLeast(0) | Copies::UpTo(0) => Copies::AtLeast(1),
            copies => copies,
        };
        let value = Offered { digest: header.digest, bytes: value };
        let ended = self.operate(&Request::Store { key, header, copies }, &value, limit).await;
        self.driver.end_call(now(), 0);
        match ended? {
            Outcome::Stored(receipt) => Ok(receipt),
            _ => Err(Error::Closed),
        }
    }

    /// Does one thing, with help of the bootstrap nodes if nobody else is known or answers.
    async fn operate(&mut self, request: &Request, aside: &impl Aside, limit: Limit) -> Result<Outcome, Error> {
        let start = now();
        let before = (self.exchange.sent, self.exchange.received);
        self.exchange.budget = Some(limit.datagrams);
        let until = start + limit.time;
        self.exchange.link.open();
        let mut outcome = Err(Error::Unreachable);
        if !self.driver.with_node(|node| node.is_alone()) {
            outcome = self.run(*request, aside, until).await;
        }
        if outcome.is_err_and(|error| error == Error::Unreachable) && self.find_a_door(until).await {
            outcome = self.run(*request, aside, until).await;
        }
        close(&mut self.exchange);
        self.cost = Cost {
            sent: self.exchange.sent.wrapping_sub(before.0),
            received: self.exchange.received.wrapping_sub(before.1),
            time: now().saturating_since(start),
        };
        outcome
    }

    /// Asks the bootstrap nodes for a sign of life, one after the other: the first that answers is a contact.
    async fn find_a_door(&mut self, until: kad_wire::Instant) -> bool {
        for place in 0..self.bootstrap.len() {
            let Some(address) = self.bootstrap.get(place).copied() else { break };
            if self.run(Request::Ping(address), &(), until).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn run(&mut self, request: Request, aside: &impl Aside, until: kad_wire::Instant) -> Result<Outcome, Error> {
        self.driver.end_call(now(), 0);
        let place = self.driver.begin(request, until)?;
        loop {
            let now = now();
            self.exchange.link.handle_timeout(now);
            self.exchange.run_until_idle(now, &mut self.driver, aside);
            if let Some(outcome) = self.driver.outcome(place) {
                return outcome;
            }
            if self.exchange.is_spent() {
                return Err(Error::Budget);
            }
            let next = self.driver.next_wake();
            ready(&mut self.exchange, now, next).await;
        }
    }
}

/// The value that is being stored, where its caller has it.
struct Offered<'v> {
    digest: Digest,
    bytes: &'v [u8],
}

impl Aside for Offered<'_> {
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        (*digest == self.digest).then(|| copy_part(self.bytes, offset, out))
    }
}
