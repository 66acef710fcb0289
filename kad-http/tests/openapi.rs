//! The running server against its own description: every answer is a documented one, and every documented one is seen.

use crate::common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Gateway, TOKEN, bytes, node, owned};
use kad_http::{OPENAPI, Settings};
use kad_tokio::{Dht, Key};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Method, path as described, status.
type Row = (String, String, u16);

/// The description, and what was seen of it.
struct Description {
    spec: Value,
    seen: RefCell<BTreeSet<Row>>,
}

impl Description {
    async fn fetch(gateway: &Gateway) -> Self {
        let served = gateway.get("/openapi.json").await;
        assert_eq!((served.status.as_u16(), served.header("content-type")), (200, "application/json"));
        assert_eq!(served.body, OPENAPI);
        Self { spec: served.json(), seen: RefCell::default() }
    }

    /// Every method of every path.
    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.spec["paths"].as_object().unwrap().iter();
        let methods = |(path, operations): (&String, &Value)| {
            let methods = operations.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()));
            methods.collect::<Vec<_>>()
        };
        paths.flat_map(methods).collect()
    }

    fn documented(&self) -> BTreeSet<Row> {
        let statuses = |(method, path): (String, String)| {
            let responses = self.responses(&method, &path).as_object().unwrap().keys();
            let rows = responses.map(move |status| (method.clone(), path.clone(), status.parse().unwrap()));
            rows.collect::<Vec<_>>()
        };
        self.operations().into_iter().flat_map(statuses).collect()
    }

    fn responses(&self, method: &str, path: &str) -> &Value {
        &self.spec["paths"][path][method.to_lowercase()]["responses"]
    }

    fn resolved<'s>(&'s self, value: &'s Value) -> &'s Value {
        match value["$ref"].as_str() {
            Some(name) => self.spec.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}")),
            None => value,
        }
    }

    /// Notes an answer, which must be as described.
    fn note(&self, method: &str, path: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let response = self.responses(method, path).get(status.to_string());
        let response = self.resolved(response.unwrap_or_else(|| panic!("{method} {path}: {status} is not described")));
        let kind = answer.header("content-type").split(';').next().unwrap();
        let content = response.get("content").filter(|_| !kind.is_empty() && method != "HEAD");
        if let Some(content) = content {
            let described =
                content.get(kind).unwrap_or_else(|| panic!("{method} {path} {status}: {kind} is not described"));
            if kind.ends_with("json") {
                self.check(&described["schema"], &answer.json(), &format!("{method} {path} {status}"));
            }
        } else if method != "HEAD" {
            assert!(answer.body.is_empty(), "{method} {path} {status} has a body that is not described");
        }
        for (name, _) in response["headers"].as_object().into_iter().flatten() {
            assert!(answer.headers.contains_key(name), "{method} {path} {status} has no {name}");
        }
        self.seen.borrow_mut().insert((method.into(), path.into(), status));
    }

    /// Checks a value against a schema by its name.
    fn is_a(&self, schema: &str, value: &Value) {
        self.check(&self.spec["components"]["schemas"][schema], value, schema);
    }

    /// Checks a value against its schema: as much of JSON Schema as the description uses.
    fn check(&self, schema: &Value, value: &Value, place: &str) {
        let schema = self.resolved(schema);
        if schema["oneOf"].is_array() {
            // Which of them is checked where it is known.
            return;
        }
        let fits = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            other => panic!("{place}: {other:?}"),
        };
        assert!(fits, "{place}: {value} is no {}", schema["type"]);
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: {name} is missing in {value}");
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(schema), _) => self.check(schema, value, &place),
                (None, more) if more.is_object() => self.check(more, value, &place),
                (None, more) => assert!(more.is_null(), "{place} is not described"),
            }
        }
        for value in value.as_array().into_iter().flatten() {
            self.check(&schema["items"], value, place);
        }
        let names = schema["enum"].as_array();
        assert!(names.is_none_or(|names| names.contains(value)), "{place}: {value}");
    }

    /// Asks, and notes the answer.
    async fn ask(&self, gateway: &Gateway, method: &str, path: &str, with: &With<'_>) -> Answer {
        let answer = match path {
            "/events" => first_of_events(gateway, &with.target(path), &with.headers).await,
            _ => gateway.ask(method, &with.target(path), &with.headers, with.body.clone()).await,
        };
        self.note(method, path, &answer);
        answer
    }

    fn describes(&self, method: &str, path: &str, status: u16) -> bool {
        self.responses(method, path).get(status.to_string()).is_some()
    }
}

/// How a path is filled and asked.
#[derive(Clone)]
struct With<'w> {
    key: String,
    query: String,
    headers: Vec<(&'w str, &'w str)>,
    body: Vec<u8>,
}

