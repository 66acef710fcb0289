//! What the node does for the values that it holds: see the crate `kad-upkeep`.

use kad_record::Input;
use kad_store::Store as _;

use super::Worker;

impl Worker {
    /// Lets the upkeep start what is due, unless the node does not know its network yet.
    pub(super) fn keep_up(&mut self) {
        let now = self.now();
        if !self.is_first() {
            return;
        }
        if !self.joining.is_settled() && !self.upkeep.is_leaving() {
            self.parts.store.expire(now);
            self.note(now, || Input::Expire);
            self.upkeep_at = None;
            self.save();
            return;
        }
        self.upkeep_at = self.upkeep.drive(now, &mut self.parts.slabs.node(), &mut self.parts.store);
        self.note(now, || Input::Upkeep);
        // Nobody was promised anything by it: what was passed on is only noted.
        self.save();
        self.done |= self.upkeep.has_left();
    }
}
