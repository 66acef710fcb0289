//! The log: plain text lines, or defmt frames. Both go to the emulator's standard output.
//!
//! A format string may hold `{}` for integers, booleans, strings and what is wrapped in [`Shown`], which is what both
//! ways have in common.
#![forbid(unsafe_code)]

use core::fmt;

/// Wraps something to be logged as its `Display` says.
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<T: fmt::Display> defmt::Format for Shown<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(&self.0));
    }
}

/// Logs a failure.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! error { ($($arguments:tt)*) => { defmt::error!($($arguments)*) } }

/// Logs something that an operator should know.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! warn { ($($arguments:tt)*) => { defmt::warn!($($arguments)*) } }

/// Logs what happens.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! info { ($($arguments:tt)*) => { defmt::info!($($arguments)*) } }

/// Logs a failure.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! error { ($($arguments:tt)*) => { $crate::log::line("ERROR", format_args!($($arguments)*)) } }

/// Logs something that an operator should know.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! warn { ($($arguments:tt)*) => { $crate::log::line("WARN", format_args!($($arguments)*)) } }

/// Logs what happens.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! info { ($($arguments:tt)*) => { $crate::log::line("INFO", format_args!($($arguments)*)) } }

/// Prints one line, of which more than [`LINE_MAX`] bytes are cut off. To be used through the macros only.
#[cfg(all(target_os = "none", not(feature = "defmt")))]
#[doc(hidden)]
pub fn line(level: &str, text: fmt::Arguments<'_>) {
    use core::fmt::Write;

    let now = embassy_time_driver::now();
    let mut line = heapless::String::<LINE_MAX>::new();
    // An error says that the line is full.
    let _ = write!(line, "{}.{:06} {level} {text}", now / 1_000_000, now % 1_000_000);
    crate::semihosting::print(&line);
    crate::semihosting::print("\n");
}

/// Bytes of a line at the most: it is put together on the stack, so that the emulator is called once and not per piece.
#[cfg(all(target_os = "none", not(feature = "defmt")))]
const LINE_MAX: usize = 200;

#[cfg(all(target_os = "none", feature = "defmt"))]
mod frames {
    use defmt_semihosting as _;

    defmt::timestamp!("{=u64:us}", embassy_time_driver::now());
}
