//! Leaving: what others have asked ends, the upkeep hands over and says goodbye, and then the worker stops.

use kad_record::Input;

use super::Worker;
use crate::tasks::Answer;

/// Those who wait for the end. They are told when the worker is dropped.
#[derive(Default)]
pub(super) struct Leaving {
    answers: Vec<Answer<()>>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for answer in self.answers.drain(..) {
            let _ = answer.send(Ok(()));
        }
    }
}

impl Worker {
    /// Begins to leave, or lets one more wait for it.
    pub(super) fn leave(&mut self, answer: Answer<()>) {
        self.leaving.answers.push(answer);
        if self.upkeep.is_leaving() {
            return;
        }
        for operation in self.tasks.drop_calls() {
            self.cancel_operation(operation);
        }
        // A client holds nothing for others: there is nothing to hand over.
        let now = self.now();
        let until = if self.parts.serves { now + self.parts.leave_timeout } else { now };
        self.upkeep.leave(until);
        self.note(now, || Input::Leave { until });
    }
}
