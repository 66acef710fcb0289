//! Leaving: what others have asked ends, the upkeep hands over and says goodbye, and then the worker stops.

use kad_record::Input;

use super::Worker;
use crate::error::Error;

impl Worker {
    /// Begins to leave, unless that is under way.
    pub(super) fn leave(&mut self) {
        if self.upkeep.is_leaving() {
            return;
        }
        for (_, waiting) in std::mem::take(&mut self.waiting).into_iter().chain(std::mem::take(&mut self.unsettled)) {
            waiting.request.refuse(Error::Closed);
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
