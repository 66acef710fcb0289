//! See the module `recording` of the library.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kad_fuzz::recording::run(data));

#[cfg(not(fuzzing))]
fn main() {
    kad_fuzz::replay(kad_fuzz::recording::run);
}
