//! Who may do what: pages of the web, other hosts, and those with and without the token.

use crate::common;

use common::{Gateway, TOKEN, node, owned};
use kad_http::Settings;
use kad_tokio::Key;

async fn gateway(settings: Settings) -> Gateway {
    Gateway::serve(node(&[]).start().unwrap(), settings).await
}

/// A server that other hosts could reach.
async fn public(settings: Settings) -> Gateway {
    Gateway::serve_at(([0, 0, 0, 0], 0).into(), node(&[]).start().unwrap(), settings).await
}

const OPERATIONS: [&str; 5] = ["/node", "/peers", "/values", "/durable", "/events"];

#[tokio::test]
async fn a_name_that_was_made_to_point_here_leads_nowhere() {
    let gateway = gateway(Settings { hosts: vec!["dht.example".into()], ..owned() }).await;
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]:80"] {
        for (method, path) in [("GET", "/health"), ("POST", "/"), ("GET", "/node"), ("GET", "/events")] {
            gateway.ask(method, path, &[("Host", host)], "x").await.is_problem(403, "host");
        }
    }
    for host in
        ["localhost", "LOCALHOST:1234", "127.0.0.1:80", "127.1.2.3", "[::1]:9000", "dht.example", "DHT.example:80"]
    {
        let answer = gateway.ask("GET", "/health", &[("Host", host)], "").await;
        assert_eq!(answer.status.as_u16(), 200, "{host}");
    }
    gateway.ask("GET", "/health", &[("Host", "a b")], "").await.is_problem(400, "host");
    // By a name that is not loopback's the request may come through a proxy, from anywhere.
    gateway.ask("GET", "/node", &[("Host", "dht.example")], "").await.is_problem(401, "unauthorised");
}

