//! See the module `stores` of the library.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kad_fuzz::stores::run(data));

#[cfg(not(fuzzing))]
fn main() {
    kad_fuzz::replay(kad_fuzz::stores::run);
}
