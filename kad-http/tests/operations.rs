//! What operators see: the node, its contacts, values, lookups, events, health and numbers.

use crate::common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{Gateway, bytes, network, network_of, node};
use kad_http::Settings;
use kad_tokio::Key;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn the_node_its_contacts_and_a_lookup_are_shown() {
    let gateways = network(6).await;
    let node = gateways[0].get("/node").await.json();
    assert_eq!(
        (node["id"].as_str(), node["contacts"].as_u64()),
        (Some(&gateways[0].dht.id().to_string()[..]), Some(5))
    );
    assert!(node["counters"]["datagrams_in"].as_u64().unwrap() > 0 && node["joined"] == true);
    let peers = gateways[0].get("/peers").await.json();
    let peers = peers.as_array().unwrap();
    assert_eq!(peers.len(), 5);
    for peer in peers {
        let id: kad_tokio::NodeId = peer["id"].as_str().unwrap().parse().unwrap();
        let distance = id.distance(gateways[0].dht.id().as_key());
        assert_eq!(peer["distance"], Key::from_bytes(distance.to_bytes()).to_string());
        // One that another worker has met may have no round-trip time here yet.
        let rtt = peer.get("milliseconds").map(|span| span.as_f64().unwrap());
        assert!(rtt.is_none_or(|span| span > 0.0) && peer["idle_seconds"].as_f64().unwrap() < 60.0);
    }
    let lookup = gateways[0].get(&format!("/lookup/{}", Key::hash("x"))).await.json();
    assert_eq!((lookup["closest"].as_array().unwrap().len(), lookup["timed_out"].as_bool()), (5, Some(false)));
    let trace = lookup["trace"].as_array().unwrap();
    assert!(trace.iter().all(|step| step["state"] == "answered" && step["milliseconds"].as_f64().unwrap() > 0.0));
    gateways[0].get("/lookup/abc").await.is_problem(400, "key");
}

#[tokio::test]
async fn settings_that_the_program_shows_are_shown() {
    let shown = [("k".to_owned(), "20".to_owned())].into();
    let gateway = Gateway::serve(node(&[]).start().unwrap(), Settings { shown, ..Settings::default() }).await;
    assert_eq!(gateway.get("/node").await.json()["settings"]["k"], "20");
}

