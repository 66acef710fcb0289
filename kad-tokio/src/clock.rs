//! The clock of a node.

use std::sync::Arc;
use std::time::Duration;

use kad_wire::Instant;

/// The node's time when it is started.
pub(crate) const FIRST: Instant = Instant::from_micros(1);

/// A clock that a node goes by: see [`Builder::clock`](crate::Builder::clock).
pub trait Clock: Send + Sync {
    /// Returns the time since a moment before the node was started. It never goes back, and goes on while the host sleeps:
    /// otherwise values would outlive their lifetimes by as much.
    fn elapsed(&self) -> Duration;
}

/// The system's clock that goes on while the host sleeps.
#[derive(Debug)]
pub(crate) struct SystemClock {
    #[cfg(not(unix))]
    started: std::time::Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(not(unix))]
            started: std::time::Instant::now(),
        }
    }
}

#[cfg(unix)]
impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        use nix::time::{ClockId, clock_gettime};
        // The monotonic clock of Linux stands still while the host sleeps; that of Apple's systems goes on.
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
        const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
        const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
        // It fails for clocks that a system does not have, and this one it has.
        clock_gettime(CLOCK).map(Duration::from).unwrap_or_default()
    }
}

#[cfg(not(unix))]
impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        // That of Windows counts from when the system was started, sleep included.
        self.started.elapsed()
    }
}

/// A node's time by a clock. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NodeClock {
    clock: Arc<dyn Clock>,
    started: Duration,
    is_systems: bool,
}

impl NodeClock {
    /// The time of a node that is started now.
    pub(crate) fn start(clock: Option<Arc<dyn Clock>>) -> Self {
        let is_systems = clock.is_none();
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        Self { started: clock.elapsed(), clock, is_systems }
    }

    pub(crate) fn now(&self) -> Instant {
        FIRST + self.uptime()
    }

    /// How long ago the node was started.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.started)
    }

    /// Whether the system says by itself when it jumps.
    pub(crate) fn is_systems(&self) -> bool {
        self.is_systems
    }
}

impl std::fmt::Debug for NodeClock {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_tuple("NodeClock").field(&self.uptime()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_clock_goes_on_with_the_others() {
        let clock = NodeClock::start(None);
        let (begin, at) = (std::time::Instant::now(), clock.now());
        std::thread::sleep(Duration::from_millis(20));
        let passed = clock.now().saturating_since(at);
        assert!(
            passed >= Duration::from_millis(20) && passed <= begin.elapsed() + Duration::from_millis(1),
            "{passed:?}"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_the_one_that_counts_sleep() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
        assert!((SystemClock::new().elapsed().as_secs_f64() - uptime).abs() < 1.0, "since the system was started");
    }
}
