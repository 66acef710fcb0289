//! A browser without a window, driven over WebDriver (W3C): Debian's `chromium` and `chromium-driver`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::prelude::*;
use thirtyfour::{LoggingPrefsLogLevel, TypingData};

/// How long a page may take for anything, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Arguments of the browser. It reaches this host and nobody else, and has no business of its own there.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    // Tests may run as root, and in containers.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

/// Runs a test in a browser, if this machine has one. It must have one if `KAD_REQUIRE` in the environment lists `browser`, or
/// `all`.
pub(crate) async fn browse<F: Future<Output = ()>>(test: impl FnOnce(Page) -> F) {
    let missing: Vec<_> = ["chromium", "chromedriver"].into_iter().filter(|name| !is_installed(name)).collect();
    if !missing.is_empty() {
        let message = format!("no browser: {} (Debian: chromium, chromium-driver)", missing.join(" and "));
        let required = std::env::var("KAD_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == "browser" || name == "all"), "{message}");
        return eprintln!("left out: {message}");
    }
    let driver = Driver::start();
    let page = Page { web: driver.browser().await };
    // Ends the browser, however the test ends.
    let _end = page.web.clone();
    test(page).await;
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The program between tests and browser, on a port of its own choice. Ends when dropped.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    fn start() -> Self {
        let mut process = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        // It writes more, which must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port: port.expect("chromedriver starts") }
    }

    async fn browser(&self) -> WebDriver {
        let mut wanted = DesiredCapabilities::chrome();
        for argument in ARGUMENTS {
            wanted.add_arg(argument).unwrap();
        }
        for log in ["browser", "performance"] {
            wanted.set_logging_prefs(log, LoggingPrefsLogLevel::All).unwrap();
        }
        WebDriver::new(format!("http://127.0.0.1:{}", self.port), wanted).await.expect("a browser")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the browser shows.
pub(crate) struct Page {
    pub(crate) web: WebDriver,
}

impl Page {
    /// Opens a page, and waits until it hears of what happens at its node.
    pub(crate) async fn open(&self, address: std::net::SocketAddr) {
        self.load(address).await;
        self.until("the stream is live", "return document.querySelector('#stream[data-state=live]') !== null").await;
    }

    /// Opens a page.
    pub(crate) async fn load(&self, address: std::net::SocketAddr) {
        self.web.goto(format!("http://{address}/")).await.unwrap();
    }

    /// What a script returns.
    pub(crate) async fn run<T: DeserializeOwned>(&self, script: &str) -> T {
        let result = self.web.execute(script, Vec::new()).await;
        result.and_then(|result| result.convert()).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script returns true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.run::<bool>(script).await {
            if Instant::now() > deadline {
                panic!("not in {PATIENCE:?}: {what}; the page says:\n{}", self.text("body").await);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until an element contains a text, and returns all of its text.
    pub(crate) async fn says(&self, selector: &str, text: &str) -> String {
        let (quoted, wanted) = (json!(selector), json!(text));
        let script = format!("return (document.querySelector({quoted})?.textContent ?? '').includes({wanted})");
        self.until(&format!("{selector} says {text:?}"), &script).await;
        self.text(selector).await
    }

    /// The text of an element, whether it can be seen or not.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.run(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector))).await
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.run(&format!("return document.querySelectorAll({}).length", json!(selector))).await
    }

    /// Clicks, as a hand would: what is covered or disabled cannot be clicked.
    pub(crate) async fn click(&self, selector: &str) {
        self.web.query(By::Css(selector)).and_clickable().first().await.unwrap().click().await.unwrap();
    }

    /// Writes into a field instead of what is there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.web.query(By::Css(selector)).and_enabled().first().await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        self.web.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// A command of the Chrome DevTools protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.web.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The page in a window of this size, with these preferences of its reader.
    pub(crate) async fn looks(&self, (width, height): (u32, u32), scheme: &str, motion: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", motion)];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What the console has been told since this was asked last.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.web.get_log("browser").await.unwrap();
        entries.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect()
    }

    /// Every address that was asked for since this was asked last.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let entries = self.web.get_log("performance").await.unwrap();
        let events = entries.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}
