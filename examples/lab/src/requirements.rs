//! What this machine must have.

use std::path::Path;

use crate::firmware::TARGET;
use crate::toolchain::Toolchain;

/// This machine has what a lab needs. If not, says what is missing, so that a test can end without a result; with
/// `KAD_LAB=require` in the environment it panics instead.
pub fn available() -> bool {
    let missing = missing();
    if missing.is_empty() {
        return true;
    }
    let message = format!("no lab on this machine: {}", missing.join("; "));
    assert!(std::env::var("KAD_LAB").as_deref() != Ok("require"), "{message}");
    eprintln!("left out: {message}");
    false
}

fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("network namespaces need root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("the kernel has no /dev/net/tun".to_owned());
    }
    let programs =
        [("ip", "iproute2"), ("nft", "nftables"), ("dnsmasq", "dnsmasq-base"), ("qemu-system-arm", "qemu-system-arm")];
    for (program, package) in programs {
        if !is_installed(program) {
            missing.push(format!("`{program}` is not installed (Debian: {package})"));
        }
    }
    missing.extend(Toolchain::find(TARGET).err());
    missing
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
