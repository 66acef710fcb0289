//! Frames of a model that was told a story, in terminals of all sizes.

use std::time::{Duration, Instant};

use kad_tokio::Key;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::feed::{News, Walk};
use super::model::{Model, Pane};
use super::screen::press;
use super::view::View;
use crate::error::Failure;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn id(name: &str) -> String {
    Key::hash(name).to_string()
}

fn status(datagrams: u64, failed: u64) -> News {
    News::Status(read(json!({
        "version": "9.8.7", "pid": 1, "id": id("own"), "address": "192.0.2.1:9000", "uptime_seconds": 90.0, "joined": true,
        "value_max": 32768, "contacts": 3, "buckets": 2, "operations": 1, "transfers": 0, "items": 17, "bytes": 2048,
        "evicted": 4, "memory": 1, "workers": 1, "receive_buffer": 1, "send_buffer": 1, "buffer_wanted": 1, "bootstrap": 1, "remembered": 0,
        "counters": {
            "datagrams_in": datagrams, "datagrams_out": 2 * datagrams, "socket_bytes_in": 1024 * datagrams,
            "socket_bytes_out": 0, "operations_started": datagrams / 10, "dropped_kind": datagrams / 50,
            "dropped_own": datagrams / 50, "store_failed": failed,
        },
    })))
}

fn peer(name: &str, port: u16, milliseconds: Option<f64>, failures: u8) -> Value {
    json!({
        "id": id(name), "address": format!("192.0.2.9:{port}"), "distance": id("x"), "bucket": 3,
        "milliseconds": milliseconds, "idle_seconds": 1.0, "failures": failures,
    })
}

fn step(name: &str, order: u16, state: &str) -> Value {
    json!({ "id": id(name), "address": "192.0.2.9:1", "state": state, "hops": 1, "order": order, "milliseconds": 1.5 })
}

fn progress(operation: u64, step: Value) -> News {
    let mut whole = json!({ "operation": operation, "key": id("key"), "after": 12.25 });
    whole.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
    News::Operation(Walk::Step(read(whole)))
}

fn began(operation: u64, purpose: &str) -> Value {
    json!({ "operation": operation, "purpose": purpose, "key": id("key") })
}

fn ended(operation: u64, steps: &[Value]) -> News {
    let lookup = json!({
        "target": id("key"), "closest": [], "trace": steps, "requests": 2, "hops": 1, "milliseconds": 33.5, "timed_out": false,
    });
    let copies =
        |elsewhere| json!({ "key": id("key"), "digest": "0", "elsewhere": elsewhere, "refused": 0, "silent": 0 });
    News::Operation(Walk::Ended(read(json!({
        "operation": operation, "purpose": "store", "key": id("key"), "lookup": lookup, "stored": [copies(20), copies(19)],
    }))))
}

/// A daemon that took 100 datagrams in a second, knows three nodes, and stores something.
fn told() -> Model {
    let (mut model, start) = (Model::default(), Instant::now());
    let second = start + Duration::from_secs(1);
    let peers = json!([peer("far", 1, Some(250.0), 0), peer("near", 2, Some(0.5), 0), peer("odd", 3, None, 2)]);
    let ready = json!({ "ready": true, "contacts": 3, "reason": "other nodes answered recently" });
    let story = [
        status(1000, 0),
        News::Peers(read(peers)),
        News::Ready(read(ready)),
        News::Operation(Walk::Began(read(began(1, "store")))),
        progress(1, step("a", 1, "waiting")),
        progress(1, step("b", 2, "waiting")),
        progress(1, step("a", 1, "answered")),
    ];
    story.into_iter().for_each(|piece| model.hear(piece, start));
    model.hear(status(1100, 0), second);
    model
}

fn draw(model: &mut Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| frame.render_widget(View { model, is_live: true }, frame.area())).unwrap();
    super::text(terminal.backend().buffer())
}

#[test]
fn a_frame_has_everything_in_eighty_columns() {
    let frame = draw(&mut told(), 80, 24);
    assert_eq!(frame.lines().count(), 24);
    for expected in [
        "kad 9.8.7",
        "192.0.2.1:9000  up 90.0 s",
        "READY  other nodes answered recently",
        "100 datagrams",
        "200 datagrams",
        "100.0 KiB",
        "10.0 operations",
        "4 dropped",
        "holds  17 values, 2.0 KiB",
        "0 failures, 4 evicted",
        "3 contacts in 2 buckets",
        "1 operations, 0 transfers",
        "operations *",
        "store",
        "lookup of",
        "answered",
        "waiting",
        "q end  ? help",
    ] {
        assert!(frame.contains(expected), "{expected:?} is not in\n{frame}");
    }
    let at = |port: &str| frame.find(&format!("192.0.2.9:{port}")).unwrap();
    assert!(at("2") < at("1") && at("1") < at("3"), "the fastest first, the unknown last:\n{frame}");
}

