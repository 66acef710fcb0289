//! How much of the stack was ever used. The start-up code of cortex-m-rt fills it with a known value (its feature
//! `paint-stack`); what still holds that value was never written to.

use core::ptr;

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    /// The lowest address of the stack, from the memory map.
    static mut _stack_end: u32;
    /// The address above the stack.
    static mut _stack_start: u32;
}

/// Bytes of stack there are.
pub fn size() -> usize {
    // The addresses are all that these symbols mean.
    (&raw const _stack_start).addr() - (&raw const _stack_end).addr()
}

/// The stack pointer is where the stack is.
pub(crate) fn contains(stack_pointer: usize) -> bool {
    ((&raw const _stack_end).addr()..=(&raw const _stack_start).addr()).contains(&stack_pointer)
}

/// Bytes of stack that were used at the most so far.
pub fn high_water() -> usize {
    let end = &raw const _stack_end;
    let words = size() / size_of::<u32>();
    // SAFETY: `end` is the first of `words` aligned words of RAM, which the start-up code has filled. The read is
    // volatile as the stack in use changes without the compiler's knowledge.
    let unused = (0..words).take_while(|&index| unsafe { ptr::read_volatile(end.add(index)) } == STACK_PAINT_VALUE);
    size() - unused.count() * size_of::<u32>()
}
