//! Building firmware.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kad_netns::run;

use crate::Result;
use crate::elf::{self, Sizes};
use crate::toolchain::Toolchain;

/// The boards' target.
pub(crate) const TARGET: &str = "thumbv7em-none-eabihf";

/// A firmware that was built.
#[derive(Debug, Clone)]
pub struct Firmware {
    elf: PathBuf,
}

impl Firmware {
    /// Builds an application of `examples/firmware` with so much static RAM; fails if it does not fit.
    pub fn build(application: &str, ram_kib: u32) -> Result<Self> {
        let directory = directory();
        let built = directory.join("target").join(TARGET).join("release").join(application);
        let elf = directory.join("target/lab").join(format!("{application}-{ram_kib}"));
        let fail = |error: std::io::Error| format!("{}: {error}", elf.display());
        fs::create_dir_all(directory.join("target/lab")).map_err(fail)?;
        // Tests run at the same time, and every build leaves its result at the same place.
        let lock = File::create(directory.join("target/lab/lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let mut cargo = Toolchain::find(TARGET)?.cargo(&directory);
        cargo.args(["build", "--locked", "--release", "--bin", application]).env("KAD_RAM_KIB", ram_kib.to_string());
        run(&mut cargo)?;
        // In one step, as the file may be in use.
        fs::copy(&built, elf.with_extension("new")).map_err(fail)?;
        fs::rename(elf.with_extension("new"), &elf).map_err(fail)?;
        Ok(Self { elf })
    }

    /// The ELF file.
    pub fn elf(&self) -> &Path {
        &self.elf
    }

    /// The memory that the firmware takes.
    pub fn sizes(&self) -> Result<Sizes> {
        elf::sizes(&fs::read(&self.elf).map_err(|error| error.to_string())?)
    }
}

fn directory() -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the lab is among the examples");
    examples.join("firmware")
}