#[test]
fn a_lookup_is_seen_as_it_walks() {
    let (mut model, now) = (told(), Instant::now());
    let steps = |model: &Model| {
        let shown = model.shown().unwrap();
        shown.steps.iter().map(|step| step.state.clone()).collect::<Vec<_>>()
    };
    assert_eq!(steps(&model), ["answered", "waiting"]);
    model.hear(progress(1, step("b", 2, "silent")), now);
    assert_eq!(steps(&model), ["answered", "silent"]);
    let mut unasked = step("c", 0, "not asked");
    unasked.as_object_mut().unwrap().remove("order");
    model.hear(ended(1, &[step("b", 2, "silent"), unasked, step("a", 1, "answered")]), now);
    assert_eq!(steps(&model), ["answered", "silent"], "in the order in which they were asked");
    let frame = draw(&mut model, 80, 24);
    assert!(frame.contains("33.5 ms") && frame.contains("19 copies"), "{frame}");
    // What began before anybody looked, and what was given up.
    model.hear(ended(7, &[]), now);
    model.hear(News::Operation(Walk::Began(read(began(8, "find")))), now);
    model.hear(News::Operation(Walk::Cancelled(read(began(8, "find")))), now);
    let frame = draw(&mut model, 80, 24);
    assert!(frame.contains("cancelled") && model.operations.len() == 3, "{frame}");
}

#[test]
fn every_size_of_a_terminal_has_its_frame() {
    let mut model = told();
    for help in [false, true] {
        model.is_helping = help;
        for (width, height) in (1..130).step_by(3).flat_map(|width| (1..50).map(move |height| (width, height))) {
            let frame = draw(&mut model, width, height);
            if width >= 50 && height >= 14 && !help {
                assert!(frame.contains("READY") && frame.contains("lookup of"), "{width} by {height}\n{frame}");
            }
        }
    }
    assert!(draw(&mut model, 49, 24).contains("too small: at least 50 by 14"));
    assert!(draw(&mut model, 200, 60).contains("192.0.2.9:3"));
}

#[test]
fn trouble_is_seen() {
    let (mut model, now) = (told(), Instant::now());
    model.hear(News::Missed(5), now);
    model.hear(status(1200, 3), now + Duration::from_secs(2));
    model.hear(News::Ready(read(json!({ "ready": false, "contacts": 0, "reason": "nobody answers" }))), now);
    let frame = draw(&mut model, 80, 24);
    for expected in ["NOT READY  nobody answers", "(5 events missed)", "3 failures"] {
        assert!(frame.contains(expected), "{frame}");
    }
    model.hear(News::Lost(Failure::NoDaemon { directory: "/data".into(), is_needed: true }), now);
    assert!(draw(&mut model, 80, 24).contains("LOST  no daemon runs"));
    // It comes back, with counters that begin anew: no rate is made of that.
    let rates = model.rates.len();
    model.hear(status(0, 0), now + Duration::from_secs(9));
    assert_eq!(model.rates.len(), rates);
    assert!(!draw(&mut model, 80, 24).contains("LOST"));
}

#[test]
fn keys_do_what_the_help_says() {
    let mut model = told();
    for number in 2..40 {
        model.hear(News::Operation(Walk::Began(read(began(number, "find")))), Instant::now());
    }
    let press = |model: &mut Model, code| press(model, KeyEvent::new(code, KeyModifiers::NONE));
    assert_eq!(model.shown().unwrap().number, 39, "the newest");
    for (code, number) in [(KeyCode::Down, 38), (KeyCode::PageDown, 28), (KeyCode::Up, 29), (KeyCode::End, 1)] {
        assert!(!press(&mut model, code));
        assert_eq!(model.shown().unwrap().number, number, "{code:?}");
    }
    let frame = draw(&mut model, 80, 24);
    assert!(frame.contains("store"), "the list has moved with it:\n{frame}");
    model.hear(News::Operation(Walk::Began(read(began(40, "find")))), Instant::now());
    assert_eq!(model.shown().unwrap().number, 1, "what was chosen stays");
    press(&mut model, KeyCode::Home);
    assert_eq!(model.shown().unwrap().number, 40);

    press(&mut model, KeyCode::Tab);
    assert_eq!(model.pane, Pane::Contacts);
    for (code, place) in [(KeyCode::Char('j'), 1), (KeyCode::Char('G'), 2), (KeyCode::Down, 2), (KeyCode::Char('k'), 1)]
    {
        press(&mut model, code);
        assert_eq!(model.scrolled, place, "{code:?}");
    }
    press(&mut model, KeyCode::Char('?'));
    assert!(draw(&mut model, 80, 24).contains("Tab, left, right   operations or contacts"));
    assert!(!press(&mut model, KeyCode::Esc), "closes the help");
    press(&mut model, KeyCode::Char('p'));
    assert!(model.is_paused && draw(&mut model, 80, 24).contains("PAUSED"));
    assert!(press(&mut model, KeyCode::Esc) && press(&mut model, KeyCode::Char('q')));
    assert!(super::screen::press(&mut model, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}
