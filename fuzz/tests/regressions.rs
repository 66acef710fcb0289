//! Every finding and every seed, on a stable toolchain and without a fuzzer.
//!
//! Run with `KAD_WRITE_SEEDS=1` to write the seeds after they were changed.

use std::fs;
use std::path::{Path, PathBuf};

use kad_fuzz::{TARGETS, seeds};

fn directory(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// The inputs in a directory, in the order of their names. There may be no such directory yet.
fn inputs(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn replay(kind: &str) {
    let mut count = 0;
    for (target, run) in TARGETS {
        for (path, input) in inputs(&directory(kind, target)) {
            // Said only if it fails: which one it was.
            println!("{}", path.display());
            run(&input);
            count += 1;
        }
    }
    assert!(count > 0, "there are no {kind}");
}

#[test]
fn no_finding_comes_back() {
    replay("regressions");
}

#[test]
fn the_seeds_find_nothing() {
    replay("seeds");
}

#[test]
fn the_seeds_are_what_the_program_writes() {
    for (target, _) in TARGETS {
        let directory = directory("seeds", target);
        let written = seeds::of(target);
        assert!(!written.is_empty(), "{target} has no seeds");
        if std::env::var_os("KAD_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&directory).unwrap();
            for (name, bytes) in &written {
                fs::write(directory.join(name), bytes).unwrap();
            }
        }
        for (name, bytes) in &written {
            let read = fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{target}/{name}: {error}"));
            assert_eq!(read, *bytes, "{target}/{name}");
        }
        assert_eq!(inputs(&directory).len(), written.len(), "{target} has seeds that nobody writes");
    }
}

/// Not a fuzzer, but the same harness: some thousand arbitrary inputs wherever the tests run.
#[test]
fn arbitrary_inputs_find_nothing() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40
    };
    for (name, run) in TARGETS {
        for _ in 0..500 {
            let len = roll() % 120;
            let input: Vec<u8> = (0..len).map(|_| roll() as u8).collect();
            // Said only if it fails.
            println!("{name} {input:02x?}");
            run(&input);
        }
    }
}
