//! The executor's run loop.
//!
//! embassy's own for Cortex-M sleeps with WFE, which QEMU executes as if it were nothing: an idle board would keep a
//! core of the host busy. This one sleeps with WFI.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};

/// Some task is ready to run.
static READY: AtomicBool = AtomicBool::new(false);

/// Called by the executor when a task becomes ready, from tasks and from interrupts.
// SAFETY: embassy-executor asks for this name and this signature, and nobody else defines it: the feature
// `executor-thread` is off.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    READY.store(true, Ordering::Release);
}

/// Not part of [`run`], so that what the start needs of the stack is given back.
#[inline(never)]
fn start(init: impl FnOnce(Spawner), spawner: Spawner) {
    init(spawner);
}

/// Runs tasks for ever; `init` spawns the first.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    let executor = raw::Executor::new(ptr::null_mut());
    // SAFETY: this function never returns, so that the executor lives as long as the program.
    let executor: &'static raw::Executor = unsafe { &*ptr::from_ref(&executor) };
    start(init, executor.spawner());
    loop {
        // SAFETY: only this loop polls, so that no call is inside another.
        unsafe { executor.poll() };
        // A task that becomes ready between the look at `READY` and the sleep must not be missed: interrupts are held
        // back in between. WFI wakes up for them nevertheless.
        critical_section::with(|_| {
            if !READY.swap(false, Ordering::Acquire) {
                cortex_m::asm::wfi();
            }
        });
    }
}
