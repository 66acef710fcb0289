//! What can go wrong with a flash.

use core::fmt;

use super::media::MediaError;

/// Why a flash could not be opened or formatted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The flash's own error.
    Flash(E),
    /// What was written or erased reads back differently: cells are worn out.
    Mismatch,
    /// There is no store of this layout, page count and sector size here: blank flash, somebody else's, or garbage. Nothing was
    /// changed. [`format`](super::FlashStore::format) makes one, and all that is there is lost.
    NotFormatted,
    /// There is a store, and its pages are in no order that a power cut can leave. Formatting helps; the values are lost.
    Corrupt,
    /// The sectors, words or addresses of this flash are not what the store can use: at least three pages, words of at most 32
    /// bytes, sectors of at least 1 KiB, all within the flash.
    Geometry,
    /// More records and blocks were handed in than fit so many pages: see [`blocks_for`](super::FlashStore::blocks_for).
    TooLittleFlash,
    /// The flash holds more items or blocks than were handed in: it was used with more memory before. Nothing was changed.
    TooLittleMemory,
    /// The flash's driver waits for something, which a store cannot.
    NotReady,
    /// The library contradicts itself.
    Internal,
}

impl<E> From<sequential_storage::Error<MediaError<E>>> for FlashError<E> {
    fn from(error: sequential_storage::Error<MediaError<E>>) -> Self {
        use sequential_storage::Error;
        match error {
            Error::Storage { value, .. } => value.into(),
            Error::Corrupted { .. } => Self::Corrupt,
            Error::FullStorage => Self::TooLittleFlash,
            _ => Self::Internal,
        }
    }
}

impl<E> From<MediaError<E>> for FlashError<E> {
    fn from(error: MediaError<E>) -> Self {
        match error {
            MediaError::Flash(error) => Self::Flash(error),
            MediaError::Mismatch => Self::Mismatch,
        }
    }
}

impl<E: fmt::Debug> fmt::Display for FlashError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::Mismatch => f.write_str("the flash did not keep what was written"),
            Self::NotFormatted => f.write_str("there is no flash store here"),
            Self::Corrupt => f.write_str("the flash store is damaged beyond repair"),
            Self::Geometry => f.write_str("the store cannot use a flash of this shape"),
            Self::TooLittleFlash => f.write_str("the flash has less room than the memory that was handed in"),
            Self::TooLittleMemory => f.write_str("the flash holds more than the memory that was handed in"),
            Self::NotReady => f.write_str("the flash's driver waits"),
            Self::Internal => f.write_str("the flash library contradicts itself"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}

/// What went wrong since the store was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FlashHealth {
    /// Writes and reads that the flash refused or got wrong. Whatever needed a write was refused.
    pub failed: u64,
    /// Items that were dropped because the flash has lost a part of them, those included that were found when it was opened.
    pub damaged: u64,
}
