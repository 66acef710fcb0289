//! Parsing of keys, values and addresses from the command line.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use kad_tokio::{Key, NetworkId};

use crate::error::Failure;

/// The shortest interval of polling a daemon.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest interval.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Parses a key.
pub(crate) fn key(text: &str) -> Result<Key, Failure> {
    text.parse().map_err(|reason| Failure::BadKey { text: text.into(), reason })
}

/// Returns a value: an argument, or all of standard input. Reads at most `max` bytes plus one.
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

/// Reads a value from a file, unless it is too large.
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

/// Returns the network with this name; without a name, the default one.
pub(crate) fn network(name: &str) -> NetworkId {
    if name.is_empty() { NetworkId::default() } else { NetworkId::named(name) }
}

/// Parses a part of a list. Lists may contain blanks and a trailing comma; empty parts are removed after parsing.
pub(crate) fn part(
    parse: impl Fn(&str) -> Result<String, String> + Clone,
) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| match text.trim() {
        "" => Ok(String::new()),
        text => parse(text),
    }
}

/// Parses a host name of a server.
pub(crate) fn host(text: &str) -> Result<String, String> {
    match text.contains(|letter: char| letter.is_whitespace() || letter == '/') {
        true => Err("must be a name or an address, optionally with a port, like dht.example.org".into()),
        false => Ok(text.into()),
    }
}

/// Parses the URL of a daemon's HTTP server, and returns it without a trailing slash. The scheme is optional.
pub(crate) fn api(text: &str) -> Result<String, String> {
    let wrong = || "must be the URL of a daemon's HTTP server, like http://192.0.2.1:9000".to_owned();
    let text = text.trim();
    if text.starts_with("https://") {
        return Err("only http is supported: reach the daemon through an SSH tunnel, or a proxy on this host".into());
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: ureq::http::Uri = url.parse().map_err(|_| wrong())?;
    let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none() && !url.contains(['@', '#']);
    match uri.host().is_some_and(|host| !host.is_empty()) && is_plain {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(wrong()),
    }
}

/// Parses an address. Checks only its form; names are resolved later.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let shape = "must be ADDRESS:PORT or NAME:PORT, like 192.0.2.1:9000, [2001:db8::1]:9000 or dht.example.org:9000";
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.into());
    }
    let zoned =
        |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|ip| ip.contains('%'));
    match text.rsplit_once(':') {
        Some((host, port)) if zoned(host) && port.parse::<u16>().is_ok() => Ok(text.into()),
        Some((name, port)) if is_name(name) && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err(shape.into()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || letter == ':' || letter == '/')
}

/// Parses an address to listen on.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| "must be an IP address and a port, like 0.0.0.0:9000 or [::]:9000".into())
}

/// Parses an address to advertise. Port 0 stands for the port on which the node listens.
pub(crate) fn advertised(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let address = text.parse::<SocketAddr>().or_else(|_| {
        let ip = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(text);
        ip.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0))
    });
    let shape = "must be an IP address, with or without a port, like 192.0.2.1, 192.0.2.1:9000 or [2001:db8::1]:9000";
    address.map_err(|_| shape.into())
}

/// Parses an interval, within limits.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if (INTERVAL_MIN..=INTERVAL_MAX).contains(&span) => Ok(span),
        Ok(_) => Err("must be from 100ms to 1h".into()),
        Err(error) => Err(format!("must be a duration like 500ms or 2s: {error}")),
    }
}

/// Parses an origin, in the form of the header `Origin`.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    match !authority.is_empty() && authority.bytes().all(is_plain) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("must be a scheme, a name and optionally a port, like https://app.example or http://localhost:8080"
                .into())
        }
    }
}

/// Parses a share of datagrams to lose, as in `5%` or `0.5`, and returns it in per mille.
pub(crate) fn loss(text: &str) -> Result<u16, String> {
    let percent = text.trim_end_matches('%').trim().parse::<f64>();
    match percent {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 10.0).round() as u16),
        _ => Err(format!("`{text}`: must be from 0% to 100%")),
    }
}

#[cfg(test)]
mod tests {
    use super::{address, advertised, api, loss, part};

    #[test]
    fn an_advertised_address_may_have_a_port() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("192.0.2.1:9000", "192.0.2.1:9000"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
        ] {
            assert_eq!(advertised(text).map(|address| address.to_string()), Ok(expected.into()), "{text}");
        }
        assert!(
            ["", "dht.example.org:9000", "192.0.2.1:", "192.0.2.1:70000"].iter().all(|text| advertised(text).is_err())
        );
    }

    #[test]
    fn a_link_local_address_names_its_interface() {
        assert!(address("[fe80::1%eth0]:9000").is_ok() && address("[fe80::1%3]:9000").is_ok());
        assert!(address("[fe80::1%eth0]").is_err() && address("fe80::1%eth0:9000").is_err());
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:9000", "[::1]:1", "localhost:65535", "a.example:0"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["", "9000", ":9000", "host", "host:", "host:x", "host:65536", "::1:9000", "a:b:1", "a b:1", "http://a:1"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_of_lists_have_blanks_and_may_be_empty() {
        let part = part(address);
        assert_eq!(
            [part(" a.example:1 "), part(""), part(" ")],
            [Ok("a.example:1".into()), Ok("".into()), Ok("".into())]
        );
        assert!(part("a").is_err());
    }

    #[test]
    fn a_daemon_elsewhere_has_a_plain_url() {
        for (text, url) in [
            ("http://192.0.2.1:9000", "http://192.0.2.1:9000"),
            ("http://kad:9000/", "http://kad:9000"),
            ("192.0.2.1:9000", "http://192.0.2.1:9000"),
            ("http://[2001:db8::1]:9000/kad/", "http://[2001:db8::1]:9000/kad"),
        ] {
            assert_eq!(api(text).as_deref(), Ok(url));
        }
        for bad in ["", "http://", "ftp://a:1", "http://a:1?x", "http://user@a:1", "a b", "http://a:1/#x"] {
            assert!(api(bad).is_err(), "{bad}");
        }
        assert!(api("https://a").unwrap_err().contains("SSH tunnel"));
    }

    #[test]
    fn losses_are_shares() {
        assert_eq!([loss("5%"), loss("0.5"), loss("0%"), loss("100%")], [Ok(50), Ok(5), Ok(0), Ok(1000)]);
        for bad in ["", "%", "101%", "-1", "NaN", "x"] {
            assert!(loss(bad).is_err(), "{bad}");
        }
    }
}
