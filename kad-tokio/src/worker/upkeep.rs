//! Passing on what is due: replicating others' items, republishing one's own (paper, section 2.5).

use kad_wire::StoreMode;

use super::Worker;
use crate::tasks::Task;

/// Items that are passed on at a time.
const WIDTH: usize = 4;
/// How long passing one on may take.
const LIMIT_MS: u64 = 30_000;

impl Worker {
    /// Drops what has expired and passes on what is due, a few at a time, and not before the node knows its network.
    pub(super) fn pass_on_what_is_due(&mut self) {
        let now = self.now();
        self.parts.store.expire(now);
        if !self.joining.is_settled() || self.leaving.is_some() || self.node().status().contacts == 0 {
            return;
        }
        while self.tasks.count(|task| matches!(task, Task::Upkeep)) < WIDTH {
            let Some(due) = self.parts.store.poll_due(now) else { return };
            let items = [(due.key, due.header)];
            let started = self.start(|node, now| node.store(now, now.plus_millis(LIMIT_MS), due.mode, 0, &items));
            match started {
                Ok(operation) => {
                    self.tasks.by_operation.insert(operation, Task::Upkeep);
                }
                Err(error) => {
                    let own = due.mode == StoreMode::Publish;
                    tracing::debug!(%error, key = %due.key, own, "passed over until it is due again");
                    return;
                }
            }
        }
    }
}
