//! See the module `decode` of the library.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kad_fuzz::decode::run(data));

#[cfg(not(fuzzing))]
fn main() {
    kad_fuzz::replay(kad_fuzz::decode::run);
}
