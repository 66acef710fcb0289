//! Traces for an OpenTelemetry collector.

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_says_so() {
    let (status, message) = crate::common::fail(&["daemon", "--otlp", "http://127.0.0.1:4318"]);
    assert!(status == 2 && message.contains("--features otlp"), "{status}: {message}");
}

#[cfg(feature = "otlp")]
mod with {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use crate::common::{Daemon, fail, succeed};

    /// One request: its first line and its body.
    fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (mut head, mut len) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            len = line.strip_prefix("content-length: ").map_or(len, |len| len.parse().expect("a length"));
            head.push(line);
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
        Some((head.swap_remove(0), body))
    }

    /// A collector that takes everything, and what it was sent.
    fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (url, (sent, received)) = (format!("http://{}", listener.local_addr().unwrap()), channel());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let sent = sent.clone();
                std::thread::spawn(move || {
                    while let Some(request) = request(&mut stream) {
                        let _ = sent.send(request);
                    }
                });
            }
        });
        (url, received)
    }

    #[test]
    fn a_collector_is_sent_each_request_and_what_it_took_of_the_network() {
        let (url, received) = collector();
        let daemon = Daemon::start(&["--otlp", &url]);
        assert_eq!(daemon.ask("GET", "/health", b"").0, 200);
        assert_eq!(daemon.ask("PUT", "/name/traced", b"value").0, 202);
        assert_eq!(daemon.ask("GET", "/name/traced", b"").0, 200);
        let id = daemon.status()["id"].as_str().unwrap().to_owned();
        // What waits is sent at the end.
        succeed(&["stop", "--data-dir", daemon.dir()]);
        let mut spans = Vec::new();
        while let Ok((line, body)) = received.recv_timeout(Duration::from_millis(500)) {
            assert_eq!(line, "post /v1/traces http/1.1");
            spans.extend(body);
        }
        let spans = String::from_utf8_lossy(&spans);
        let named =
            ["GET /health", "PUT /name/{name}", "GET /name/{name}", "http.response.status_code", "store", "find"];
        for name in named.into_iter().chain(["service.instance.id", &id]) {
            assert!(spans.contains(name), "{name}: {spans}");
        }
    }

    #[test]
    fn a_collector_that_is_not_there_is_no_harm() {
        let daemon = Daemon::start(&["--otlp", "http://127.0.0.1:9"]);
        assert_eq!(daemon.ask("PUT", "/name/untraced", b"value").0, 202);
        succeed(&["stop", "--data-dir", daemon.dir()]);
    }

    #[test]
    fn a_collector_that_cannot_be_called_is_refused() {
        let (status, message) = fail(&["daemon", "--otlp", "https://collector.example"]);
        assert!(status == 2 && message.contains("only http"), "{status}: {message}");
    }
}
