//! Token files for remote commands.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::Deserialize;

use crate::error::Failure;

/// The minimum length: a shorter token could be guessed.
const LEN_MIN: usize = 16;
/// The maximum size of a token file.
const FILE_MAX: u64 = 64 << 10;

/// The part of a control file that matters here.
#[derive(Deserialize)]
struct Control {
    token: String,
}

/// Reads a token: the trimmed contents of a file, or the token of a daemon's `control.json`.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let failure = |source| Failure::File { what: "read the token from", path: path.into(), source };
    let wrong = |why: &str| failure(io::Error::new(ErrorKind::InvalidData, why.to_owned()));
    if fs::metadata(path).map_err(failure)?.len() > FILE_MAX {
        return Err(wrong("the file is too long for a token"));
    }
    let text = fs::read_to_string(path).map_err(failure)?;
    let token = match serde_json::from_str::<Control>(&text) {
        Ok(control) => control.token,
        Err(_) => text.trim().to_owned(),
    };
    match token.len() >= LEN_MIN && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(wrong("the file must contain only a token of at least 16 letters, digits and signs")),
    }
}
