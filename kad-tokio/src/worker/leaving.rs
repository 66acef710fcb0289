//! Leaving: hand over what is held, say goodbye, stop.

use std::time::Instant as Clock;

use kad_wire::StoreMode;

use super::Worker;
use super::calls::refuse;
use crate::command::Answer;
use crate::error::Error;
use crate::tasks::Task;

/// Batches that are handed over at a time.
const WIDTH: usize = 16;
/// Items that are looked at to make batches of.
const WINDOW: usize = 256;
/// How long saying goodbye may take.
const FAREWELL_MS: u64 = 1_000;

/// A node that leaves, and what it still hands over.
pub(super) struct Leaving {
    answers: Vec<Answer<()>>,
    /// The last item of the store that was handed over; `None` when all were.
    cursor: Option<u32>,
    until: Clock,
    farewell: bool,
}

impl Leaving {
    pub(super) fn until(&self) -> Clock {
        self.until
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for answer in self.answers.drain(..) {
            let _ = answer.send(Ok(()));
        }
    }
}

impl Worker {
    /// Begins to leave. What others have asked of the node ends here.
    pub(super) fn leave(&mut self, answer: Answer<()>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.answers.push(answer);
            return;
        }
        for call in std::mem::take(&mut self.waiting) {
            refuse(call.command, &Error::Closed);
        }
        let now = self.now();
        for operation in self.tasks.drop_calls() {
            self.node().cancel(now, operation);
        }
        // A client holds nothing for others, and nobody counts on it.
        let cursor = (self.parts.serves && self.node().status().contacts > 0).then_some(0);
        let until = Clock::now() + self.parts.leave_timeout;
        self.leaving = Some(Leaving { answers: vec![answer], cursor, until, farewell: false });
    }

    /// Hands the next items over; when all are, or time is up, says goodbye.
    pub(super) fn go_on_leaving(&mut self) {
        let Some(leaving) = &self.leaving else { return };
        if leaving.farewell {
            return;
        }
        let late = leaving.until <= Clock::now();
        let under_way = self.tasks.count(|task| matches!(task, Task::Handover));
        if !late && under_way == 0 && self.leaving.as_ref().is_some_and(|leaving| leaving.cursor.is_some()) {
            self.hand_over();
            return;
        }
        if late || under_way == 0 {
            self.say_goodbye();
        }
    }

    /// Starts to hand over the next window of items.
    fn hand_over(&mut self) {
        let now = self.now();
        let Some(mut cursor) = self.leaving.as_ref().and_then(|leaving| leaving.cursor) else { return };
        let mut items = Vec::new();
        while items.len() < WINDOW
            && let Some(item) = self.parts.store.next_item(now, cursor)
        {
            cursor = item.cursor;
            items.push((item.key, item.header));
        }
        let more = items.len() == WINDOW;
        let until = self.leaving.as_ref().map_or(now, |leaving| self.at(leaving.until));
        for places in self.batches(&items).into_iter().take(WINDOW.max(WIDTH)) {
            let batch: Vec<_> = places.iter().map(|&place| items[place]).collect();
            if let Ok(operation) = self.start(|node, now| node.store(now, until, StoreMode::Handover, 0, &batch)) {
                self.tasks.by_operation.insert(operation, Task::Handover);
            }
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.cursor = more.then_some(cursor);
        }
    }

    fn say_goodbye(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.farewell = true;
        }
        match self.start(|node, now| node.leave(now, now.plus_millis(FAREWELL_MS))) {
            Ok(operation) => {
                self.tasks.by_operation.insert(operation, Task::Leave);
            }
            // Nothing is lost but courtesy: the others notice.
            Err(_) => self.done = true,
        }
    }
}
