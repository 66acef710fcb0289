//! Clocks that jump: while a host sleeps one of them stands still, and when it wakes another may be set.

use std::time::{Duration, Instant as Monotonic, SystemTime};

use kad_wire::Instant;

use crate::clock::NodeClock;

/// How often clocks are compared where nobody says that one was set.
const POLL: Duration = Duration::from_secs(2);
/// Clocks that have moved apart by less than this have not jumped: a busy host is late, and clocks are corrected.
const LEAST: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct Jumps {
    clock: NodeClock,
    alarm: Alarm,
    seen: Seen,
}

/// What the clocks said.
#[derive(Clone, Copy)]
struct Seen {
    node: Instant,
    monotonic: Monotonic,
    wall: SystemTime,
}

impl Jumps {
    pub(super) fn new(clock: NodeClock) -> Self {
        let alarm = Alarm::new(&clock);
        Self { seen: Seen::now(&clock), clock, alarm }
    }

    /// Waits for a jump, and returns its length.
    pub(super) async fn next(&mut self) -> Duration {
        loop {
            self.alarm.next().await;
            let before = std::mem::replace(&mut self.seen, Seen::now(&self.clock));
            let jump = self.seen.jump_since(&before, self.alarm.polls());
            if jump >= LEAST {
                return jump;
            }
        }
    }
}

impl Seen {
    fn now(clock: &NodeClock) -> Self {
        Self { node: clock.now(), monotonic: Monotonic::now(), wall: SystemTime::now() }
    }

    /// How far the clocks have moved apart. Where the monotonic one goes on in a host that sleeps, it is `late`, if it is polled.
    fn jump_since(&self, before: &Self, polled: Option<Duration>) -> Duration {
        let node = self.node.saturating_since(before.node);
        let asleep = node.saturating_sub(self.monotonic.saturating_duration_since(before.monotonic));
        let late = polled.map_or(Duration::ZERO, |interval| node.saturating_sub(interval));
        // A virtual machine that was paused sees it only when its wall clock is set.
        let paused = self.wall.duration_since(before.wall).unwrap_or_default().saturating_sub(node);
        asleep.max(late).max(paused)
    }
}

/// When clocks are to be compared.
enum Alarm {
    /// When the system says that the wall clock has jumped, which it does whenever it wakes.
    #[cfg(target_os = "linux")]
    Told(linux::WallClock),
    Polled,
}

impl Alarm {
    fn new(clock: &NodeClock) -> Self {
        #[cfg(target_os = "linux")]
        if clock.is_systems() {
            match linux::WallClock::watch() {
                Ok(wall) => return Self::Told(wall),
                Err(error) => tracing::debug!(%error, "clocks are compared now and then"),
            }
        }
        let _ = clock;
        Self::Polled
    }

    async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Told(wall) = self {
            match wall.jumped().await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "clocks are compared now and then"),
            }
            *self = Self::Polled;
        }
        tokio::time::sleep(POLL).await;
    }

    /// How often it says so by itself.
    const fn polls(&self) -> Option<Duration> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(_) => None,
            Self::Polled => Some(POLL),
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd as _;

    use nix::libc::ECANCELED;
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::net::unix::pipe::Receiver;

    /// A timer on the wall clock that the system cancels when that clock jumps (timerfd_create(2)).
    pub(super) struct WallClock {
        timer: TimerFd,
        /// The same timer, for the runtime: it is read like a pipe.
        events: Receiver,
    }

    impl WallClock {
        pub(super) fn watch() -> io::Result<Self> {
            let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            let events = Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
            let clock = Self { timer, events };
            clock.arm()?;
            Ok(clock)
        }

        fn arm(&self) -> nix::Result<()> {
            let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            self.timer.set(Expiration::OneShot(TimeSpec::new(nix::libc::time_t::MAX, 0)), flags)
        }

        /// Waits until the wall clock has jumped.
        pub(super) async fn jumped(&self) -> io::Result<()> {
            loop {
                self.events.readable().await?;
                match self.events.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.raw_os_error() != Some(ECANCELED) => return Err(error),
                    _ => return Ok(self.arm()?),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(node_s: u64, monotonic_s: u64, wall_s: u64) -> Seen {
        static BEGIN: std::sync::LazyLock<Monotonic> = std::sync::LazyLock::new(Monotonic::now);
        Seen {
            node: Instant::from_micros(node_s * 1_000_000),
            monotonic: *BEGIN + Duration::from_secs(monotonic_s),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + wall_s),
        }
    }

    #[test]
    fn clocks_that_go_on_together_have_not_jumped_and_others_have() {
        let (begin, polled) = (seen(0, 0, 0), Some(POLL));
        let jump = |node, monotonic, wall, polled| seen(node, monotonic, wall).jump_since(&begin, polled).as_secs();
        assert_eq!(jump(7200, 7200, 7200, None), 0, "nobody asked for long");
        assert_eq!(jump(3602, 2, 3602, None), 3600, "asleep, by the clock that stood still");
        assert_eq!(jump(3602, 3602, 3602, polled), 3600, "asleep, by the alarm that came late");
        assert_eq!(jump(2, 2, 3602, None), 3600, "paused, by the wall clock");
        assert_eq!(jump(2, 2, 2, polled), 0);
        assert!(jump(3, 3, 3, polled) < LEAST.as_secs(), "busy");
        let back = Seen { wall: SystemTime::UNIX_EPOCH, ..seen(2, 2, 0) };
        assert_eq!(back.jump_since(&begin, polled), Duration::ZERO, "the wall clock was set back");
    }
}
