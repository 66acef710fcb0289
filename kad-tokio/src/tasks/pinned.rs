//! Values that operations still need although the store does not have them.

use std::collections::HashMap;

use bytes::Bytes;
use kad_upkeep::Aside;
use kad_wire::Digest;

/// Values by their digest, each for as long as somebody needs it.
#[derive(Default)]
pub(crate) struct Pinned(HashMap<Digest, (Bytes, usize)>);

impl Pinned {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn pin(&mut self, digest: Digest, bytes: Bytes) {
        self.0.entry(digest).or_insert((bytes, 0)).1 += 1;
    }

    pub(crate) fn unpin(&mut self, digest: &Digest) {
        if let Some((_, users)) = self.0.get_mut(digest) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(digest);
            }
        }
    }
}

impl Aside for Pinned {
    fn read(&self, digest: &Digest, offset: u32, out: &mut [u8]) -> Option<usize> {
        let rest = self.0.get(digest)?.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_until_its_last_user_is_done() {
        let (mut pinned, digest, mut out) = (Pinned::default(), Digest([7; 16]), [0; 4]);
        pinned.pin(digest, Bytes::from_static(b"abcdef"));
        pinned.pin(digest, Bytes::from_static(b"abcdef"));
        pinned.unpin(&digest);
        assert_eq!((pinned.read(&digest, 4, &mut out), &out[..2]), (Some(2), &b"ef"[..]));
        assert_eq!(pinned.read(&digest, 99, &mut out), Some(0));
        pinned.unpin(&digest);
        assert_eq!((pinned.read(&digest, 0, &mut out), pinned.len()), (None, 0));
    }
}
