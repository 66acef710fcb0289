//! Reading from and writing to a caller's buffer, without panics or allocation.

use serde::{Deserialize, Serialize};

use crate::DecodeError;

/// Reads a datagram from front to back.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads a run of fixed-width integers: a struct whose wider fields use [`postcard::fixint::le`].
    pub(crate) fn fields<T: Deserialize<'a>>(&mut self) -> Result<T, DecodeError> {
        let (fields, rest) = postcard::take_from_bytes(self.rest).map_err(|_| DecodeError::Malformed)?;
        self.rest = rest;
        Ok(fields)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(array)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Fails unless all bytes were read.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Malformed) }
    }
}

/// Writes to a buffer from front to back. A write that does not fit returns `None` and changes nothing.
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn remaining(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    pub(crate) fn fields<T: Serialize>(&mut self, fields: &T) -> Option<()> {
        let free = self.out.get_mut(self.len..)?;
        let used = postcard::to_slice(fields, free).ok()?.len();
        self.len = self.len.saturating_add(used);
        Some(())
    }

    #[inline(never)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.hole(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    pub(crate) fn zeros(&mut self, count: usize) -> Option<()> {
        self.hole(count)?.fill(0);
        Some(())
    }

    /// Returns the next `N` bytes, for the caller to fill.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.hole(N)?.first_chunk_mut()
    }

    /// Returns the next `len` bytes, for the caller to fill.
    pub(crate) fn hole(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(len)?;
        let hole = self.out.get_mut(self.len..end)?;
        self.len = end;
        Some(hole)
    }

    /// Overwrites earlier bytes.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let written = self.out.get_mut(..self.len).and_then(|written| written.get_mut(at..));
        if let Some(place) = written.and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }
}
