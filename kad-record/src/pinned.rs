//! Values that operations need although the store does not have them.

use std::collections::HashMap;

use kad_upkeep::{Aside, copy_part};
use kad_wire::Digest;

/// Reference-counted values by digest. A recorded node and its replay keep the same ones.
pub struct Pinned<B>(HashMap<Digest, (B, usize)>);

impl<B> Default for Pinned<B> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<B: AsRef<[u8]>> Pinned<B> {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a reference to a value.
    pub fn pin(&mut self, digest: Digest, bytes: B) {
        self.0.entry(digest).or_insert((bytes, 0)).1 += 1;
    }

    /// Removes a reference from a value.
    pub fn unpin(&mut self, digest: &Digest) {
        if let Some((_, users)) = self.0.get_mut(digest) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(digest);
            }
        }
    }
}

impl<B: AsRef<[u8]>> Aside for Pinned<B> {
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let (bytes, _) = self.0.get(digest)?;
        Some(copy_part(bytes.as_ref(), offset, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_until_its_last_user_is_done() {
        let (mut pinned, digest, mut out) = (Pinned::default(), Digest([7; 16]), [0; 4]);
        pinned.pin(digest, b"abcdef");
        pinned.pin(digest, b"abcdef");
        pinned.unpin(&digest);
        assert_eq!((pinned.read(&digest, 4, &mut out), &out[..2]), (Some(2), &b"ef"[..]));
        assert_eq!(pinned.read(&digest, 99, &mut out), Some(0));
        pinned.unpin(&digest);
        assert_eq!((pinned.read(&digest, 0, &mut out), pinned.len()), (None, 0));
    }
}
