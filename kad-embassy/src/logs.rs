//! What the node says of itself: through defmt, through log, or not at all.

macro_rules! say {
    ($level:ident, $($part:expr),+) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($($part),+);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        log::$level!($($part),+);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        { $( let _ = &$part; )+ }
    }};
}

macro_rules! debug {
    ($($part:expr),+) => { crate::logs::say!(debug, $($part),+) };
}

macro_rules! info {
    ($($part:expr),+) => { crate::logs::say!(info, $($part),+) };
}

macro_rules! warning {
    ($($part:expr),+) => { crate::logs::say!(warn, $($part),+) };
}

pub(crate) use {debug, info, say, warning};
