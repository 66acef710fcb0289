//! Tokens that open a daemon to commands elsewhere, in files.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::Deserialize;

use crate::error::Failure;

/// A shorter token could be guessed.
const LEN_MIN: usize = 16;
/// No file with a token is longer.
const FILE_MAX: u64 = 64 << 10;

/// The part of a control file that matters here.
#[derive(Deserialize)]
struct Control {
    token: String,
}

/// Reads a token: all of a file but the white space around it, or that of a daemon's `control.json`.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let failure = |source| Failure::File { what: "take the token from", path: path.into(), source };
    let wrong = |why: &str| failure(io::Error::new(ErrorKind::InvalidData, why.to_owned()));
    if fs::metadata(path).map_err(failure)?.len() > FILE_MAX {
        return Err(wrong("it is too long for a file with a token"));
    }
    let text = fs::read_to_string(path).map_err(failure)?;
    let token = match serde_json::from_str::<Control>(&text) {
        Ok(control) => control.token,
        Err(_) => text.trim().to_owned(),
    };
    match token.len() >= LEN_MIN && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token),
        false => Err(wrong("a token has 16 letters, digits and signs or more, and nothing else is in the file")),
    }
}
