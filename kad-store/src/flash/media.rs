//! Adapts a blocking flash to the library's asynchronous traits, and reads back every write and erase.

use core::cell::Cell;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};
use embedded_storage_async::nor_flash as wanted;

use super::FlashError;

/// Bytes to read back at once: a multiple of every word size that the library takes.
const READ_BACK_LEN: usize = 64;

/// Why a write or an erase failed.
#[derive(Debug)]
pub(crate) enum MediaError<E> {
    Flash(E),
    /// The bytes read back differently.
    Mismatch,
}

impl<E: NorFlashError> NorFlashError for MediaError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::Mismatch => NorFlashErrorKind::Other,
        }
    }
}

/// A blocking flash whose futures are always ready. Reads back every write and erase: an erase that a power cut has torn may look
/// erased at both ends, and worn cells report no error.
pub(crate) struct Media<'c, F> {
    pub(crate) flash: F,
    /// The address of the last read, from which a scan learns the page of an item.
    pub(crate) seen: Option<&'c Cell<u32>>,
    /// An erase failed, so the page may hold anything, which the library must not take for entries. All writes fail until the store
    /// is opened anew, which finishes the erase before the library reads.
    pub(crate) halted: bool,
}

impl<'c, F> Media<'c, F> {
    pub(crate) const fn new(flash: F, seen: Option<&'c Cell<u32>>) -> Self {
        Self { flash, seen, halted: false }
    }
}

impl<F: NorFlash> Media<'_, F> {
    const WORD: usize = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };

    /// Returns whether the flash from `from` to `to`, both multiples of a word, holds the bytes that `expected` returns.
    pub(crate) fn holds(
        &mut self,
        from: u32,
        to: u32,
        expected: impl Fn(usize) -> u8,
    ) -> Result<bool, MediaError<F::Error>> {
        let (mut buffer, mut at) = ([0; READ_BACK_LEN], from);
        while at < to {
            let len = READ_BACK_LEN.min((to - at) as usize);
            let part = &mut buffer[..len];
            self.flash.read(at, part).map_err(MediaError::Flash)?;
            let done = (at - from) as usize;
            if part.iter().enumerate().any(|(index, byte)| *byte != expected(done + index)) {
                return Ok(false);
            }
            at += len as u32;
        }
        Ok(true)
    }

    pub(crate) fn is_blank(&mut self, from: u32, to: u32) -> Result<bool, MediaError<F::Error>> {
        self.holds(from, to, |_| 0xff)
    }

    pub(crate) fn erase_now(&mut self, from: u32, to: u32) -> Result<(), MediaError<F::Error>> {
        if self.halted {
            return Err(MediaError::Mismatch);
        }
        self.halted = true;
        self.flash.erase(from, to).map_err(MediaError::Flash)?;
        self.halted = !self.is_blank(from, to)?;
        if self.halted { Err(MediaError::Mismatch) } else { Ok(()) }
    }

    pub(crate) fn write_now(&mut self, offset: u32, bytes: &[u8]) -> Result<(), MediaError<F::Error>> {
        if self.halted {
            return Err(MediaError::Mismatch);
        }
        self.flash.write(offset, bytes).map_err(MediaError::Flash)?;
        let expected = |index| bytes.get(index).copied().unwrap_or_default();
        match self.holds(offset, offset + bytes.len() as u32, expected)? {
            true => Ok(()),
            false => Err(MediaError::Mismatch),
        }
    }

    /// Returns whether a page's first and last word are marked. As the library reads it, a mark is at least four zero bits.
    pub(crate) fn marks(&mut self, from: u32, to: u32) -> Result<(bool, bool), MediaError<F::Error>> {
        let mut marked = |at| {
            let mut buffer = [0; READ_BACK_LEN];
            let word = &mut buffer[..F::READ_SIZE.min(READ_BACK_LEN)];
            self.flash.read(at, word).map_err(MediaError::Flash)?;
            Ok(word.iter().map(|byte| byte.count_zeros()).sum::<u32>() >= 4)
        };
        Ok((marked(from)?, marked(to - F::READ_SIZE as u32)?))
    }
}

impl<F: NorFlash> wanted::ErrorType for Media<'_, F> {
    type Error = MediaError<F::Error>;
}

impl<F: NorFlash> wanted::ReadNorFlash for Media<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        if let Some(seen) = self.seen {
            seen.set(offset);
        }
        self.flash.read(offset, bytes).map_err(MediaError::Flash)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash> wanted::NorFlash for Media<'_, F> {
    // Every word that is written must be readable by itself.
    const WRITE_SIZE: usize = Self::WORD;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.erase_now(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.write_now(offset, bytes)
    }
}

/// Polls a future of the library once: a blocking flash makes it ready.
///
/// # Errors
/// The library's error, or [`FlashError::NotReady`].
pub(crate) fn ready<T, E>(
    future: impl Future<Output = Result<T, sequential_storage::Error<MediaError<E>>>>,
) -> Result<T, FlashError<E>> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map_err(FlashError::from),
        Poll::Pending => Err(FlashError::NotReady),
    }
}
