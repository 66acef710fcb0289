//! Reaching the network, and reaching it again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kad_record::{Command as Operation, Input};

use super::{Worker, random_seed};
use crate::command::{Call, Command};
use crate::reach::{Unreachable, resolve};
use crate::tasks::Task;

/// How long the resolver may take for a name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const LIMIT_MS: u64 = 10_000;

impl Worker {
    /// Starts an attempt if it is time: through the addresses that are known at once, and through those of each name when the
    /// resolver has answered. It is asked off this thread's loop, and one name waits for no other.
    pub(super) fn join_if_due(&mut self) {
        let now = self.now();
        // Asked often: who it knows is counted only when it may matter.
        if self.upkeep.is_leaving() || self.joining.next().is_none_or(|at| now < at) {
            return;
        }
        let contacts = self.node().status().contacts;
        if !self.joining.is_due(now, contacts) {
            return;
        }
        let addresses: Vec<_> = self.parts.bootstrap.iter().chain(&self.parts.remembered).cloned().collect();
        let (known, names) = parted(&addresses);
        let (listen, has_known) = (self.parts.listen.clone(), !known.is_empty());
        let known = known.into_iter().filter(|known| !within_reach(&known.to_string(), &listen, &[*known]).is_empty());
        let known: Vec<_> = known.collect();
        // Without any it joins through its contacts.
        let at_once = has_known || names.is_empty();
        self.joins_under_way += names.len() + usize::from(at_once);
        for name in names {
            let (calls, listen) = (self.parts.own_calls.clone(), listen.clone());
            self.helpers.spawn(async move {
                let addresses = look_up(name, &listen).await;
                if let Some(calls) = calls.upgrade() {
                    let call = Call { id: 0, deadline: now, command: Command::Bootstrap { addresses } };
                    let _ = calls.send(call);
                }
            });
        }
        match at_once {
            true if has_known && known.is_empty() => self.join_ended(0),
            true => self.join_known(known),
            false => {}
        }
    }

    /// The node joins through others from now on.
    pub(super) fn set_bootstrap(&mut self, addresses: Vec<String>) {
        self.parts.reach.bootstrap = addresses.len();
        if self.is_first() {
            let now = self.now();
            self.joining.set_bootstrap(now, self.parts.reach.has_network());
            self.parts.bootstrap = addresses;
        }
    }

    /// The host has slept, or has other addresses: everybody is asked whether they are there, and so hears where this node is now.
    pub(super) fn moved(&mut self) {
        if !self.is_first() || self.upkeep.is_leaving() {
            // What is due by the clock is done in any case.
            return;
        }
        let now = self.now();
        self.joining.hurry(now);
        self.node().ask_contacts(now);
        self.note(now, || Input::AskContacts);
    }

    /// Joins through as many of the known addresses as a join can ask: through others each time.
    fn join_known(&mut self, mut addresses: Vec<SocketAddr>) {
        // Where the last attempt ended counts in one order.
        addresses.sort_unstable();
        addresses.dedup();
        let width = self.node().join_width();
        let chosen = self.joining.choose(&mut addresses, width).to_vec();
        self.join(chosen);
    }

    /// The addresses of a name have been found, if there are any: joins through as many as a join can ask, whichever.
    pub(super) fn join_found(&mut self, mut addresses: Vec<SocketAddr>) {
        if addresses.is_empty() {
            return self.join_ended(0);
        }
        fastrand::Rng::with_seed(random_seed()).shuffle(&mut addresses);
        addresses.truncate(self.node().join_width());
        self.join(addresses);
    }

    fn join(&mut self, addresses: Vec<SocketAddr>) {
        let until = self.now().plus_millis(LIMIT_MS);
        let addresses = addresses.iter().map(|address| (*address).into()).collect();
        match self.start(Operation::Join { until, addresses }) {
            Ok(operation) => {
                self.tasks.begin(operation, Task::Join);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot join now");
                self.join_ended(0);
            }
        }
    }

    /// A part of an attempt is over. The attempt is when somebody has answered, or no other part is under way; after a vain one
    /// there will be another.
    pub(super) fn join_ended(&mut self, answered: usize) {
        self.joins_under_way = self.joins_under_way.saturating_sub(1);
        if !self.joining.is_under_way() || (answered == 0 && self.joins_under_way > 0) {
            return;
        }
        let (now, contacts) = (self.now(), self.node().status().contacts);
        let pause = self.joining.ended(now, answered, contacts);
        match (answered, contacts) {
            (0, 0) if self.parts.reach.bootstrap == 0 => {
                let known = self.parts.reach.remembered;
                tracing::info!(known, again_in = ?pause, "none of the nodes known from last time answers");
            }
            (0, 0) => tracing::warn!(again_in = ?pause, "no bootstrap node answers"),
            (0, _) => tracing::debug!(contacts, "no bootstrap node answers, but others are known"),
            _ => tracing::info!(answered, "joined"),
        }
        self.tell_settled();
        let joined = self.joined();
        for answer in std::mem::take(&mut self.wait_for_join) {
            answer.send(joined.clone());
        }
    }
}

/// The addresses among some bootstrap nodes, and the names.
fn parted(bootstrap: &[String]) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut known, mut names) = (Vec::new(), Vec::new());
    for text in bootstrap {
        match text.parse() {
            Ok(address) => known.push(reachable(address)),
            Err(_) => names.push(text.clone()),
        }
    }
    (known, names)
}

/// The addresses of a bootstrap node that can be sent to from what this node listens on. If there is none, the log says why, and
/// what to do.
fn within_reach(name: &str, listen: &[SocketAddr], found: &[SocketAddr]) -> Vec<SocketAddr> {
    let why_not = |to: &SocketAddr| Unreachable::check(listen, *to);
    let good: Vec<_> = found.iter().copied().filter(|to| why_not(to).is_none()).collect();
    if let (true, Some((address, why))) = (good.is_empty(), found.iter().find_map(|to| Some((to, why_not(to)?)))) {
        tracing::warn!(bootstrap = %name, %address, ?listen, "cannot be reached: {why}; {}", why.advice());
    }
    good
}

/// The addresses of a name, if the resolver knows it in time.
async fn look_up(name: String, listen: &[SocketAddr]) -> Vec<SocketAddr> {
    match tokio::time::timeout(LOOK_UP_LIMIT, resolve(&name)).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.into_iter().map(reachable).collect();
            return within_reach(&name, listen, &found);
        }
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