#[tokio::test]
async fn pages_of_other_origins_neither_write_nor_look_in() {
    let gateway = gateway(owned()).await;
    let own = format!("http://{}", gateway.address);
    let key = format!("/{}", Key::hash("x"));
    let foreign = [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:1"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ];
    for header in foreign {
        for (method, path) in
            [("POST", "/"), ("PUT", &key[..]), ("DELETE", &key), ("POST", "/stop"), ("POST", "/values")]
        {
            gateway.ask(method, path, &[header], "x").await.is_problem(403, "cross_origin");
        }
        for path in OPERATIONS {
            gateway.ask("GET", path, &[header], "").await.is_problem(403, "cross_origin");
        }
    }
    assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
    for headers in
        [&[("Origin", &own[..])][..], &[("Sec-Fetch-Site", "same-origin")], &[("Sec-Fetch-Site", "none")], &[]]
    {
        assert_eq!(gateway.ask("POST", "/", headers, "x").await.status.as_u16(), 202, "{headers:?}");
        assert_eq!(gateway.ask("GET", "/node", headers, "").await.status.as_u16(), 200, "{headers:?}");
    }
    // Both must be right.
    let mixed = [("Origin", &own[..]), ("Sec-Fetch-Site", "cross-site")];
    gateway.ask("POST", "/", &mixed, "x").await.is_problem(403, "cross_origin");
}

#[tokio::test]
async fn pages_of_allowed_origins_read_and_write_values_and_browsers_are_told_so() {
    let origin = ("Origin", "https://app.example");
    let gateway = gateway(Settings { origins: vec![origin.1.into()], ..owned() }).await;
    let posted = gateway.ask("POST", "/", &[origin, ("Sec-Fetch-Site", "cross-site")], "x").await;
    assert_eq!((posted.status.as_u16(), posted.header("access-control-allow-origin")), (202, origin.1));
    assert!(posted.header("access-control-expose-headers").contains("location"));
    let asked = [origin, ("Access-Control-Request-Method", "PUT")];
    let preflight = gateway.ask("OPTIONS", posted.header("location"), &asked, "").await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (200, origin.1));
    assert!(!preflight.header("access-control-allow-methods").contains("DELETE"));
    gateway.ask("GET", "/node", &[origin], "").await.is_problem(403, "cross_origin");
    gateway.ask("DELETE", posted.header("location"), &[origin], "").await.is_problem(403, "cross_origin");
    let other = gateway.ask("GET", posted.header("location"), &[("Origin", "https://other.example")], "").await;
    assert_eq!((other.status.as_u16(), other.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn control_needs_the_token_and_a_wrong_one_opens_nothing() {
    let gateway = gateway(owned()).await;
    let (wrong, basic) = ("Bearer wrong".to_owned(), "Basic abc".to_owned());
    for headers in [&[][..], &[("Authorization", &wrong[..])], &[("Authorization", &basic)], &[("Authorization", "")]] {
        let refused = gateway.ask("POST", "/stop", headers, "").await;
        let challenge = refused.is_problem(401, "unauthorised").header("www-authenticate");
        assert_eq!(challenge.contains("invalid_token"), !headers.is_empty(), "{challenge}");
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    }
    gateway.ask("GET", "/node", &[("Authorization", &wrong)], "").await.is_problem(401, "unauthorised");
    // The name of the scheme has no case (RFC 9110, section 11.1).
    let bearer = format!("bearer {TOKEN}");
    let stopped = gateway.ask("POST", "/stop", &[("Authorization", &bearer)], "").await;
    assert_eq!((stopped.status.as_u16(), stopped.json()["pid"].as_u64()), (202, Some(std::process::id().into())));
}

#[tokio::test]
async fn each_of_several_tokens_opens_everything() {
    let other = "another token of the tests";
    let gateway = public(Settings { tokens: vec![TOKEN.into(), other.into()], ..Settings::default() }).await;
    for token in [TOKEN, other] {
        let bearer = format!("Bearer {token}");
        assert_eq!(gateway.ask("GET", "/node", &[("Authorization", &bearer)], "").await.status.as_u16(), 200);
    }
    gateway.ask("GET", "/node", &[("Authorization", "Bearer ")], "").await.is_problem(401, "unauthorised");
}

#[tokio::test]
async fn without_a_token_there_is_no_control() {
    let gateway = gateway(Settings::default()).await;
    gateway.ask("POST", "/stop", &[], "").await.is_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn other_hosts_read_and_write_values_but_look_in_and_delete_with_the_token_only() {
    let gateway = public(owned()).await;
    let bearer = format!("Bearer {TOKEN}");
    let bearer = [("Authorization", &bearer[..])];
    for path in OPERATIONS {
        gateway.get(path).await.is_problem(401, "unauthorised");
    }
    assert_eq!(gateway.ask("GET", "/node", &bearer, "").await.status.as_u16(), 200);
    for path in ["/health", "/ready", "/metrics", "/openapi.json"] {
        assert_eq!(gateway.get(path).await.status.as_u16(), 200, "{path}");
    }
    let posted = gateway.ask("POST", "/", &[("Host", "any.example")], "x").await;
    assert_eq!(posted.status.as_u16(), 202, "whoever reaches it may call it what he likes");
    gateway.ask("DELETE", posted.header("location"), &[], "").await.is_problem(401, "unauthorised");
    gateway.ask("POST", "/values", &[], r#"{"values": []}"#).await.is_problem(401, "unauthorised");
    gateway.get("/ping/127.0.0.1:9").await.is_problem(401, "unauthorised");
    assert_eq!(gateway.ask("DELETE", posted.header("location"), &bearer, "").await.status.as_u16(), 204);
}

#[tokio::test]
async fn what_a_proxy_passes_on_is_not_from_this_host() {
    let gateway = gateway(owned()).await;
    for name in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        gateway.ask("GET", "/node", &[(name, "192.0.2.7")], "").await.is_problem(401, "unauthorised");
    }
}

#[tokio::test]
async fn without_the_gateway_values_are_for_those_with_the_token() {
    let neither = gateway(Settings { gateway: false, ..Settings::default() }).await;
    neither.ask("POST", "/", &[], "x").await.is_problem(405, "method_not_allowed");
    let gateway = gateway(Settings { gateway: false, ..owned() }).await;
    let key = format!("/{}", Key::hash("x"));
    let bearer = format!("Bearer {TOKEN}");
    for (method, path, status) in
        [("POST", "/", 202), ("PUT", "/name/x", 202), ("GET", &key[..], 200), ("DELETE", &key, 204)]
    {
        gateway.ask(method, path, &[], "x").await.is_problem(401, "unauthorised");
        let answer = gateway.ask(method, path, &[("Authorization", &bearer)], "x").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
    }
    for path in ["/health", "/node", "/metrics", "/ready"] {
        assert_eq!(gateway.get(path).await.status.as_u16(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_node_pings_for_its_operator() {
    let (gateway, other) = (gateway(owned()).await, node(&[]).start().unwrap());
    let pong = gateway.get(&format!("/ping/{}", other.local_addr())).await;
    assert_eq!((pong.status.as_u16(), pong.json()["id"].as_str()), (200, Some(&other.id().to_string()[..])));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("/ping/{}?timeout=50ms", silent.local_addr().unwrap());
    gateway.get(&silent).await.is_problem(504, "timeout");
    gateway.get("/ping/nowhere").await.is_problem(400, "address");
}
