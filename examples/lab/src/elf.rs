//! How much memory a firmware takes, from the sections of its ELF file.

use std::ops::Range;

use crate::Result;

/// Bytes of memory that a firmware takes, without its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Code, constants, and the first values of variables.
    pub flash: u32,
    /// Variables.
    pub ram: u32,
}

/// Where the boards have RAM.
const RAM: Range<u32> = 0x2000_0000..0x4000_0000;
/// Section flag: takes memory.
const SHF_ALLOC: u32 = 2;
/// Section type: all zeros, not in the file.
const SHT_NOBITS: u32 = 8;

/// Reads the sizes from a 32-bit little-endian ELF file.
pub(crate) fn sizes(file: &[u8]) -> Result<Sizes> {
    sections(file).ok_or_else(|| "not a 32-bit little-endian ELF file".to_owned())
}

fn sections(file: &[u8]) -> Option<Sizes> {
    if file.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    // The section headers: where they are, the size of one, and how many there are.
    let (start, size, count) = (u32_at(file, 0x20)?, u16_at(file, 0x2e)?, u16_at(file, 0x30)?);
    let mut sizes = Sizes::default();
    for index in 0..usize::from(count) {
        let header = file.get(start as usize + index * usize::from(size)..)?;
        let (kind, flags, address, len) =
            (u32_at(header, 0x04)?, u32_at(header, 0x08)?, u32_at(header, 0x0c)?, u32_at(header, 0x14)?);
        if flags & SHF_ALLOC == 0 {
            continue;
        }
        // Variables whose first values are not zero are in both.
        sizes.ram += if RAM.contains(&address) { len } else { 0 };
        sizes.flash += if kind == SHT_NOBITS { 0 } else { len };
    }
    Some(sizes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