impl With<'_> {
    /// What every operation takes: as little as it needs.
    fn least(method: &str, path: &str) -> Self {
        let body = match (method, path) {
            ("POST", "/values") => batch(b"x"),
            ("POST" | "PUT", _) => b"x".to_vec(),
            _ => Vec::new(),
        };
        Self { key: Key::hash("x").to_string(), query: String::new(), headers: Vec::new(), body }
    }

    fn target(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for parameter in ["{key}", "{name}", "{file}", "{address}"] {
            path = path.replace(parameter, &self.key);
        }
        format!("{path}?{}", self.query)
    }
}

/// The body that stores one value with others.
fn batch(value: &[u8]) -> Vec<u8> {
    let value = json!({ "key": Key::hash("x"), "value": BASE64_STANDARD.encode(value) });
    json!({ "values": [value] }).to_string().into_bytes()
}

/// A stream of events does not end: its head and what came with it must do.
async fn first_of_events(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let host = gateway.address.to_string();
    let host = headers.iter().find(|(name, _)| *name == "Host").map_or(&host[..], |(_, host)| host);
    let others = headers.iter().filter(|(name, _)| *name != "Host").map(|(name, value)| format!("{name}: {value}\r\n"));
    let others: String = others.collect();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{others}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(&mut stream).await
}

/// Reads an answer with a length, or the head of one that goes on.
async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_buf(&mut text)).await;
        assert!(read.expect("an answer").unwrap() > 0, "{}", String::from_utf8_lossy(&text));
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(text[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse::<u16>().unwrap();
        let mut headers = hyper::HeaderMap::new();
        for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
            let name = hyper::header::HeaderName::try_from(name).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        if text.len() >= end + 4 + length {
            let body = text[end + 4..][..length].to_vec().into();
            return Answer { status: hyper::StatusCode::from_u16(status).unwrap(), headers, body };
        }
    }
}

/// A node whose bootstrap node never answers.
fn lost() -> (Dht, std::net::UdpSocket) {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    (node(&[]).bootstrap([nobody.local_addr().unwrap().to_string()]).start().unwrap(), nobody)
}

async fn served(dht: Dht) -> Gateway {
    Gateway::serve(dht, Settings { body_timeout: Duration::from_millis(200), ..owned() }).await
}

