//! The clock of embassy-time, from the board's dual timer (Arm's SP804, "CMSDK APB dual timer").
//!
//! The first timer runs freely and is the clock; the second interrupts when the next timeout is due. There is no
//! periodic tick, so that an idle board sleeps, and none can be lost when the emulator is not scheduled for a while.

use core::cell::{Cell, RefCell};
use core::ptr;
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;

/// The timer's clock.
const TIMER_HZ: u64 = 25_000_000;
const TIMER_TICKS_PER_TICK: u64 = TIMER_HZ / TICK_HZ;

/// The longest sleep. The counter must be read before it has gone round, which takes 171 s.
const SLEEP_MAX: u64 = 100 * TICK_HZ;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    elapsed: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

struct Clock {
    /// Ticks of the timer until it was last read.
    elapsed: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

impl Clock {
    fn read(&self, cs: CriticalSection<'_>) -> u64 {
        let elapsed = self.elapsed.borrow(cs);
        // The timer counts down from u32::MAX; the low half of `elapsed` is where it was.
        let since = (!FREE_RUNNING.read(Register::Value)).wrapping_sub(elapsed.get() as u32);
        elapsed.set(elapsed.get() + u64::from(since));
        elapsed.get() / TIMER_TICKS_PER_TICK
    }

    /// Wakes whose time has come, and sets the alarm for the next.
    fn wake_and_arm(&self, cs: CriticalSection<'_>) {
        let mut queue = self.queue.borrow_ref_mut(cs);
        loop {
            let now = self.read(cs);
            let next = queue.next_expiration(now);
            // What is due since `now` needs no alarm.
            let Some(sleep) = next.checked_sub(self.read(cs)).filter(|&sleep| sleep > 0) else { continue };
            ALARM.start_once((sleep.min(SLEEP_MAX) * TIMER_TICKS_PER_TICK) as u32);
            return;
        }
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.read(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let earlier = self.queue.borrow_ref_mut(cs).schedule_wake(at, waker);
            if earlier {
                self.wake_and_arm(cs);
            }
        });
    }
}

/// Starts the clock at zero.
pub(crate) fn start() {
    FREE_RUNNING.start_free_running();
    // Also reads the clock in time if nobody else does.
    critical_section::with(|cs| CLOCK.wake_and_arm(cs));
}

/// The second timer has come to its end.
pub(crate) fn on_interrupt() {
    ALARM.write(Register::IntClr, 1);
    critical_section::with(|cs| CLOCK.wake_and_arm(cs));
}

/// One of the two timers.
struct Timer {
    base: usize,
}

const FREE_RUNNING: Timer = Timer { base: 0x4000_2000 };
const ALARM: Timer = Timer { base: 0x4000_2020 };

/// The registers, as offsets, with the data sheet's names.
#[derive(Clone, Copy)]
enum Register {
    Load = 0x00,
    Value = 0x04,
    Control = 0x08,
    IntClr = 0x0c,
}

/// Bits of `Control`.
const ONE_SHOT: u32 = 1 << 0;
const SIZE_32: u32 = 1 << 1;
const INTERRUPT: u32 = 1 << 5;
const ENABLE: u32 = 1 << 7;

impl Timer {
    /// Counts down from u32::MAX, and goes round.
    fn start_free_running(&self) {
        self.write(Register::Control, 0);
        self.write(Register::Load, u32::MAX);
        self.write(Register::Control, ENABLE | SIZE_32);
    }

    /// Interrupts after so many ticks, in place of what it was told before.
    fn start_once(&self, ticks: u32) {
        self.write(Register::Control, 0);
        self.write(Register::IntClr, 1);
        self.write(Register::Load, ticks);
        self.write(Register::Control, ENABLE | INTERRUPT | SIZE_32 | ONE_SHOT);
    }

    fn read(&self, register: Register) -> u32 {
        // SAFETY: an aligned register of the board's dual timer, which is always there; reading has no side effect.
        unsafe { ptr::read_volatile((self.base + register as usize) as *const u32) }
    }

    fn write(&self, register: Register, value: u32) {
        // SAFETY: an aligned register of the board's dual timer, which is always there. Nothing that is written makes
        // the timer touch memory.
        unsafe { ptr::write_volatile((self.base + register as usize) as *mut u32, value) };
    }
}
