//! Memory of large values that were handed out, used again for the next ones.
//!
//! A value is written by a worker's thread and dropped by its caller's. To an allocator that is the worst case: memory of one
//! thread that another gives back, again and again, and pages that are returned to the system and fetched anew.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Values that are worth it, in bytes.
const LARGE: usize = 4 << 10;
/// Memory of larger values is given back at once.
const LARGEST: usize = 64 << 10;
/// How many values' memory is kept at the most, for all nodes of the process.
const KEPT: usize = 128;

/// Memory that no value is in.
static IDLE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A copy of a value, in used memory if there is some.
pub(crate) fn copy(value: &[u8]) -> Bytes {
    if !(LARGE..=LARGEST).contains(&value.len()) {
        return Bytes::copy_from_slice(value);
    }
    let mut memory = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    memory.clear();
    memory.extend_from_slice(value);
    Bytes::from_owner(Lent(memory))
}

/// Memory that a value is in, until its last reader is gone.
struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && self.0.capacity() <= 2 * LARGEST {
            idle.push(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were_whatever_memory_they_are_in() {
        for round in 0..3u8 {
            let values: Vec<Vec<u8>> =
                [0, 1, LARGE - 1, LARGE, 20_000, LARGEST, LARGEST + 1].map(|len| vec![round; len]).into();
            let copies: Vec<Bytes> = values.iter().map(|value| copy(value)).collect();
            let kept = copies.clone();
            drop(copies);
            assert!(kept.iter().zip(&values).all(|(copy, value)| copy == value));
        }
        let many: Vec<Bytes> = (0..2 * KEPT).map(|_| copy(&[7; LARGE])).collect();
        drop(many);
        assert!((1..=KEPT).contains(&IDLE.lock().unwrap().len()), "as much as is worth keeping");
    }
}
