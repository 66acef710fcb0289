//! Answers that mean what they say: no value, unreachable, incomplete, late.
