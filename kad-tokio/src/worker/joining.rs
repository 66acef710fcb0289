//! Reaching the network, and reaching it again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use tokio::task::JoinSet;

use kad_record::Command as Operation;

use super::Worker;
use crate::command::{Call, Command};
use crate::tasks::{Answer, Task};

/// How long the resolver may take for a name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const LIMIT_MS: u64 = 10_000;
/// Pauses between attempts grow from here ...
const PAUSE: Duration = Duration::from_secs(1);
/// ... to here.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How the node stands with its network.
pub(super) struct Joining {
    /// Whether the first attempt has ended, or there is nobody to join.
    settled: bool,
    /// When the next attempt is due, if there is somebody to join and none is under way.
    next: Option<Clock>,
    attempts: u32,
    /// When a node that knows others joins through its bootstrap addresses again: parts of a network that lost each other
    /// find together only through somebody whom both know.
    again: Clock,
    interval: Duration,
    waiting: Vec<Answer<usize>>,
}

impl Joining {
    pub(super) fn new(has_bootstrap: bool, interval: Duration) -> Self {
        let next = has_bootstrap.then(Clock::now);
        Self { settled: !has_bootstrap, next, attempts: 0, again: Clock::now(), interval, waiting: Vec::new() }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn next(&self) -> Option<Clock> {
        self.next
    }

    pub(super) fn wait(&mut self, answer: Answer<usize>) {
        self.waiting.push(answer);
    }

    /// A pause that grows with the attempts, anywhere between none and all of it: many nodes that lost the same network
    /// must not come back at the same moment.
    fn pause(&self) -> Duration {
        let longest = PAUSE.saturating_mul(1 << self.attempts.min(6)).min(PAUSE_MAX);
        PAUSE / 4 + random_share_of(longest)
    }

    /// When to join again although others are known: after the interval, give or take a quarter.
    fn schedule_again(&mut self) {
        self.again = Clock::now() + self.interval * 3 / 4 + random_share_of(self.interval / 2);
    }
}

impl Worker {
    /// Starts an attempt if it is time: looks the addresses up first, off this thread's loop.
    pub(super) fn join_if_due(&mut self) {
        let due = self.joining.next.is_some_and(|at| at <= Clock::now());
        if !due || self.upkeep.is_leaving() {
            return;
        }
        self.joining.next = None;
        let knows_others = self.joining.settled && self.node().status().contacts > 0;
        if knows_others && Clock::now() < self.joining.again {
            // Look again later whether that is still so.
            self.joining.next = Some(self.joining.again.min(Clock::now() + PAUSE_MAX));
            return;
        }
        self.joining.schedule_again();
        let (names, calls) = (self.parts.bootstrap.clone(), self.parts.own_calls.clone());
        tokio::spawn(async move {
            let mut lookups: JoinSet<_> = names.into_iter().map(look_up).collect();
            let mut addresses = Vec::new();
            while let Some(found) = lookups.join_next().await {
                addresses.extend(found.unwrap_or_default());
            }
            if let Some(calls) = calls.upgrade() {
                let call = Call { id: 0, deadline: Clock::now(), command: Command::Bootstrap { addresses } };
                let _ = calls.send(call);
            }
        });
    }

    /// The addresses are known: joins through all of them at once.
    pub(super) fn join(&mut self, addresses: &[SocketAddr]) {
        let until = self.now().plus_millis(LIMIT_MS);
        match self.start(Operation::Join { until, addresses: addresses.into() }) {
            Ok(operation) => {
                self.tasks.begin(operation, Task::Join);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot join now");
                self.join_ended(0);
            }
        }
    }

    /// An attempt is over. After a vain one there will be another.
    pub(super) fn join_ended(&mut self, answered: usize) {
        let contacts = self.node().status().contacts;
        let pause = if contacts == 0 { self.joining.pause() } else { Duration::ZERO };
        match (answered, contacts) {
            (0, 0) => {
                self.joining.attempts += 1;
                tracing::warn!(again_in = ?pause, "no bootstrap node answers");
            }
            (0, _) => tracing::debug!(contacts, "no bootstrap node answers, but others are known"),
            _ => {
                self.joining.attempts = 0;
                tracing::info!(answered, "joined");
            }
        }
        self.joining.next = (!self.parts.bootstrap.is_empty()).then(|| Clock::now() + pause);
        self.joining.settled = true;
        let joined = self.joined();
        for answer in std::mem::take(&mut self.joining.waiting) {
            // A caller that has gone away does not want it.
            let _ = answer.send(joined.clone());
        }
    }
}

/// Anything up to a span.
fn random_share_of(span: Duration) -> Duration {
    let mut bytes = [0; 2];
    // Without randomness everybody waits the full time, which is no worse than a fixed pause.
    let share = getrandom::fill(&mut bytes).map_or(u16::MAX, |()| u16::from_le_bytes(bytes));
    span.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

/// The addresses of a name, if the resolver knows it in time.
async fn look_up(name: String) -> Vec<SocketAddr> {
    match tokio::time::timeout(LOOK_UP_LIMIT, tokio::net::lookup_host(&name)).await {
        Ok(Ok(found)) => return found.map(reachable).collect(),
        Ok(Err(error)) => tracing::warn!(bootstrap = %name, %error, "cannot look up"),
        Err(_) => tracing::warn!(bootstrap = %name, "the resolver does not answer"),
    }
    Vec::new()
}

/// A node that listens on every address is reached on this host's own.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
