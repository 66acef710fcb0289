//! The steps of an operation: the nodes asked so far, and their answers.

use kad_http::api::{Began, Ended, Progress, Step};
use kad_tokio::Key;
use serde::Serialize;

/// The state of an operation.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    UnderWay,
    Done,
    TimedOut,
    Cancelled,
}

/// An operation of the daemon.
#[derive(Serialize, Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) purpose: String,
    pub(super) key: Key,
    pub(super) state: State,
    /// Milliseconds that it took, or until the last step.
    pub(super) milliseconds: f64,
    /// The nodes that were asked, in order.
    pub(super) steps: Vec<Step>,
    /// The fewest copies on other nodes among the values that were stored, if any were.
    pub(super) copies: Option<usize>,
}

impl Operation {
    pub(super) fn new(began: Began) -> Self {
        let Began { operation, purpose, key } = began;
        let (state, steps) = (State::UnderWay, Vec::new());
        Self { number: operation, purpose, key, state, milliseconds: 0.0, steps, copies: None }
    }

    /// Returns an operation whose beginning was missed.
    pub(super) fn ended(ended: Ended) -> Self {
        let (operation, purpose, key) = (ended.operation, ended.purpose.clone(), ended.key);
        let mut whole = Self::new(Began { operation, purpose, key });
        whole.end(ended);
        whole
    }

    pub(super) fn step(&mut self, progress: Progress) {
        self.milliseconds = progress.after;
        let same = |step: &&mut Step| step.node.id == progress.step.node.id;
        match self.steps.iter_mut().find(same) {
            Some(step) => *step = progress.step,
            None => self.steps.push(progress.step),
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.state = if ended.lookup.timed_out { State::TimedOut } else { State::Done };
        self.milliseconds = ended.lookup.milliseconds;
        self.copies = ended.stored.iter().map(|stored| stored.elsewhere).min();
        self.steps = ended.lookup.trace.into_iter().filter(|step| step.order.is_some()).collect();
        self.steps.sort_by_key(|step| step.order);
    }

    pub(super) fn cancel(&mut self) {
        self.state = State::Cancelled;
    }

    /// Returns its state in a word or two.
    pub(super) fn outcome(&self) -> String {
        match (self.state, self.copies) {
            (State::UnderWay, _) => "...".into(),
            (State::Done, Some(copies)) => format!("{copies} copies"),
            (State::Done, None) => "done".into(),
            (State::TimedOut, _) => "timed out".into(),
            (State::Cancelled, _) => "cancelled".into(),
        }
    }
}
