//! Another node with this node's id.

use std::net::SocketAddr;

use super::Worker;

impl Worker {
    /// Logs that there is another node with this node's id: when it is found, and from time to time.
    pub(super) fn warn_of_duplicate(&mut self) {
        let Some(duplicate) = self.node().duplicate() else { return };
        if self.parts.crew.may_warn_of_duplicate(self.parts.clock.uptime()) {
            let (id, address) = (self.node().id(), SocketAddr::from(duplicate.endpoint));
            tracing::warn!(
                %id, %address,
                "another node has this node's id: others reach one of the two at a time. Was its data directory copied? \
                 Stop one, remove the file `id` there, and start it again"
            );
        }
    }
}
