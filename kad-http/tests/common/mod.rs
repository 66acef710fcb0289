//! Servers on real sockets, and a client that shows everything of an answer.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use kad_http::{Server, Settings};
use kad_tokio::{Builder, Dht, NetworkId};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The token of servers that have one.
pub(crate) const TOKEN: &str = "the token of the tests";

/// A node with its server.
pub(crate) struct Gateway {
    pub(crate) dht: Dht,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Gateway {
    /// A lone node.
    pub(crate) async fn lone() -> Self {
        Self::serve(node(&[]).start().unwrap(), Settings::default()).await
    }

    pub(crate) async fn serve(dht: Dht, settings: Settings) -> Self {
        Self::serve_at((Ipv4Addr::LOCALHOST, 0).into(), dht, settings).await
    }

    pub(crate) async fn serve_at(address: SocketAddr, dht: Dht, settings: Settings) -> Self {
        let server = Server::bind(address, dht.clone(), settings).await.unwrap();
        let mut address = server.local_addr();
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self { dht, address, stop: Some(stop), task: Some(task) }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Tells the server to stop. Answers with what ends when it has.
    pub(crate) fn stop(&mut self) -> JoinHandle<()> {
        self.stop.take();
        self.task.take().unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client().await.ask("GET", path, &[], "").await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.client().await.ask(method, path, headers, body).await
    }
}

/// Settings with a token.
pub(crate) fn owned() -> Settings {
    Settings { tokens: vec![TOKEN.into()], ..Settings::default() }
}

/// A node on loopback that joins through others.
pub(crate) fn node(through: &[&Dht]) -> Builder {
    // A port that another test gives back must not lead one network into the other.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    Dht::builder()
        .network(NetworkId::named(&format!("{test} {}", std::process::id())))
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .bootstrap(through.iter().map(|dht| dht.local_addr().to_string()))
        .socket_buffer(512 << 10)
}

/// Servers of one network, all of whose nodes have joined.
pub(crate) async fn network(count: usize) -> Vec<Gateway> {
    network_of(count, |builder| builder).await
}

/// The same, of nodes that are configured.
pub(crate) async fn network_of(count: usize, configure: impl Fn(Builder) -> Builder) -> Vec<Gateway> {
    let mut gateways: Vec<Gateway> = Vec::new();
    for number in 0..count {
        let through: Vec<_> = gateways.get(number * 7919 % number.max(1)).into_iter().map(|one| &one.dht).collect();
        let dht = configure(node(&through)).start().unwrap();
        dht.joined().await.unwrap();
        gateways.push(Gateway::serve(dht, Settings::default()).await);
    }
    gateways
}

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, address }
    }

    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("Host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.sender.ready().await.unwrap();
        let response = tokio::time::timeout(Duration::from_secs(60), self.sender.send_request(request));
        let (head, body) = response.await.expect("an answer in a minute").unwrap().into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is such a problem, as RFC 9457 has it.
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.header("content-type")),
            (status, "application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(
            (problem["code"].as_str(), problem["status"].as_u64()),
            (Some(code), Some(status.into())),
            "{problem}"
        );
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("https://") && kind.ends_with(&format!("#{code}")), "{problem}");
        let (title, detail) = (problem["title"].as_str().unwrap(), problem["detail"].as_str().unwrap());
        assert!(title.len() > 3 && detail.len() > 10 && title != detail, "{problem}");
        self
    }
}

/// Bytes that are no text.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + 128) as u8).collect()
}

/// A multipart body with these fields, and its `Content-Type`.
pub(crate) fn multipart(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--bound\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend(*value);
        body.extend(b"\r\n");
    }
    body.extend(b"--bound--\r\n");
    ("multipart/form-data; boundary=bound".into(), body)
}

/// Every byte as an escape.
pub(crate) fn url_encoded(value: &[u8]) -> String {
    value.iter().map(|byte| format!("%{byte:02X}")).collect()
}