#[tokio::test]
async fn values_are_listed_in_pages_with_what_is_left_of_their_lives() {
    let gateways = network(2).await;
    for number in 0..5u8 {
        gateways[usize::from(number % 2)]
            .ask("POST", "/?copies=all&ttl=10m", &[], bytes(10 + usize::from(number)))
            .await;
    }
    let (mut path, mut seen) = ("/values?limit=2".to_owned(), Vec::new());
    loop {
        let page = gateways[0].get(&path).await.json();
        seen.extend(page["values"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/values?limit=2&after={next}");
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.iter().filter(|value| value["own"] == true).count(), 3);
    assert!(seen.iter().all(|value| value["ttl_ms"].as_u64().unwrap() <= 600_000 && value["type"] == "content"));
    assert_eq!(gateways[0].get("/values?own=true").await.json()["values"].as_array().unwrap().len(), 3);
    for bad in ["limit=0", "limit=1001", "limit=x", "unknown=1"] {
        gateways[0].get(&format!("/values?{bad}")).await.is_problem(400, "query");
    }
    gateways[0].get("/values?after=abc").await.is_problem(400, "key");
    gateways[0].get(&format!("/values?after={}-1", Key::hash("x"))).await.is_problem(400, "digest");
}

/// The lines of a stream of events.
struct Follower {
    lines: Lines<BufReader<TcpStream>>,
}

impl Follower {
    async fn of(gateway: &Gateway, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(gateway.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut follower = Self { lines: BufReader::new(stream).lines() };
        assert_eq!(follower.line().await.as_deref(), Some("HTTP/1.1 200 OK"));
        follower
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(Duration::from_secs(20), self.lines.next_line()).await;
        line.expect("something happens").unwrap()
    }

    /// The next event: its name and its data. `None` when the stream ends.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }

    async fn wait_for(&mut self, wanted: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < deadline, "no event {wanted}");
            let (name, data) = self.next().await.expect("the stream goes on");
            if name == wanted {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn events_tell_of_the_node_its_contacts_and_every_step_of_its_lookups() {
    // With several workers a goodbye reaches one of them, which need not be the one whose table is told of.
    let gateways = network_of(4, |builder| builder.workers(1)).await;
    let mut follower = Follower::of(&gateways[0], "/events?stats=100ms").await;
    assert_eq!(follower.next().await.unwrap().0, "hello");
    assert_eq!(follower.wait_for("stats").await["contacts"], 3);

    let newcomer = node(&[&gateways[0].dht]).workers(1).start().unwrap();
    let added = follower.wait_for("contact_added").await;
    assert_eq!((&added["id"], added["failures"].as_u64()), (&Value::from(newcomer.id().to_string()), Some(0)));
    // It says goodbye to those whom it knows.
    newcomer.joined().await.unwrap();
    newcomer.close().await.unwrap();
    assert_eq!(follower.wait_for("contact_lost").await["id"], newcomer.id().to_string());

    let target = Key::hash("target").to_string();
    gateways[0].get(&format!("/lookup/{target}")).await;
    let began = follower.wait_for("began").await;
    assert_eq!((&began["key"], &began["purpose"]), (&Value::from(&target[..]), &Value::from("lookup")));
    let step = follower.wait_for("step").await;
    assert_eq!((&step["operation"], &step["state"]), (&began["operation"], &Value::from("waiting")));
    let ended = follower.wait_for("ended").await;
    assert_eq!(ended["operation"], began["operation"]);
    // The one that went may be named by somebody who has not noticed.
    assert!(ended["lookup"]["trace"].as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn who_follows_a_key_hears_of_it_and_of_nothing_else() {
    let gateways = network(4).await;
    let key = Key::hash("mine").to_string();
    let mut follower = Follower::of(&gateways[0], &format!("/events?key={key}")).await;
    follower.wait_for("hello").await;
    gateways[0].get(&format!("/lookup/{}", Key::hash("other"))).await;
    gateways[0].ask("POST", "/?copies=all", &[], "mine").await;
    loop {
        let (name, data) = follower.next().await.unwrap();
        assert_eq!(data["key"], key, "{name}");
        if name == "ended" {
            assert_eq!((&data["purpose"], data["stored"][0]["elsewhere"].as_u64()), (&Value::from("store"), Some(3)));
            break;
        }
    }
    gateways[0].get("/events?key=x").await.is_problem(400, "key");
    gateways[0].get("/events?stats=x").await.is_problem(400, "query");
}

#[tokio::test]
async fn followers_are_limited_counted_and_sent_home_when_the_server_stops() {
    let settings = Settings { watchers: 2, ..Settings::default() };
    let mut gateway = Gateway::serve(node(&[]).start().unwrap(), settings).await;
    let mut first = Follower::of(&gateway, "/events?stats=0s").await;
    let second = Follower::of(&gateway, "/events").await;
    gateway.get("/events").await.is_problem(503, "too_many_watchers");
    drop(second);
    // The server notices that a client is gone when it has something to say.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !metrics(&gateway).await.contains("kad_http_watchers 1\n") {
        assert!(Instant::now() < deadline, "the place of the one that went is not free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stopped = gateway.stop();
    while first.next().await.is_some() {}
    tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn a_slow_follower_misses_events_and_hears_how_many() {
    let gateways = network(8).await;
    let mut follower = Follower::of(&gateways[0], "/events?stats=0s").await;
    follower.wait_for("hello").await;
    // More than the sockets' buffers and the node's take.
    for number in 0..3000 {
        gateways[0].dht.lookup(Key::hash_int(number)).await.unwrap();
    }
    let missed = follower.wait_for("missed").await["events"].as_u64().unwrap();
    assert!(missed > 0);
    let counted = format!("kad_http_events_missed_total {missed}");
    assert!(metrics(&gateways[0]).await.lines().any(|line| line == counted), "{counted}");
}

#[tokio::test]
async fn health_is_the_process_and_readiness_is_the_network() {
    let mut gateways = network(3).await;
    for gateway in &gateways {
        assert_eq!(gateway.get("/health").await.json()["status"], "up");
        let ready = gateway.get("/ready").await;
        assert_eq!((ready.status.as_u16(), ready.json()["contacts"].as_u64()), (200, Some(2)), "{ready:?}");
    }
    let lone = Gateway::lone().await.get("/ready").await;
    assert!(lone.status.as_u16() == 200 && lone.json()["reason"].as_str().unwrap().contains("alone"));

    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let lost = node(&[]).bootstrap([nobody.local_addr().unwrap().to_string()]).start().unwrap();
    let lost = Gateway::serve(lost, Settings::default()).await;
    let ready = lost.get("/ready").await;
    assert_eq!((ready.status.as_u16(), ready.json()["ready"].as_bool()), (503, Some(false)));
    assert!(ready.json()["reason"].as_str().unwrap().contains("no bootstrap node"));
    assert_eq!(lost.get("/health").await.status.as_u16(), 200, "the process is up all the same");

    // A node that is gone makes its server say so.
    let last = gateways.pop().unwrap();
    last.dht.close().await.unwrap();
    last.get("/ready").await.is_problem(503, "closed");
    assert_eq!(last.get("/health").await.status.as_u16(), 200);
}

#[tokio::test]
async fn durability_is_counted_where_the_copies_are() {
    let gateways = network(4).await;
    let nothing = gateways[0].get("/durable").await;
    assert_eq!((nothing.status.as_u16(), nothing.json()["values"].as_u64()), (200, Some(0)));
    for len in [10, 5000] {
        gateways[0].ask("POST", "/?copies=all", &[], bytes(len)).await;
    }
    let durable = gateways[0].get("/durable?copies=3").await;
    let report = durable.json();
    assert_eq!((durable.status.as_u16(), &report["copies"]), (200, &serde_json::json!({ "3": 2 })), "{report}");
    let report = gateways[0].get("/durable?copies=4").await;
    assert_eq!((report.status.as_u16(), report.json()["at_risk"].as_array().unwrap().len()), (503, 2));
    assert_eq!(gateways[1].get("/durable").await.json()["values"], 0, "what others publish is their affair");
    gateways[0].get("/durable?limit=5000").await.is_problem(400, "query");

    // Values that nobody else has, on a node that nobody helps.
    let lone = Gateway::lone().await;
    lone.ask("POST", "/", &[], "lonely").await;
    let report = lone.get("/durable").await;
    assert_eq!((report.status.as_u16(), report.json()["at_risk"][0]["copies"].as_u64()), (503, Some(0)));
}

#[tokio::test]
async fn values_are_audited_in_turns() {
    let gateways = network(3).await;
    for number in 0..5u8 {
        gateways[0].ask("POST", "/?copies=all", &[], vec![number]).await;
    }
    for audited in [2, 4, 5, 5] {
        let report = gateways[0].get("/durable?limit=2").await.json();
        assert_eq!((report["values"].as_u64(), report["audited"].as_u64()), (Some(5), Some(audited)), "{report}");
    }
}

async fn metrics(gateway: &Gateway) -> String {
    let answer = gateway.get("/metrics").await;
    assert_eq!(answer.status.as_u16(), 200);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let gateways = network(2).await;
    gateways[0].ask("POST", "/", &[], "x").await;
    gateways[0].get("/none").await;
    let text = metrics(&gateways[0]).await;
    assert!(text.ends_with("# EOF\n"));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    let whole = |name: String| match name.strip_prefix("kad_http_request_seconds_") {
        Some("bucket" | "sum" | "count") => "kad_http_request_seconds".to_owned(),
        _ => name,
    };
    let served: BTreeSet<_> = samples.map(|line| whole(name(line))).collect();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(served, documented);
    // What is counted is said in words, the same here and there.
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let kinds: BTreeMap<_, _> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for (name, help) in helps {
        let help = help.trim_end_matches('.');
        assert!(help.len() > 5 && help != name.trim_start_matches("kad_").replace('_', " "), "{name}: {help}");
        let total = if kinds[name] == "counter" { "_total" } else { "" };
        let row = format!("| `{name}{total}` | {} | {help} |", kinds[name]);
        assert!(document.replace("`kad_tickets_out_total` is", "kad_tickets_out_total is").contains(&row), "{row}");
    }
    let requests = r#"kad_http_requests_total{method="GET",status="400"} 1"#;
    assert!(text.lines().any(|line| line == requests), "{text}");
}
