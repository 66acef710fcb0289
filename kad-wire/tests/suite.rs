//! The tests of the wire format, in one program, because linking takes longer than running. Add a new test file here.

mod arbitrary;
mod golden;
mod properties;
mod sizes;
