//! The state behind the frames.

use std::collections::VecDeque;
use std::time::Instant;

use kad_http::api::{Peer, Readiness, Status};
use serde::Serialize;

use super::feed::{News, Walk};
use super::walk::Operation;
use crate::error::Failure;

/// The number of rates kept for the curves.
const RATES: usize = 240;
/// The number of operations kept.
const OPERATIONS: usize = 200;

/// Rates per second, averaged since the last statistics.
#[derive(Serialize, Clone, Copy, Default, Debug)]
pub(super) struct Rates {
    pub(super) datagrams_in: f64,
    pub(super) datagrams_out: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    /// Operations of this node that began.
    pub(super) operations: f64,
    /// Datagrams that were dropped, or could not be sent.
    pub(super) dropped: f64,
}

/// What is shown beside the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Pane {
    #[default]
    Operations,
    Contacts,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Model {
    pub(super) status: Option<Status>,
    pub(super) ready: Option<Readiness>,
    pub(super) peers: Option<Vec<Peer>>,
    pub(super) rates: VecDeque<Rates>,
    /// The newest first.
    pub(super) operations: VecDeque<Operation>,
    /// Events missed because they came too fast.
    pub(super) missed: u64,
    /// Why there is no news.
    pub(super) lost: Option<Failure>,
    pub(super) pane: Pane,
    /// The operation that is looked at; the newest if none was chosen.
    pub(super) chosen: Option<u64>,
    /// Contacts above the first that is shown.
    pub(super) scrolled: usize,
    pub(super) is_paused: bool,
    pub(super) is_helping: bool,
    /// When the numbers were taken.
    taken: Option<Instant>,
}

impl Model {
    /// Whether there is something in every part.
    pub(super) fn is_complete(&self) -> bool {
        self.status.is_some() && self.ready.is_some() && self.peers.is_some() && !self.rates.is_empty()
    }

    pub(super) fn hear(&mut self, piece: News, now: Instant) {
        if !matches!(piece, News::Lost(_)) {
            self.lost = None;
        }
        match piece {
            News::Status(status) => self.count(*status, now),
            News::Ready(ready) => self.ready = Some(ready),
            News::Peers(mut peers) => {
                let time = |peer: &Peer| peer.milliseconds.unwrap_or(f64::INFINITY);
                peers.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.bucket.cmp(&b.bucket)));
                self.scrolled = self.scrolled.min(peers.len().saturating_sub(1));
                self.peers = Some(peers);
            }
            News::Missed(events) => self.missed += events,
            News::Lost(failure) => {
                self.lost = Some(failure);
                self.taken = None;
            }
            News::Operation(event) => self.walk(event),
        }
    }

    /// An operation has gone on.
    fn walk(&mut self, event: Walk) {
        match event {
            Walk::Began(began) => {
                self.operations.push_front(Operation::new(began));
                self.operations.truncate(OPERATIONS);
            }
            Walk::Step(step) => {
                if let Some(operation) = self.operation(step.operation) {
                    operation.step(*step);
                }
            }
            Walk::Ended(ended) => match self.operation(ended.operation) {
                Some(operation) => operation.end(*ended),
                // It began before `kad top` started.
                None => self.operations.push_front(Operation::ended(*ended)),
            },
            Walk::Cancelled(began) => {
                if let Some(operation) = self.operation(began.operation) {
                    operation.cancel();
                }
            }
        }
    }

    fn operation(&mut self, number: u64) -> Option<&mut Operation> {
        self.operations.iter_mut().find(|operation| operation.number == number)
    }

    /// Takes the numbers, and what they say about the time since the last.
    fn count(&mut self, status: Status, now: Instant) {
        if let (Some(before), Some(old)) = (self.taken, &self.status) {
            let seconds = now.duration_since(before).as_secs_f64();
            // Two that came together say nothing of a rate.
            if seconds < 0.01 {
                return;
            }
            let of = |status: &Status, names: &[&str]| -> u64 {
                names.iter().filter_map(|name| status.counters.get(*name)).sum()
            };
            let rate = |names: &[&str]| of(&status, names).saturating_sub(of(old, names)) as f64 / seconds;
            self.rates.push_back(Rates {
                datagrams_in: rate(&["datagrams_in"]),
                datagrams_out: rate(&["datagrams_out"]),
                bytes_in: rate(&["socket_bytes_in"]),
                bytes_out: rate(&["socket_bytes_out"]),
                operations: rate(&["operations_started"]),
                dropped: rate(&dropped(&status)),
            });
            if self.rates.len() > RATES {
                self.rates.pop_front();
            }
        }
        self.taken = Some(now);
        self.status = Some(status);
    }

    /// The operation that is looked at.
    pub(super) fn shown(&self) -> Option<&Operation> {
        self.place().and_then(|place| self.operations.get(place))
    }

    /// Its place in the list.
    pub(super) fn place(&self) -> Option<usize> {
        let chosen = self.chosen.and_then(|number| self.operations.iter().position(|one| one.number == number));
        chosen.or(if self.operations.is_empty() { None } else { Some(0) })
    }

    /// Moves in the list that is chosen.
    pub(super) fn move_by(&mut self, lines: isize) {
        match self.pane {
            Pane::Contacts => {
                let last = self.peers.as_ref().map_or(0, Vec::len).saturating_sub(1);
                self.scrolled = self.scrolled.saturating_add_signed(lines).min(last);
            }
            Pane::Operations => {
                let last = self.operations.len().saturating_sub(1);
                let place = self.place().unwrap_or(0).saturating_add_signed(lines).min(last);
                // At the top one follows what is new.
                self.chosen = if place == 0 { None } else { self.operations.get(place).map(|one| one.number) };
            }
        }
    }
}

/// The counters of datagrams that came to nothing.
fn dropped(status: &Status) -> Vec<&str> {
    let is_drop = |name: &&str| name.starts_with("dropped_") || *name == "socket_send_errors";
    status.counters.keys().map(String::as_str).filter(is_drop).collect()
}
