//! The dashboard in a browser, at nodes of a real network. Without a browser these tests are left out, and say so.

use crate::browser;
use crate::common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use browser::{Page, browse};
use common::{Gateway, TOKEN, network, node, owned};
use kad_http::Settings;
use kad_tokio::Key;
use serde_json::json;
use thirtyfour::By;

async fn put(page: &Page, value: &str, name: Option<&str>) -> String {
    if let Some(name) = name {
        page.click("[name=put-where][value=name]").await;
        page.fill("#put-at", name).await;
    }
    page.fill("#put-value", value).await;
    page.click("#put-form > button").await;
    page.says("#put-said", "Stored on").await;
    page.text("#put-key").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_one_page_puts_another_gets_and_the_first_deletes() {
    browse(async |page| {
        let gateways = network(8).await;
        let settings = Settings { secret: Some([7; 32]), ..Settings::default() };
        let first = Gateway::serve(gateways[0].dht.clone(), settings).await;
        page.open(first.address).await;
        let key = put(&page, "hello, page", None).await;
        assert_eq!(key, Key::hash("hello, page").to_string());

        page.open(gateways[5].address).await;
        page.fill("#get-at", &key).await;
        page.click("#get-form > button").await;
        page.says("#get-said", "Found one value.").await;
        assert_eq!(page.text("#found pre").await, "hello, page");

        page.open(first.address).await;
        page.click("#own-only").await;
        page.until("the value is listed", "return document.querySelectorAll('#held tr').length === 1").await;
        page.click("#held [aria-label^=Delete]").await;
        assert_eq!(page.says("#delete-key", &key).await, key);
        page.click("#delete [value='']").await;
        assert_eq!(page.count("#held tr").await, 1, "it was to be kept");
        page.click("#held [aria-label^=Delete]").await;
        page.click("#delete [value=delete]").await;
        page.says("#stored-said", "published no longer").await;
        // The proof that it was deleted is what is left.
        page.until("the value is not listed", "return document.querySelector('#held [aria-label^=Delete]') === null")
            .await;
        assert_eq!(page.text("#held td:nth-child(2)").await, "tombstone");
        let path = format!("/{key}");
        gateways[5].get(&path).await.is_problem(404, "not_found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_values_under_a_name_are_all_found() {
    browse(async |page| {
        let gateways = network(5).await;
        let mut keys = Vec::new();
        for (gateway, value) in [(0, "first"), (1, "second")] {
            page.open(gateways[gateway].address).await;
            page.fill("#put-ttl", "2").await;
            keys.push(put(&page, value, Some("a name/with ?#%&ü")).await);
        }
        assert_eq!(keys, vec![Key::hash("a name/with ?#%&ü").to_string(); 2]);

        page.open(gateways[2].address).await;
        page.click("[name=get-where][value=name]").await;
        page.click("#get-all").await;
        page.fill("#get-at", "a name/with ?#%&ü").await;
        page.click("#get-form > button").await;
        page.says("#get-said", "Found 2 values").await;
        // Part of the first second is still rounded up to all of the two hours.
        let found = page.text("#found").await;
        assert!(
            ["1 h 59 min", "2 h 0 min"].iter().any(|left| found.contains(&format!("expires in {left}"))),
            "{found}"
        );
        for shown in 1..=2 {
            page.click("#found li > button:last-child").await;
            page.until("it is shown", &format!("return document.querySelectorAll('#found pre').length === {shown}"))
                .await;
        }
        let mut values: Vec<String> =
            page.run("return [...document.querySelectorAll('#found pre')].map((one) => one.textContent)").await;
        values.sort();
        assert_eq!(values, ["first", "second"]);
    })
    .await;
}

/// Ends a node without a word to the others. What they send to its address goes into the socket that is returned.
async fn silence(mut gateway: Gateway) -> UdpSocket {
    let address = gateway.dht.local_addr();
    gateway.stop().await.unwrap();
    drop(gateway);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match UdpSocket::bind(address) {
            Ok(socket) => return socket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_appears_step_by_step() {
    browse(async |page| {
        let mut gateways = network(10).await;
        page.looks((1280, 1000), "light", "no-preference").await;
        page.open(gateways[0].address).await;
        page.until("all contacts are drawn", "return document.querySelectorAll('#ring-contacts circle').length === 9").await;
        let _nobody = silence(gateways.pop().unwrap()).await;
        // What is there after each change of the list.
        page.run::<()>(
            "window.seen = []; const look = () => seen.push([document.querySelectorAll('#steps li').length,
               document.querySelectorAll('#steps li.answered').length, document.querySelectorAll('#ring-paths path').length]);
             new MutationObserver(look).observe(document.querySelector('#steps'), { subtree: true, childList: true, attributes: true });",
        )
        .await;
        let target = Key::hash("anything").to_string();
        page.fill("#walk-key", &target).await;
        page.click("#walk-form > button").await;
        let said = page.says("#walk-said", "answered,").await;
        assert!(said.contains(&format!("lookup of {}…", &target[..8])) && said.contains("8 answered, 1 silent"), "{said}");

        let seen: Vec<[usize; 3]> = page.run("return seen").await;
        for count in 1..=9 {
            assert!(seen.iter().any(|[listed, ..]| *listed == count), "{count} steps were never shown: {seen:?}");
        }
        assert!(seen.windows(2).all(|two| two[1][0] >= two[0][0] || two[1][0] == 0), "steps went away: {seen:?}");
        assert!(seen.iter().any(|[listed, answered, _]| answered < listed), "nobody was just asked: {seen:?}");
        assert_eq!(seen.last(), Some(&[9, 8, 9]));
        let steps: Vec<String> = page.run("return [...document.querySelectorAll('#steps li')].map((one) => one.textContent)").await;
        for gateway in &gateways[1..] {
            let address = gateway.dht.local_addr().to_string();
            let step = steps.iter().find(|step| step.contains(&format!("{address}, depth ")));
            assert!(step.is_some_and(|step| step.contains(": answered in ") && step.contains(" ms")), "{address}: {steps:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_for_those_who_asked_for_that() {
    browse(async |page| {
        let gateways = network(4).await;
        page.looks((1280, 1000), "light", "reduce").await;
        page.open(gateways[0].address).await;
        page.click("#walk-random").await;
        page.says("#walk-said", "3 answered, 0 silent").await;
        let animated = "return document.getAnimations().length + [...document.querySelectorAll('#ring *')]
            .filter((one) => getComputedStyle(one).animationName !== 'none').length";
        assert_eq!(page.run::<usize>(animated).await, 0);
        page.looks((1280, 1000), "light", "no-preference").await;
        assert!(page.run::<usize>(animated).await > 0, "this shows nothing if nothing ever moves");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_are_shown_as_what_they_are() {
    browse(async |page| {
        let gateway = Gateway::lone().await;
        page.open(gateway.address).await;
        let script = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>";
        let values: [(&[u8], &str, &str); 5] = [
            (script.as_bytes(), script, "text"),
            (b"caf\xe9", "0000  63 61 66 e9", "hexadecimal"),
            (b"\xff\x00\x01<b>", "0000  ff 00 01 3c 62 3e", "hexadecimal"),
            ("user\u{202e}nimda".as_bytes(), "0000  75 73 65 72 e2 80 ae 6e 69 6d 64 61", "hexadecimal"),
            ("zwei\nZeilen, ü\t✓".as_bytes(), "zwei\nZeilen, ü\t✓", "text"),
        ];
        for (value, shown, how) in values {
            let stored = gateway.ask("POST", "/", &[("Content-Type", "text/html")], value.to_vec()).await;
            page.fill("#get-at", &stored.header("location")[1..]).await;
            page.click("#get-form > button").await;
            page.until(how, &format!("return document.querySelector('#found pre')?.textContent === {}", json!(shown)))
                .await;
            assert!(page.text("#found .small").await.contains(how), "{}", page.text("#found").await);
        }
        assert!(page.run::<bool>("return window.hacked === undefined").await);
        assert_eq!((page.count("main script").await, page.count("main img").await), (0, 0));
        assert_eq!(page.console().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_said_and_comes_back() {
    browse(async |page| {
        let mut gateway = Gateway::lone().await;
        page.open(gateway.address).await;
        gateway.stop().await.unwrap();
        let said = page.says("#stream", "broken").await;
        assert!(said.contains("Trying again"), "{said}");
        page.until("nothing is called live", "return document.querySelector('#stream[data-state=broken]') !== null")
            .await;
        page.until("it is marked", "return document.querySelector('#is-up[data-state=no]') !== null").await;
        let again = Gateway::serve_at(gateway.address, gateway.dht.clone(), Settings::default()).await;
        page.until("it is back", "return document.querySelector('#stream[data-state=live]') !== null").await;
        page.until("all is well", "return document.querySelector('#is-up[data-state=yes]') !== null").await;
        again.ask("POST", "/", &[], "while nobody looked").await;
        page.says("#value-count", "1").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_elsewhere_the_page_asks_for_the_token() {
    browse(async |page| {
        let dht = node(&[]).start().unwrap();
        let gateway = Gateway::serve_at(([0, 0, 0, 0], 0).into(), dht, owned()).await;
        page.load(gateway.address).await;
        page.says("#token-said", "needs the token").await;
        page.fill("#token-text", "a wrong one").await;
        page.click("#token-form button").await;
        page.says("#token-said", "not the token").await;
        page.fill("#token-text", TOKEN).await;
        page.click("#token-form button").await;
        page.says("#stream", "Live").await;
        page.until("nobody asks any more", "return document.querySelector('#token').hidden").await;
        let kept: usize = page.run("return localStorage.length + sessionStorage.length + document.cookie.length").await;
        assert_eq!(kept, 0, "the token was to be kept nowhere");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lives_run_out_before_the_readers_eyes_page_by_page() {
    browse(async |page| {
        let gateway = Gateway::lone().await;
        for number in 0..12 {
            gateway.ask("POST", "/?ttl=1h", &[], format!("value {number}")).await;
        }
        page.open(gateway.address).await;
        page.until("a page", "return document.querySelectorAll('#held tr').length === 10").await;
        let left = page.text("#held .expires").await;
        assert!(left.starts_with("59 min") || left == "1 h 0 min", "{left}");
        page.until(
            "time goes by",
            &format!("return document.querySelector('#held .expires').textContent !== {}", json!(left)),
        )
        .await;
        page.click("#page-after").await;
        page.until("the rest", "return document.querySelectorAll('#held tr').length === 2").await;
        assert!(!page.web.find(By::Id("page-after")).await.unwrap().is_enabled().await.unwrap());
        page.click("#page-before").await;
        page.until("back again", "return document.querySelectorAll('#held tr').length === 10").await;

        let short = Gateway::lone().await;
        page.open(short.address).await;
        short.ask("POST", "/?ttl=3s", &[], "soon gone").await;
        page.until("it is there", "return document.querySelectorAll('#held tr').length === 1").await;
        page.until("it is gone", "return document.querySelectorAll('#held tr').length === 0").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_said_at_its_field_and_not_sent() {
    browse(async |page| {
        let gateway = Gateway::serve(node(&[]).value_max(1000).start().unwrap(), Settings::default()).await;
        page.open(gateway.address).await;
        let complaints = [
            ("#put-form > button", "#put-said", "The value is empty", "put-value"),
            ("#get-form > button", "#get-said", "64 hexadecimal digits", "get-at"),
            ("#walk-form > button", "#walk-said", "64 hexadecimal digits", "walk-key"),
        ];
        for (button, said, text, field) in complaints {
            page.click(button).await;
            page.says(said, text).await;
            assert_eq!(page.run::<String>("return document.activeElement.id").await, field);
            assert_eq!(page.run::<String>("return document.activeElement.ariaInvalid").await, "true");
        }
        page.fill("#put-value", &"x".repeat(1001)).await;
        page.click("#put-form > button").await;
        page.says("#put-said", "has 1001 bytes; this node takes up to 1000").await;
        page.fill("#put-value", "x").await;
        for (name, said) in [("", "The name is missing"), ("..", "No browser can ask")] {
            page.click("[name=put-where][value=name]").await;
            page.fill("#put-at", name).await;
            page.click("#put-form > button").await;
            page.says("#put-said", said).await;
        }
        page.fill("#put-at", "name").await;
        page.fill("#put-ttl", "1.5").await;
        page.click("#put-form > button").await;
        page.says("#put-said", "whole number").await;
        assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
        page.fill("#put-ttl", "8").await;
        page.web.find(By::Css("#put-unit [value=d]")).await.unwrap().click().await.unwrap();
        page.click("#put-form > button").await;
        // The node's own words: seven days are the most.
        page.until("it is refused", "return document.querySelector('#put-said').dataset.state === 'no'").await;
        assert!(page.text("#put-said").await.contains("seven days"), "{}", page.text("#put-said").await);
    })
    .await;
}
