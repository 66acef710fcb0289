//! Errors and counters of the flash store.

use core::fmt;

use super::media::MediaError;

/// Why a flash could not be opened or formatted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The flash's own error.
    Flash(E),
    /// A write or an erase reads back differently: cells are worn out.
    Mismatch,
    /// The flash holds no store of this layout, page count and sector size: it is blank, or holds other data. Nothing was changed.
    /// [`format`](super::FlashStore::format) makes an empty store and erases all data there.
    NotFormatted,
    /// The pages of the store are in an order that no power cut can leave. Formatting makes an empty store; the values are lost.
    Corrupt,
    /// The store cannot use this flash: it needs three pages or more, words of at most 32 bytes, and sectors of at least 1 KiB, all
    /// within the flash.
    Geometry,
    /// The pages are too few for so many records and blocks: see [`blocks_for`](super::FlashStore::blocks_for).
    TooLittleFlash,
    /// The flash holds more items or blocks than the memory that was handed in: it was used with more before. Nothing was changed.
    TooLittleMemory,
    /// The flash's driver returned a future that is not ready; the store does not wait.
    NotReady,
    /// A bug in the library underneath.
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
            Self::TooLittleFlash => f.write_str("the flash is too small for the memory that was handed in"),
            Self::TooLittleMemory => f.write_str("the flash holds more than the memory that was handed in"),
            Self::NotReady => f.write_str("the flash's driver is not ready"),
            Self::Internal => f.write_str("the flash library has reported an internal error"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}

/// What went wrong since the store was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FlashHealth {
    /// Writes and reads that failed. Offers that needed such a write were refused.
    pub failed: u64,
    /// Items that were dropped because the flash has lost a part of them, including those found when it was opened.
    pub damaged: u64,
}
