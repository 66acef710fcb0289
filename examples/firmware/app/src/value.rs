//! Values that boards store: the first bytes of one text that is in flash, so that no RAM is needed for them.

/// Bytes of the largest value.
pub const LEN_MAX: usize = 16 * 1024;

static TEXT: [u8; LEN_MAX] = text();

/// Noise from a xorshift generator: every byte depends on its place.
const fn text() -> [u8; LEN_MAX] {
    let mut text = [0; LEN_MAX];
    let (mut at, mut state) = (0, 0x2545_f491u32);
    while at < LEN_MAX {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        text[at] = (state >> 24) as u8;
        at += 1;
    }
    text
}

/// The value of this length, if there is one.
pub fn of_len(len: usize) -> Option<&'static [u8]> {
    TEXT.get(..len)
}
