//! Calls to the emulator.

use core::str;

use cortex_m_semihosting::{debug, nr};
use static_cell::ConstStaticCell;

/// Bytes of a command line at the most, with the zero at its end.
const COMMAND_LINE_MAX: usize = 320;

/// The arguments of the program, without its name. To be called once.
pub(crate) fn command_line() -> &'static str {
    static TEXT: ConstStaticCell<[u8; COMMAND_LINE_MAX]> = ConstStaticCell::new([0; COMMAND_LINE_MAX]);

    let text = TEXT.take();
    let mut block = [text.as_mut_ptr() as usize, text.len()];
    // SAFETY: the call writes at most `block[1]` bytes from `block[0]` on, which are those of `text`, and writes the
    // length that it used to `block[1]`. The address of `block` is given as mutable.
    let failed = unsafe { cortex_m_semihosting::syscall1(nr::GET_CMDLINE, (&raw mut block) as usize) } != 0;
    assert!(!failed, "the emulator has no command line, or one of more than {COMMAND_LINE_MAX} bytes");
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = str::from_utf8(&text[..end]).expect("the command line is UTF-8");
    text.split_once(' ').map_or("", |(_name, arguments)| arguments)
}

/// Prints text to the emulator's standard output.
#[cfg(not(feature = "defmt"))]
pub(crate) fn print(text: &str) {
    use core::cell::RefCell;

    use cortex_m_semihosting::hio::{self, HostStream};
    use critical_section::Mutex;

    static OUTPUT: Mutex<RefCell<Option<HostStream>>> = Mutex::new(RefCell::new(None));

    let output = critical_section::with(|cs| {
        let mut output = OUTPUT.borrow_ref_mut(cs);
        if output.is_none() {
            *output = hio::hstdout().ok();
        }
        *output
    });
    if let Some(mut output) = output {
        // If standard output is closed, there is nobody to tell.
        let _ = output.write_all(text.as_bytes());
    }
}

/// Ends the emulator with status 0 or 1.
pub(crate) fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    // The emulator may execute some more instructions until it ends.
    loop {
        cortex_m::asm::nop();
    }
}

/// A panic is logged and ends the program with a failure.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    crate::error!("{}", crate::log::Shown(info));
    exit(false)
}
