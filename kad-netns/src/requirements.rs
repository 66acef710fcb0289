//! What this machine must have.

/// Returns whether a network can be made on this machine. If not, says what is missing, so that a test can end without a
/// result; panics if networks are [required](is_required), as `lab`.
pub fn is_possible() -> bool {
    let missing = missing();
    if !missing.is_empty() {
        left_out("lab", &format!("no virtual network on this machine: {}", missing.join("; ")));
    }
    missing.is_empty()
}

/// Says that something is left out because of what this machine lacks. Panics if it is [required](is_required), by the name
/// `what`.
pub fn left_out(what: &str, missing: &str) {
    assert!(!is_required(what), "{missing}");
    eprintln!("left out: {missing}");
}

/// Returns whether `KAD_REQUIRE` in the environment lists this, or `all`: then it is a failure when it cannot be tested.
pub fn is_required(what: &str) -> bool {
    let required = std::env::var("KAD_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name == what || name == "all")
}

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
