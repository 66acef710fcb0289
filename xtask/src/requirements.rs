//! What a machine lacks is said, and is a failure where it is required.

/// Says that something is left out; fails if `KAD_REQUIRE` in the environment lists it, or `all`.
pub(crate) fn left_out(name: &str, why: &str) -> Result<(), String> {
    if kad_lab::is_required(name) {
        return Err(format!("{name}: {why}"));
    }
    eprintln!("left out: {name}: {why}");
    Ok(())
}

/// Returns whether a program can be called by its name.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
