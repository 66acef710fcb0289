//! What this machine must have.

use std::path::Path;

use crate::firmware::TARGET;
use crate::toolchain::Toolchain;

/// Returns whether this machine has what a lab needs. If not, says what is missing, so that a test can end without a result;
/// panics if labs are [required](kad_netns::is_required), as `lab`.
pub fn available() -> bool {
    let missing = missing();
    if !missing.is_empty() {
        kad_netns::left_out("lab", &format!("no lab on this machine: {}", missing.join("; ")));
    }
    missing.is_empty()
}

fn missing() -> Vec<String> {
    let mut missing = kad_netns::missing();
    if !Path::new("/dev/net/tun").exists() {
        missing.push("the kernel has no /dev/net/tun".to_owned());
    }
    for (program, package) in [("dnsmasq", "dnsmasq-base"), ("qemu-system-arm", "qemu-system-arm")] {
        if !kad_netns::is_installed(program) {
            missing.push(format!("`{program}` is not installed (Debian: {package})"));
        }
    }
    missing.extend(Toolchain::find(TARGET).err());
    missing
}
