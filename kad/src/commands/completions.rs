//! `kad completions`

use clap::CommandFactory as _;

use crate::args::{Args, Completions};
use crate::error::Failure;
use crate::output;

pub(crate) fn run(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "kad", &mut script);
    output::bytes(&script)
}
