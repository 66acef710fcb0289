//! What people type: keys, values, addresses.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kad_tokio::{Key, NetworkId};

use crate::error::Failure;

/// Shortest interval between two looks at a daemon.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest one.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A key as it was typed.
pub(crate) fn key(text: &str) -> Result<Key, Failure> {
    text.parse().map_err(|reason| Failure::BadKey { text: text.into(), reason })
}

/// A value: an argument, or all of standard input. No more than `max` bytes and one are read.
pub(crate) fn value(argument: Option<String>, max: usize) -> Result<Vec<u8>, Failure> {
    let bytes = match argument {
        Some(text) if text != "-" => text.into_bytes(),
        _ => {
            let mut bytes = Vec::new();
            let limit = max as u64 + 1;
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(Failure::Stdin)?;
            bytes
        }
    };
    if bytes.len() > max { Err(Failure::TooLarge { len: bytes.len(), max }) } else { Ok(bytes) }
}

/// A value from a file. One that is larger is not read.
pub(crate) fn file(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let failure = |source| Failure::File { what: "read", path: path.into(), source };
    let file = fs::File::open(path).map_err(failure)?;
    let len = file.metadata().map_err(failure)?.len();
    if len > max as u64 {
        return Err(Failure::TooLarge { len: usize::try_from(len).unwrap_or(usize::MAX), max });
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(failure)?;
    Ok(bytes)
}

/// The network with this name; without a name, the default one.
pub(crate) fn network(name: &str) -> NetworkId {
    if name.is_empty() { NetworkId::default() } else { NetworkId::named(name) }
}

/// An address as it was typed: only its form is checked here, names are looked up later.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let shape = "must be ADDRESS:PORT or NAME:PORT, like 192.0.2.1:9000, [2001:db8::1]:9000 or dht.example.org:9000";
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.into());
    }
    match text.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !name.contains(':') && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err(shape.into()),
    }
}

/// How often something is done: not so often that doing it is all that is done.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if (INTERVAL_MIN..=INTERVAL_MAX).contains(&span) => Ok(span),
        Ok(_) => Err("must be from 100ms to 1h".into()),
        Err(error) => Err(format!("must be a span of time like 500ms or 2s: {error}")),
    }
}

/// An origin as it was typed: what a browser sends in the header of that name.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    match !authority.is_empty() && authority.bytes().all(is_plain) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("must be a scheme, a name and perhaps a port, like https://app.example or http://localhost:8080".into())
        }
    }
}

/// A share of datagrams to lose, as in `5%` or `0.5`. Answers in per mille.
pub(crate) fn loss(text: &str) -> Result<u16, String> {
    let percent = text.trim_end_matches('%').trim().parse::<f64>();
    match percent {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 10.0).round() as u16),
        _ => Err(format!("`{text}`: 0% to 100% is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::{address, loss};

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:9000", "[::1]:1", "localhost:65535", "a.example:0"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "9000", ":9000", "host", "host:", "host:x", "host:65536", "::1:9000", "a:b:1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn losses_are_shares() {
        assert_eq!([loss("5%"), loss("0.5"), loss("0%"), loss("100%")], [Ok(50), Ok(5), Ok(0), Ok(1000)]);
        for bad in ["", "%", "101%", "-1", "NaN", "x"] {
            assert!(loss(bad).is_err(), "{bad}");
        }
    }
}
