//! What a runner and the handles of a node share.

use core::task::Waker;

use embassy_sync::waitqueue::WakerRegistration;
use kad_core::Node;
use kad_store::Store;
use kad_upkeep::{Driver, FullNode, Notify, Request};
use kad_wire::Instant;

use crate::error::Error;
use crate::net::LinkStats;

/// Bootstrap addresses that a node keeps.
pub const BOOTSTRAP: usize = 4;

/// Wakes the task whose call has ended.
pub struct CallWaker(WakerRegistration);

impl CallWaker {
    pub(crate) fn register(&mut self, waker: &Waker) {
        self.0.register(waker);
    }
}

impl Notify for CallWaker {
    const NONE: Self = Self(WakerRegistration::new());

    fn notify(&mut self) {
        self.0.wake();
    }
}

/// A place for a call.
pub type CallSlot = kad_upkeep::CallSlot<CallWaker>;

/// A node, and what drives it.
pub(crate) type NodeDriver<R> = Driver<'static, Node<'static>, &'static mut dyn Store, R, CallWaker>;

/// See the [module](self).
pub(crate) struct Shared {
    pub(crate) driver: NodeDriver<FullNode<BOOTSTRAP>>,
    /// Wakes the task that runs this node.
    pub(crate) runner: WakerRegistration,
    /// What the link counted when it was last looked at.
    pub(crate) link: LinkStats,
}

impl Shared {
    pub(crate) const fn new(driver: NodeDriver<FullNode<BOOTSTRAP>>) -> Self {
        Self { driver, runner: WakerRegistration::new(), link: LinkStats::new() }
    }

    /// Takes a place for a call.
    pub(crate) fn begin(&mut self, request: Request, until: Instant) -> Result<usize, Error> {
        let index = self.driver.begin(request, until)?;
        self.runner.wake();
        Ok(index)
    }

    /// Frees the place of a call whose caller has its answer, or has gone away.
    pub(crate) fn end_call(&mut self, now: Instant, index: usize) {
        self.driver.end_call(now, index);
        self.runner.wake();
    }
}
