//! What the fuzz targets do. Each module is one target: its `run` takes any bytes, and panics if something is not as it must
//! be. The same functions run under libFuzzer (`fuzz_targets/`), in the stable tests (`tests/regressions.rs`), and by hand.
#![forbid(unsafe_code)]

pub mod decode;
mod forge;
mod ledger;
mod member;
pub mod node;
pub mod recording;
mod script;
pub mod seeds;
pub mod stores;
pub mod transfers;
mod values;
mod world;

/// A target: its name, which is also that of its directories, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. A new one is a line here, a module, and a file in `fuzz_targets`.
pub const TARGETS: [Target; 5] = [
    ("decode", decode::run),
    ("node", node::run),
    ("transfers", transfers::run),
    ("stores", stores::run),
    ("recording", recording::run),
];

/// Runs a target on each file that is named on the command line: how a finding is looked at without a fuzzer.
pub fn replay(run: fn(&[u8])) {
    let mut files = 0;
    for path in std::env::args_os().skip(1) {
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}", path.display());
        run(&input);
        files += 1;
    }
    println!("{files} inputs, nothing found");
}
