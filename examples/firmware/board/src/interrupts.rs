//! Interrupts and faults.

use core::arch::naked_asm;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::{lan9118, semihosting, stack_paint, time};

/// The interrupts of the board that are used.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Interrupt {
    DualTimer = 10,
    Ethernet = 13,
}

// SAFETY: the numbers are those of the board, and they do not change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Lets the interrupts through.
pub(crate) fn enable(_nvic: NVIC) {
    for interrupt in [Interrupt::DualTimer, Interrupt::Ethernet] {
        // SAFETY: no critical section is built on this mask, and what the handlers use is ready: clock and device have
        // been started.
        unsafe { NVIC::unmask(interrupt) };
    }
}

/// All interrupts arrive here: without a crate for the chip, cortex-m-rt has no names for them.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    const DUAL_TIMER: i16 = Interrupt::DualTimer as i16;
    const ETHERNET: i16 = Interrupt::Ethernet as i16;
    match number {
        DUAL_TIMER => time::on_interrupt(),
        ETHERNET => lan9118::on_interrupt(),
        _ => panic!("interrupt {number}, which nobody enabled"),
    }
}

/// The start of every fault. The stack may have overflowed, so that nothing can be put on it any more: what follows gets
/// a fresh one.
// SAFETY: cortex-m-rt's vector table takes the function of this name for this exception, and nobody else defines it.
#[unsafe(naked)]
#[unsafe(export_name = "HardFault")]
#[unsafe(link_section = ".HardFault.user")]
unsafe extern "C" fn hard_fault() {
    naked_asm!("mrs r0, msp", "ldr r1, =_stack_start", "msr msp, r1", "b {}", sym report_fault)
}

/// Says what happened, as far as the stack pointer of that moment tells, and ends the program.
extern "C" fn report_fault(stack_pointer: usize) -> ! {
    let overflowed = !stack_paint::contains(stack_pointer);
    crate::error!("{}", if overflowed { "the stack overflowed" } else { "a fault, but not of the stack" });
    semihosting::exit(false)
}
