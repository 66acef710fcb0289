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
        for (method, path) in [("POST", "/"), ("PUT", &key[..]), ("DELETE", &key), ("POST", "/control/stop")] {
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
    let key = Key::hash("x");
    let values = format!("/control/values/{key}");
    let (wrong, basic) = ("Bearer wrong".to_owned(), "Basic abc".to_owned());
    for headers in [&[][..], &[("Authorization", &wrong[..])], &[("Authorization", &basic)], &[("Authorization", "")]] {
        for (method, path) in [("POST", "/control/stop"), ("GET", &values[..]), ("PUT", &values), ("DELETE", &values)] {
            let refused = gateway.ask(method, path, headers, "x").await;
            assert_eq!(refused.is_problem(401, "unauthorised").header("www-authenticate"), "Bearer");
        }
    }
    gateway.ask("GET", "/node", &[("Authorization", &wrong)], "").await.is_problem(401, "unauthorised");
    let bearer = format!("Bearer {TOKEN}");
    let asked = format!("{values}?ttl_ms=1000&content=false&timeout_ms=1000");
    let stored = gateway.ask("PUT", &asked, &[("Authorization", &bearer)], "x").await;
    assert_eq!((stored.status.as_u16(), stored.json()["copies"].as_u64()), (200, Some(1)));
    let asked = format!("{values}?all=true&content_first=false&timeout_ms=1000");
    let found = gateway.ask("GET", &asked, &[("Authorization", &bearer)], "").await.json();
    assert_eq!(found["values"][0]["value"], "eA==");
}

#[tokio::test]
async fn without_a_token_there_is_no_control() {
    let gateway = gateway(Settings::default()).await;
    gateway.ask("POST", "/control/stop", &[], "").await.is_problem(404, "no_such_path");
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
async fn without_the_gateway_there_are_no_values() {
    let gateway = gateway(Settings { gateway: false, ..owned() }).await;
    for (method, path) in [("GET", &format!("/{}", Key::hash("x"))[..]), ("PUT", "/name/x")] {
        gateway.ask(method, path, &[], "x").await.is_problem(404, "no_such_path");
    }
    gateway.ask("POST", "/", &[], "x").await.is_problem(405, "method_not_allowed");
    for path in ["/health", "/node", "/metrics", "/ready"] {
        assert_eq!(gateway.get(path).await.status.as_u16(), 200, "{path}");
    }
    let bearer = format!("Bearer {TOKEN}");
    let told = gateway.ask("POST", "/control/stop", &[("Authorization", &bearer)], "").await;
    assert_eq!(told.status.as_u16(), 202);
}
