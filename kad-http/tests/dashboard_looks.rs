//! How the dashboard looks and how it is used without a mouse. Without a browser these tests are left out, and say so.

use crate::browser;
use crate::common;

use std::collections::BTreeMap;
use std::path::Path;

use browser::{Page, browse};
use common::{Gateway, network};
use kad_tokio::Key;
use serde_json::{Value, json};
use thirtyfour::Key as Press;

/// A page with everything on it: contacts, a walk, values, a value that was found.
async fn busy(page: &Page, gateways: &[Gateway]) {
    for number in 0..5 {
        gateways[number % 3].ask("POST", "/?copies=all", &[], format!("reading {number}: 21.5 °C")).await;
    }
    page.open(gateways[0].address).await;
    page.fill("#get-at", &Key::hash("reading 1: 21.5 °C").to_string()).await;
    page.click("#get-form > button").await;
    page.says("#get-said", "Found one value.").await;
    page.click("#walk-random").await;
    page.says("#walk-said", "lookup of").await;
    page.says("#walk-said", "answered,").await;
    page.says("#is-durable", "yes").await;
}

/// What the focus is on: its id, or else its words.
async fn focus(page: &Page) -> String {
    page.run(
        "const one = document.activeElement; return one.id || one.ariaLabel || one.textContent.trim() || one.tagName",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_put_and_deleted_with_the_keyboard_alone() {
    browse(async |page| {
        let gateway = Gateway::lone().await;
        page.open(gateway.address).await;
        let mut passed = Vec::new();
        while passed.last().is_none_or(|last| last != "put-value") {
            assert!(passed.len() < 40, "the field was not reached: {passed:?}");
            page.press(Press::Tab).await;
            passed.push(focus(&page).await);
            let outline: String = page.run("return getComputedStyle(document.activeElement).outlineStyle").await;
            assert_ne!(outline, "none", "the focus cannot be seen on {passed:?}");
        }
        assert_eq!(passed[..3], ["Skip to the content", "audit", "walk-key"]);
        page.press("by keyboard").await;
        // To the button of the form: a file, where, how long, which unit, how many copies.
        while focus(&page).await != "Put" {
            page.press(Press::Tab).await;
        }
        page.press(Press::Enter).await;
        page.says("#put-said", "Stored on 1 node").await;
        assert_eq!(page.text("#put-key").await, Key::hash("by keyboard").to_string());

        page.until("it is listed", "return document.querySelectorAll('#held tr').length === 1").await;
        let remove = format!("Delete the value of {}", Key::hash("by keyboard"));
        for (key, own) in [(Press::Escape, "yes"), (Press::Enter, "no")] {
            while focus(&page).await != remove {
                page.press(Press::Tab).await;
            }
            page.press(Press::Space).await;
            page.until("it asks", "return document.querySelector('#delete').open").await;
            assert_eq!(focus(&page).await, "Keep it");
            if own == "no" {
                page.press(Press::Tab).await;
            }
            page.press(key).await;
            page.until("it is done", &format!("return !document.querySelector('#delete').open && document.querySelector('#held td:nth-child(5)').textContent === '{own}'")).await;
        }
        page.until("the focus is not lost", "return document.activeElement.id === 'stored-title'").await;
    })
    .await;
}

/// Every text with too little contrast to what is behind it (WCAG 2.2, 1.4.3: 4.5 to 1).
const FAINT: &str = r"
    const light = (colour) => {
        const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (!/, 0\)$/.test(colour)) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const texts = [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && !one.disabled && !one.closest('svg')
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    const faint = texts.filter((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5;
    });
    return [texts.length, faint.map((one) => one.outerHTML.slice(0, 120))];";

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_phone_and_can_be_read_in_the_dark() {
    browse(async |page| {
        let gateways = network(6).await;
        busy(&page, &gateways).await;
        let mut papers = Vec::new();
        for scheme in ["light", "dark"] {
            for width in [320, 700, 1280] {
                page.looks((width, 800), scheme, "no-preference").await;
                let [content, window]: [u32; 2] = page
                    .run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
                    .await;
                assert!(content <= window && window <= width, "{content} of {window} at {width}");
                let (texts, faint): (usize, Vec<String>) = page.run(FAINT).await;
                assert!(texts > 60 && faint.is_empty(), "{scheme}, {width}: of {texts} texts {faint:#?}");
            }
            papers.push(page.run::<String>("return getComputedStyle(document.body).backgroundColor").await);
        }
        assert_ne!(papers[0], papers[1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_used_has_a_name() {
    browse(async |page| {
        let gateways = network(4).await;
        busy(&page, &gateways).await;
        let tree = page.devtools("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for node in nodes {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            let is_focusable = |property: &Value| property["name"] == "focusable" && property["value"]["value"] == true;
            let is_used = node["properties"].as_array().is_some_and(|all| all.iter().any(is_focusable));
            if is_used || matches!(role, "image" | "img" | "region" | "dialog" | "list" | "group") {
                let name = node["name"]["value"].as_str().unwrap_or_default();
                let is_plain = matches!(role, "list" | "group" | "image" | "img") && !is_used;
                assert!(!name.trim().is_empty() || is_plain, "{node:#}");
                *counts.entry(role).or_default() += 1;
            }
        }
        for role in ["button", "textbox", "radio", "checkbox", "combobox", "spinbutton", "region", "link"] {
            assert!(counts.get(role).is_some_and(|count| *count > 0), "{role}: {counts:?}");
        }
        assert!(page.count("[role=status]").await >= 5, "what happens is to be said");
        assert_eq!(page.count("[tabindex]:not([tabindex='0'], [tabindex='-1'])").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_nobody_else_complains_of_nothing_and_stays_where_it_is() {
    browse(async |page| {
        let gateways = network(6).await;
        busy(&page, &gateways).await;
        let requests = page.requests().await;
        let own = format!("http://{}/", gateways[0].address);
        assert!(requests.len() > 20, "{requests:?}");
        assert!(requests.iter().all(|url| url.starts_with(&own) || url == "data:,"), "{requests:?}");
        assert_eq!(page.console().await, Vec::<String>::new());
        // Layout Instability (W3C draft); up to 0.1 is called good.
        let shift: f64 = page
            .run(
                "return new Promise((done) => new PerformanceObserver((list) => done(list.getEntries()
                     .filter((one) => !one.hadRecentInput).reduce((sum, one) => sum + one.value, 0)))
                     .observe({ type: 'layout-shift', buffered: true }) ?? setTimeout(() => done(0), 500))",
            )
            .await;
        assert!(shift < 0.05, "{shift}");
    })
    .await;
}

/// Width and height of a picture (PNG specification, section 11.2.1).
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// The picture of the README. `KAD_PICTURE=write` writes it anew; else it must be one of this page.
#[tokio::test(flavor = "multi_thread")]
async fn the_picture_in_the_readme_is_of_this_page() {
    browse(async |page| {
        let gateways = network(40).await;
        page.looks((1000, 840), "light", "reduce").await;
        busy(&page, &gateways).await;
        page.run::<()>("document.activeElement.blur(); scrollTo(0, 0)").await;
        let taken = page.web.screenshot_as_png().await.unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dashboard.png");
        if std::env::var("KAD_PICTURE").as_deref() == Ok("write") {
            std::fs::write(&file, &taken).unwrap();
        }
        let kept = std::fs::read(&file).expect("KAD_PICTURE=write writes it");
        assert!(kept.len() < 200_000, "{} bytes", kept.len());
        assert_eq!(size(&kept), size(&taken));
        // Ids and times are others each time. A page that is broken, or another one, has far fewer or more details.
        let ratio = taken.len() as f64 / kept.len() as f64;
        assert!(
            (0.75..1.33).contains(&ratio),
            "{} bytes now, {} in the README: KAD_PICTURE=write?",
            taken.len(),
            kept.len()
        );
    })
    .await;
}
