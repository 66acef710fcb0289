//! Clients that are slow, many, or there when the server stops.

use crate::common;

use std::time::{Duration, Instant};

use common::{Client, Gateway, bytes, network, node};
use kad_http::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Limits that a test can wait for.
fn hurried() -> Settings {
    let limit = Duration::from_millis(300);
    Settings { header_timeout: limit, body_timeout: limit, write_timeout: limit, ..Settings::default() }
}

/// Everything that a server says until it closes the connection, which it must do soon.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
    // A reset is an end too.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn who_is_slow_with_a_head_loses_the_connection() {
    let gateway = Gateway::serve(node(&[]).start().unwrap(), hurried()).await;
    let (start, mut stream) = (Instant::now(), TcpStream::connect(gateway.address).await.unwrap());
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: local").await.unwrap();
    let said = rest_of(&mut stream).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn who_is_slow_with_a_body_is_told_so() {
    let gateway = Gateway::serve(node(&[]).start().unwrap(), hurried()).await;
    let host = gateway.address;
    for framing in ["Content-Length: 10", "Content-Length: 90000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"5\r\nab").await.unwrap();
        let said = rest_of(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("\"code\":\"slow\""), "{framing}: {said}");
    }
    assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
}

#[tokio::test]
async fn who_takes_no_answer_loses_the_connection() {
    let dht = node(&[]).value_max(32 << 20).start().unwrap();
    // Only this limit: so large a value takes its time to come.
    let settings = Settings { write_timeout: Duration::from_millis(300), ..Settings::default() };
    let gateway = Gateway::serve(dht, settings).await;
    let posted = gateway.ask("POST", "/", &[], bytes(32 << 20)).await;
    assert_eq!(posted.status.as_u16(), 202);
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", posted.header("location"), gateway.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // More than the sockets' buffers take: the server waits for the client, but not for ever.
    loop {
        let metrics = gateway.get("/metrics").await;
        let text = std::str::from_utf8(&metrics.body).unwrap();
        if text.contains("kad_http_connections 1\n") {
            break;
        }
        assert!(Instant::now() < deadline, "the connection is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let gateway = Gateway::serve(node(&[]).start().unwrap(), hurried()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let said = rest_of(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_refused() {
    let gateway = Gateway::lone().await;
    let host = gateway.address;
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..9 {
        stream.write_all(b"1000\r\n").await.unwrap();
        stream.write_all(&bytes(4096)).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let said = rest_of(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("\"max\":32768"), "{said}");
    assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_those_that_wait_have_their_turn() {
    let settings = Settings { connections: 2, ..Settings::default() };
    let gateway = Gateway::serve(node(&[]).start().unwrap(), settings).await;
    let (mut first, mut second) = (gateway.client().await, gateway.client().await);
    first.get("/health").await;
    second.get("/health").await;
    let mut third = gateway.client().await;
    let waits = tokio::time::timeout(Duration::from_millis(200), third.get("/health")).await;
    assert!(waits.is_err(), "its connection is not accepted yet");
    drop(first);
    let fourth = tokio::time::timeout(Duration::from_secs(20), gateway.get("/health")).await.unwrap();
    assert_eq!(fourth.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_at_a_time_are_all_served() {
    let gateways = network(3).await;
    let posted = gateways[0].ask("POST", "/?copies=all", &[], bytes(1000)).await;
    let path = posted.header("location").to_owned();
    let address = gateways[1].address;
    // All are connected before the first asks.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(1000));
    let clients: Vec<_> = (0..1000u32)
        .map(|number| {
            let (path, barrier) = (path.clone(), barrier.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                barrier.wait().await;
                for _ in 0..3 {
                    let got = client.get(&path).await;
                    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &bytes(1000)[..]));
                }
                let posted = client.ask("POST", "/", &[], number.to_le_bytes().to_vec()).await;
                assert_eq!(posted.status.as_u16(), 202, "{posted:?}");
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(gateways[1].dht.stats().await.unwrap().items >= 1000);
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_when_the_server_stops() {
    let mut gateway = Gateway::lone().await;
    let host = gateway.address;
    let mut under_way = TcpStream::connect(host).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    under_way.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    under_way.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"), "the server has begun with it");
    let mut idle = gateway.client().await;
    idle.get("/health").await;

    let stopped = gateway.stop();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(host).await.is_ok() {
        assert!(Instant::now() < deadline, "no more connections are taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!stopped.is_finished());
    under_way.write_all(b"hello").await.unwrap();
    let said = rest_of(&mut under_way).await;
    assert!(said.starts_with("HTTP/1.1 202") && said.ends_with("hello"), "{said}");
    tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("then the server ends").unwrap();
}

#[tokio::test]
async fn who_does_not_end_is_cut_off_when_the_server_stops() {
    let settings = Settings { drain_timeout: Duration::from_millis(200), ..Settings::default() };
    let mut gateway = Gateway::serve(node(&[]).start().unwrap(), settings).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\r\nab", gateway.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopped = gateway.stop();
    tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("the server ends").unwrap();
    assert_eq!(rest_of(&mut stream).await, "");
}