#[tokio::test]
async fn every_described_answer_is_seen_and_no_other() {
    let up = served(node(&[]).start().unwrap()).await;
    let description = Description::fetch(&up).await;
    let bearer = format!("Bearer {TOKEN}");
    let token = ("Authorization", &bearer[..]);

    // What is the same for all.
    let private = Settings { gateway: false, ..owned() };
    let private = Gateway::serve(node(&[]).start().unwrap(), private).await;
    let closed = served(node(&[]).start().unwrap()).await;
    closed.dht.close().await.unwrap();
    let (hurried, nobody) = lost();
    let hurried = served(hurried).await;
    let small = served(node(&[&up.dht]).value_max(1000).start().unwrap()).await;
    small.dht.joined().await.unwrap();
    up.ask("PUT", "/name/large", &[], bytes(5000)).await;
    for (method, path) in description.operations() {
        let (method, path) = (&method[..], &path[..]);
        let mut least = With { headers: vec![token], ..With::least(method, path) };
        if path == "/ping/{address}" {
            least.key = nobody.local_addr().unwrap().to_string();
        }
        for (host, status) in [("evil.example", 403), ("a b", 400)] {
            let with = With { headers: vec![("Host", host)], ..least.clone() };
            assert_eq!(description.ask(&up, method, path, &with).await.status.as_u16(), status);
        }
        if description.describes(method, path, 401) {
            let with = With { headers: vec![("Authorization", "Bearer wrong")], ..least.clone() };
            assert_eq!(description.ask(&private, method, path, &with).await.status.as_u16(), 401);
        }
        if description.describes(method, path, 503) {
            assert_eq!(description.ask(&closed, method, path, &least).await.status.as_u16(), 503);
        }
        if description.describes(method, path, 504) {
            let with = With { query: "timeout=50ms".into(), ..least.clone() };
            assert_eq!(description.ask(&hurried, method, path, &with).await.status.as_u16(), 504);
        }
        if description.describes(method, path, 413) {
            let large = bytes(32 * 1024 + 1);
            let body = if path == "/values" { batch(&large) } else { large };
            let with = With { body, ..least.clone() };
            assert_eq!(description.ask(&up, method, path, &with).await.status.as_u16(), 413);
        }
        if description.describes(method, path, 408) {
            let mut stream = TcpStream::connect(up.address).await.unwrap();
            let (target, host) = (least.target(path), up.address);
            let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n");
            stream.write_all(format!("{head}Content-Length: 9\r\n\r\nab").as_bytes()).await.unwrap();
            description.note(method, path, &read_answer(&mut stream).await);
        }
        if description.describes(method, path, 507) {
            let key = if path.contains("{name}") { "large".into() } else { Key::hash("large").to_string() };
            let with = With { key, ..least.clone() };
            assert_eq!(description.ask(&small, method, path, &with).await.status.as_u16(), 507);
        }
    }

    // What goes well, and what is wrong with single operations.
    for (method, path) in description.operations().iter().filter(|(_, path)| path != "/stop") {
        if !matches!(&method[..], "DELETE" | "HEAD" | "GET") || !path.contains('{') || path.starts_with("/lookup") {
            description.ask(&up, method, path, &With::least(method, path)).await;
        }
    }
    for (path, file) in [("/", ""), ("/dashboard/{file}", "main.js"), ("/dashboard/{file}", "style.css")] {
        for method in ["GET", "HEAD"] {
            let read = With { key: file.into(), ..With::least(method, path) };
            assert_eq!(description.ask(&up, method, path, &read).await.status.as_u16(), 200);
            let same = With { headers: vec![("If-None-Match", "*")], ..read.clone() };
            assert_eq!(description.ask(&up, method, path, &same).await.status.as_u16(), 304);
            if description.describes(method, path, 404) {
                let absent = With { key: "absent".into(), ..read };
                assert_eq!(description.ask(&up, method, path, &absent).await.status.as_u16(), 404);
            }
        }
    }
    for path in ["/{key}", "/name/{name}"] {
        let written = With {
            key: if path == "/{key}" { Key::hash("y").to_string() } else { "y".into() },
            ..With::least("PUT", path)
        };
        description.ask(&up, "PUT", path, &written).await;
        for method in ["GET", "HEAD"] {
            let read = With { key: written.key.clone(), ..With::least(method, path) };
            assert_eq!(description.ask(&up, method, path, &read).await.status.as_u16(), 200);
            let same = With { headers: vec![("If-None-Match", "*")], ..read.clone() };
            assert_eq!(description.ask(&up, method, path, &same).await.status.as_u16(), 304);
            let absent = With { key: Key::hash("absent").to_string(), ..read };
            assert_eq!(description.ask(&up, method, path, &absent).await.status.as_u16(), 404);
        }
    }
    let read = With { key: Key::hash("y").to_string(), ..With::least("GET", "/{key}") };
    assert_eq!(description.ask(&up, "DELETE", "/{key}", &read).await.status.as_u16(), 204);
    assert_eq!(description.ask(&up, "DELETE", "/{key}", &read).await.status.as_u16(), 404);
    let json = ("Accept", "application/json");
    for (method, status, schema) in [("PUT", 202, "Stored"), ("GET", 200, "Found"), ("DELETE", 200, "Forgotten")] {
        let with = With { headers: vec![json], ..With::least(method, "/{key}") };
        let answer = description.ask(&up, method, "/{key}", &with).await;
        assert_eq!(answer.status.as_u16(), status);
        description.is_a(schema, &answer.json());
    }
    let pinged = With { key: small.dht.local_addr().to_string(), ..With::least("GET", "/ping/{address}") };
    assert_eq!(description.ask(&up, "GET", "/ping/{address}", &pinged).await.status.as_u16(), 200);
    let many = With::least("POST", "/values");
    assert_eq!(description.ask(&up, "POST", "/values", &many).await.json().as_array().unwrap().len(), 1);
    for wrong in [&b"x"[..], br#"{"values": [{"key": "x"}]}"#, br#"{"values": [{"value": "?"}]}"#] {
        let wrong = With { body: wrong.to_vec(), ..many.clone() };
        assert_eq!(description.ask(&up, "POST", "/values", &wrong).await.status.as_u16(), 400);
    }
    let stop = With { headers: vec![token], ..With::least("POST", "/stop") };
    description.ask(&up, "POST", "/stop", &stop).await;
    // Lists have other types than a value.
    for (all, schema) in [("all", "Listing"), ("all=values", "FoundAll")] {
        description.is_a(schema, &up.get(&format!("/{}?{all}", Key::hash("x"))).await.json());
    }
    // These two have no value at risk, and are ready: their other answers are seen in the tests of operations.
    for (gateway, path) in [(&small, "/durable"), (&small, "/ready"), (&hurried, "/ready")] {
        description.ask(gateway, "GET", path, &With::least("GET", path)).await;
    }

    let (seen, documented) = (description.seen.into_inner(), description_rows());
    // A find that is incomplete takes holders that do not hand over what they have: it is seen in the tests of the program.
    let unseen: Vec<_> = documented.difference(&seen).filter(|row| row.2 != 502).collect();
    assert!(unseen.is_empty(), "described, and never seen: {unseen:?}");
}

fn description_rows() -> BTreeSet<Row> {
    let spec = serde_json::from_str(OPENAPI).unwrap();
    Description { spec, seen: RefCell::default() }.documented()
}
