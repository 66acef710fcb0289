//! `kad man`

use std::fs;

use clap::CommandFactory as _;

use crate::args::{Args, Man};
use crate::error::Failure;
use crate::output;

pub(crate) fn run(args: &Man) -> Result<(), Failure> {
    let failure = |source| Failure::File { what: "write manual pages to", path: args.directory.clone(), source };
    fs::create_dir_all(&args.directory).map_err(failure)?;
    clap_mangen::generate_to(Args::command(), &args.directory).map_err(failure)?;
    output::remark(&format!("written: try `man {}`", args.directory.join("kad.1").display()));
    Ok(())
}
