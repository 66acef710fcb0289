//! See the module `node` of the library.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kad_fuzz::node::run(data));

#[cfg(not(fuzzing))]
fn main() {
    kad_fuzz::replay(kad_fuzz::node::run);
}
