//! The example does what it says.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn two_who_run_it_see_each_other() {
    let start = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_who-is-here"));
        command.args(arguments).stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let mut ann = start(&["ann"]);
    let mut lines = BufReader::new(ann.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    let address = first.rsplit(' ').next().expect("an address");
    let bob = start(&["bob", address]).wait_with_output().expect("it ends");
    let seen = String::from_utf8_lossy(&bob.stdout).into_owned();
    assert!(bob.status.success() && seen.contains("2 here: ann bob, on 2 nodes"), "{seen}");
    assert!(lines.any(|line| line.is_ok_and(|line| line.starts_with("2 here: ann bob"))));
    assert!(ann.wait().expect("it ends").success());
}
