//! How the dashboard is served. What it does in a browser: `dashboard.rs`.

use crate::common;

use common::Gateway;

/// Everything that the page loads.
async fn files(gateway: &Gateway) -> Vec<String> {
    let page = String::from_utf8(gateway.get("/").await.body.to_vec()).unwrap();
    let mut files = vec!["/".to_owned()];
    let mut texts = vec![page];
    while let Some(text) = texts.pop() {
        let named = text.split('"').filter_map(|part| part.strip_prefix("./").or(part.strip_prefix("dashboard/")));
        for name in named.map(|name| format!("/dashboard/{name}")).collect::<Vec<_>>() {
            if !files.contains(&name) {
                texts.push(String::from_utf8(gateway.get(&name).await.body.to_vec()).unwrap());
                files.push(name);
            }
        }
    }
    files
}

#[tokio::test]
async fn everything_that_the_page_loads_is_here_and_is_loaded_once() {
    let gateway = Gateway::lone().await;
    let files = files(&gateway).await;
    assert!(files.len() > 10, "{files:?}");
    for path in &files {
        let full = gateway.get(path).await;
        assert_eq!((full.status.as_u16(), full.header("cache-control")), (200, "no-cache"), "{path}");
        let types: Vec<_> = full.headers.get_all("content-type").iter().collect();
        let kind = match path.rsplit_once('.') {
            None => "text/html",
            Some((_, "js")) => "text/javascript",
            Some((_, "css")) => "text/css",
            Some(_) => "image/svg+xml",
        };
        assert!(types.len() == 1 && full.header("content-type").starts_with(kind), "{path}: {types:?}");
        assert!(!full.body.is_empty() && full.header("etag").len() > 10, "{path}");
        let tag = full.header("etag").to_owned();
        let again = gateway.ask("GET", path, &[("If-None-Match", &tag)], "").await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, &tag[..]), "{path}");
        let other = gateway.ask("GET", path, &[("If-None-Match", "\"another\"")], "").await;
        assert_eq!((other.status.as_u16(), other.body), (200, full.body.clone()), "{path}");
        let head = gateway.ask("HEAD", path, &[], "").await;
        assert_eq!((head.status.as_u16(), head.body.len(), head.header("etag")), (200, 0, &tag[..]), "{path}");
        assert_eq!(head.header("content-length"), full.body.len().to_string(), "{path}");
    }
    for path in ["/dashboard/none.js", "/dashboard/", "/dashboard/%2e%2e"] {
        gateway.get(path).await.is_problem(404, "no_such_path");
    }
}

#[tokio::test]
async fn browsers_run_nothing_but_the_scripts_of_the_page() {
    let gateway = Gateway::lone().await;
    for path in files(&gateway).await {
        let file = gateway.get(&path).await;
        let policy = file.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.split("; ").any(|part| part == rule), "{path}: {rule} in {policy}");
        }
        assert!(
            !policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'"),
            "{path}: {policy}"
        );
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        // What the browser tests see of requests is what they happen to cause: nothing may even name another place.
        let text = String::from_utf8(file.body.to_vec()).unwrap();
        let elsewhere = text.split("://").count() - 1 - text.matches("http://www.w3.org/").count();
        assert_eq!(elsewhere, 0, "{path} names another origin");
        for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(sink), "{path} has {sink}");
        }
    }
}

#[tokio::test]
async fn the_page_and_values_share_a_path() {
    let gateway = Gateway::lone().await;
    assert_eq!(gateway.ask("POST", "/", &[], "x").await.status.as_u16(), 202);
    assert!(gateway.get("/").await.header("content-type").starts_with("text/html"));
    let refused = gateway.ask("PUT", "/", &[], "x").await;
    assert_eq!(refused.is_problem(405, "method_not_allowed").header("allow"), "GET,HEAD,POST");
}
