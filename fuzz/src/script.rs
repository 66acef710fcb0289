//! Inputs as lists of steps.
//!
//! A step is always four bytes, so that a byte that is changed, added or taken away changes one step and leaves the others
//! what they were; and a code that means nothing yet is skipped, so that recorded inputs keep their meaning when new steps
//! are invented.

use arbitrary::{Arbitrary, Unstructured};

/// One step: what, and three arguments that it makes sense of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
pub(crate) struct Step {
    pub(crate) code: u8,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) c: u8,
}

/// Reads what comes before the steps, and then the steps to the input's end.
pub(crate) fn read<'a, Head: Arbitrary<'a>>(
    data: &'a [u8],
) -> Option<(Head, impl Iterator<Item = Step> + use<'a, Head>)> {
    let mut rest = Unstructured::new(data);
    let head = Head::arbitrary(&mut rest).ok()?;
    let steps = std::iter::from_fn(move || if rest.is_empty() { None } else { Step::arbitrary(&mut rest).ok() });
    Some((head, steps))
}
