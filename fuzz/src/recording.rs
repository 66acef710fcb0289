//! Files that a node has written: a damaged one is read to the damage and no further.

use kad_record::{Error, Reader};

/// Reads a recording.
///
/// # Panics
/// When it has more entries than its length allows.
pub fn run(data: &[u8]) {
    let Ok((mut reader, _)) = Reader::new(data) else { return };
    let mut entries = 0;
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => entries += 1,
            Ok(None) | Err(Error::Damaged { .. }) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(entries * 4 <= data.len(), "every entry has a length of four bytes");
}
