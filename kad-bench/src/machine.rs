//! Where figures are from.

use std::fs;

use serde::{Deserialize, Serialize};

/// A machine, and what was run on it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Of the crates.
    pub(crate) version: String,
    /// Processes that wanted to run on average in the minute before, this one not included.
    pub(crate) load: f64,
}

impl Machine {
    /// This machine. What it does not say of itself is "unknown".
    pub(crate) fn here() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Self {
            processor: model.map_or_else(unknown, str::to_owned),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: if kernel.is_empty() { unknown() } else { kernel },
            version: env!("CARGO_PKG_VERSION").into(),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}
