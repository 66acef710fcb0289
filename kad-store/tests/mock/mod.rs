//! A NOR flash for tests: it checks the rules of access, counts operations, and loses power when told to.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase};
use embedded_storage::nor_flash::{check_read, check_write};

/// A small generator: xorshift64*.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    pub fn byte(&mut self) -> u8 {
        self.roll(256) as u8
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MockError {
    Kind(NorFlashErrorKind),
    /// A word was written that was not erased, with anything but zeros.
    NotErased,
    PowerIsOff,
    Worn,
}

impl NorFlashError for MockError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// `READ` and `WRITE` are the sizes of its words, `ERASE` that of its sectors.
#[derive(Clone)]
pub struct MockFlash<const READ: usize, const WRITE: usize, const ERASE: usize> {
    pub bytes: Vec<u8>,
    pub writes: u64,
    pub written_bytes: u64,
    /// Erases of each sector.
    pub erases: Vec<u64>,
    /// Writes to words that were not erased.
    pub offences: u64,
    /// Number of operations before the one at which power fails.
    pub until_cut: Option<u64>,
    pub off: bool,
    /// Every write and erase fails, as if the flash were write-protected.
    pub stuck: bool,
    /// Words that writes do not change, as if worn.
    pub worn: bool,
    /// Number of erases before one fails, torn, with power on.
    pub until_failed_erase: Option<u64>,
    pub dice: Dice,
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> MockFlash<READ, WRITE, ERASE> {
    pub fn new(sectors: usize) -> Self {
        Self {
            bytes: vec![0xff; sectors * ERASE],
            writes: 0,
            written_bytes: 0,
            erases: vec![0; sectors],
            offences: 0,
            until_cut: None,
            off: false,
            stuck: false,
            worn: false,
            until_failed_erase: None,
            dice: Dice(0x5eed),
        }
    }

    pub fn reboot(&mut self) {
        (self.off, self.until_cut) = (false, None);
    }

    pub fn operations(&self) -> u64 {
        self.writes + self.erases.iter().sum::<u64>()
    }

    /// Counts an operation and returns whether power fails at it.
    fn cut(&mut self) -> bool {
        self.off = self.until_cut == Some(0);
        self.until_cut = self.until_cut.map(|left| left.saturating_sub(1));
        self.off
    }

    /// Tears a write: writes the first words and some bits of the next one, or some bits of all.
    fn tear_write(&mut self, offset: usize, data: &[u8]) {
        let words = data.len() / WRITE;
        let torn = self.dice.roll(words as u64 + 1) as usize;
        let anywhere = self.dice.roll(3) == 0;
        for word in 0..words {
            // All bits of the word, none, or some.
            let whole = match anywhere {
                false if word == torn => None,
                false => Some(word < torn),
                true => [Some(true), Some(false), None][self.dice.roll(3) as usize],
            };
            let part = word * WRITE..(word + 1) * WRITE;
            for (byte, new) in self.bytes[offset..][part.clone()].iter_mut().zip(&data[part]) {
                let kept = match whole {
                    Some(true) => 0,
                    Some(false) => 0xff,
                    None => self.dice.byte(),
                };
                *byte &= new | kept;
            }
        }
    }

    /// Tears an erase: it began at either end, or everywhere with only some bits erased.
    fn tear_erase(&mut self, from: usize, to: usize) {
        let torn = from + self.dice.roll((to - from) as u64 + 1) as usize;
        let (kind, rare) = (self.dice.roll(4), self.dice.roll(2) == 0);
        for at in from..to {
            let flipped = match kind {
                0 if at < torn => 0xff,
                1 if at >= torn => 0xff,
                2 if !rare || self.dice.roll(200) == 0 => self.dice.byte(),
                // All but a few bits.
                3 if self.dice.roll(500) != 0 => 0xff,
                _ => 0,
            };
            self.bytes[at] |= flipped;
        }
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ErrorType for MockFlash<READ, WRITE, ERASE> {
    type Error = MockError;
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ReadNorFlash for MockFlash<READ, WRITE, ERASE> {
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), MockError> {
        if self.off {
            return Err(MockError::PowerIsOff);
        }
        check_read(self, offset, bytes.len()).map_err(MockError::Kind)?;
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> NorFlash for MockFlash<READ, WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), MockError> {
        if self.off {
            return Err(MockError::PowerIsOff);
        }
        check_erase(self, from, to).map_err(MockError::Kind)?;
        if self.stuck {
            return Err(MockError::Worn);
        }
        for sector in from as usize / ERASE..to as usize / ERASE {
            self.erases[sector] += 1;
        }
        let (from, to) = (from as usize, to as usize);
        if self.cut() {
            self.tear_erase(from, to);
            return Err(MockError::PowerIsOff);
        }
        let fails = self.until_failed_erase == Some(0);
        self.until_failed_erase = self.until_failed_erase.and_then(|left| left.checked_sub(1));
        if fails {
            self.tear_erase(from, to);
            return Err(MockError::Worn);
        }
        self.bytes[from..to].fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, data: &[u8]) -> Result<(), MockError> {
        if self.off {
            return Err(MockError::PowerIsOff);
        }
        check_write(self, offset, data.len()).map_err(MockError::Kind)?;
        if self.stuck {
            return Err(MockError::Worn);
        }
        let start = offset as usize;
        // A word may be written twice only with zeros, as on flash with error correction.
        let old = self.bytes[start..][..data.len()].chunks(WRITE);
        let twice = |(old, new): (&[u8], &[u8])| old.iter().any(|b| *b != 0xff) && new.iter().any(|b| *b != 0);
        if old.zip(data.chunks(WRITE)).any(twice) {
            self.offences += 1;
            return Err(MockError::NotErased);
        }
        self.writes += 1;
        self.written_bytes += data.len() as u64;
        if self.cut() {
            self.tear_write(start, data);
            return Err(MockError::PowerIsOff);
        }
        if self.worn {
            return Ok(());
        }
        for (byte, new) in self.bytes[start..].iter_mut().zip(data) {
            *byte &= new;
        }
        Ok(())
    }
}
