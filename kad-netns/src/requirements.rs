//! What this machine must have.

/// What a network lacks on this machine, in words; nothing if it can be made.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("network namespaces need root".to_owned());
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if !is_installed(program) {
            missing.push(format!("`{program}` is not installed (Debian: {package})"));
        }
    }
    missing
}

/// Whether a program can be called by its name.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
