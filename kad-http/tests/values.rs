//! Values over HTTP, row by row of the contract.

use crate::common;

use std::time::Duration;

use common::{Gateway, TOKEN, bytes, multipart, network, node, owned, url_encoded};
use kad_http::Settings;
use kad_tokio::{Key, Limits};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const MAX: usize = 32 * 1024;

#[tokio::test]
async fn a_posted_value_is_echoed_located_by_its_hash_and_read_byte_for_byte() {
    let gateways = network(3).await;
    for len in [1, 100, 1084, 1085, 5000, MAX] {
        let value = bytes(len);
        let (kind, form) = multipart(&[("other", b"x"), ("value", &value)]);
        let encoded = format!("a=b&value={}&c", url_encoded(&value));
        for (headers, body) in
            [(vec![], value.clone()), (vec![("Content-Type", &kind[..])], form), (vec![FORM], encoded.into_bytes())]
        {
            let posted = gateways[0].ask("POST", "/?copies=all", &headers, body).await;
            assert_eq!((posted.status.as_u16(), &posted.body[..]), (202, &value[..]), "{len} bytes, {headers:?}");
            assert_eq!(posted.header("location"), format!("/{}", Key::hash(&value)));
            assert_eq!((posted.header("kad-copies"), posted.header("kad-refused")), ("3", "0"));
        }
        for gateway in &gateways {
            let got = gateway.get(&format!("/{}", Key::hash(&value))).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (200, &value[..]));
            assert_eq!(got.header("origin"), gateway.dht.id().to_string(), "all three hold it");
        }
    }
}

#[tokio::test]
async fn a_plus_in_a_form_is_a_space_and_names_of_fields_may_be_escaped() {
    let gateway = Gateway::lone().await;
    let posted = gateway.ask("POST", "/", &[FORM], "v%61lue=a+b%2Bc").await;
    assert_eq!((posted.status.as_u16(), &posted.body[..]), (202, &b"a b+c"[..]));
}

/// A field that is there but empty, or a body that is empty although its type is named, is the empty value.
#[tokio::test]
async fn an_empty_value_is_a_value_and_no_value_is_a_mistake() {
    let gateway = Gateway::lone().await;
    let (kind, form) = multipart(&[("value", b"")]);
    let named = [("Content-Type", "text/plain")];
    for (headers, body) in [(&[FORM][..], &b"value="[..]), (&[("Content-Type", &kind)], &form), (&named, b"")] {
        let posted = gateway.ask("POST", "/", headers, body.to_vec()).await;
        assert_eq!((posted.status.as_u16(), posted.body.len()), (202, 0), "{headers:?}");
        let got = gateway.get(posted.header("location")).await;
        assert_eq!((got.status.as_u16(), got.body.len(), got.header("content-length")), (200, 0, "0"));
    }
    let (kind, form) = multipart(&[("other", b"x")]);
    for (headers, body) in
        [(&[][..], &b""[..]), (&[FORM], b""), (&[FORM], b"other=x"), (&[("Content-Type", &kind)], &form)]
    {
        gateway.ask("POST", "/", headers, body.to_vec()).await.is_problem(400, "no_value");
    }
}

#[tokio::test]
async fn malformed_forms_are_refused_and_nothing_is_stored() {
    let gateway = Gateway::lone().await;
    for body in ["value=%", "value=%4", "value=%zz", "%g1=x&value=y", "value=a&value=b"] {
        gateway.ask("POST", "/", &[FORM], body).await.is_problem(400, "malformed");
    }
    let (kind, whole) = multipart(&[("value", b"something")]);
    let (_, twice) = multipart(&[("value", b"a"), ("value", b"b")]);
    for (kind, body) in [
        ("multipart/form-data", whole.clone()),
        (&kind, whole[..whole.len() - 12].to_vec()),
        (&kind, b"no boundary at all".to_vec()),
        (&kind, twice),
    ] {
        gateway.ask("POST", "/", &[("Content-Type", kind)], body).await.is_problem(400, "malformed");
    }
    assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
}

#[tokio::test]
async fn one_byte_too_many_is_refused_and_nothing_is_stored() {
    let gateway = Gateway::serve(node(&[]).start().unwrap(), owned()).await;
    let value = bytes(MAX + 1);
    let (kind, form) = multipart(&[("value", &value)]);
    let kind = [("Content-Type", &kind[..])];
    let encoded = format!("value={}", url_encoded(&value));
    for (headers, body) in [(&[][..], value.clone()), (&kind, form), (&[FORM], encoded.into_bytes())] {
        let refused = gateway.ask("POST", "/", headers, body).await;
        let problem = refused.is_problem(413, "too_large").json();
        assert_eq!((problem["max"].as_u64(), problem["len"].as_u64()), (Some(MAX as u64), Some(MAX as u64 + 1)));
    }
    // Larger than any form with a value can be: it is not even kept in memory.
    for headers in [&[][..], &[FORM], &kind] {
        gateway.ask("POST", "/", headers, bytes(900_000)).await.is_problem(413, "too_large");
    }
    let key = Key::hash("k");
    let bearer = format!("Bearer {TOKEN}");
    gateway
        .ask("PUT", &format!("/{key}"), &[("Authorization", &bearer)], value.clone())
        .await
        .is_problem(413, "too_large");
    gateway.ask("PUT", &format!("/{key}"), &[], value).await.is_problem(413, "too_large");
    assert_eq!(gateway.dht.stats().await.unwrap().items, 0);
}

#[tokio::test]
async fn what_can_be_stored_nowhere_is_said_so() {
    let first = node(&[]).start().unwrap();
    let limits = Limits { bytes: 1000, ..Limits::new(first.id()) };
    let gateway = Gateway::serve(node(&[]).limits(limits).start().unwrap(), Settings::default()).await;
    gateway.ask("POST", "/", &[], bytes(900)).await;
    let refused = gateway.ask("POST", "/", &[], bytes(901)).await;
    assert!(refused.is_problem(503, "refused").json()["detail"].as_str().unwrap().contains("Full"));
    assert_eq!(refused.header("retry-after"), "1");
    gateway.get(&format!("/{}", Key::hash(bytes(901)))).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn chosen_keys_and_names_take_several_values_and_each_can_be_read() {
    let gateways = network(3).await;
    let key = Key::hash("numbers");
    for value in ["one", "two", "three"] {
        let put = gateways[0].ask("PUT", &format!("/{key}"), &[], value).await;
        assert_eq!((put.status.as_u16(), put.header("location")), (202, &format!("/{key}")[..]));
        // Ages are told in milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let put = gateways[1].ask("PUT", "/name/numbers", &[], "four").await;
    assert_eq!(put.status.as_u16(), 202);
    let listed = gateways[2].get(&format!("/{key}?all")).await.json();
    let values = listed["values"].as_array().unwrap();
    assert_eq!(values.len(), 4);
    let mut texts = Vec::new();
    for value in values {
        let got = gateways[2].get(value["location"].as_str().unwrap()).await;
        assert_eq!(got.header("etag"), format!("\"{}\"", value["digest"].as_str().unwrap()));
        assert!(got.header("cache-control").contains("immutable"), "a named digest never changes");
        texts.push(String::from_utf8(got.body.to_vec()).unwrap());
    }
    assert_eq!(texts, ["four", "three", "two", "one"], "newest first");
    let newest = gateways[2].get("/name/numbers").await;
    assert_eq!((&newest.body[..], newest.header("cache-control")), (&b"four"[..], "no-cache"));
    let unknown = format!("/{key}?digest={}", "0".repeat(32));
    gateways[2].get(&unknown).await.is_problem(404, "not_found");
    gateways[2].get(&format!("/{key}?digest=xyz")).await.is_problem(400, "digest");
    gateways[2].get("/name/nobody?all").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn content_cannot_be_supplanted_by_whoever_puts_something_under_its_key() {
    let gateways = network(3).await;
    let posted = gateways[0].ask("POST", "/", &[], "true").await;
    gateways[1].ask("PUT", posted.header("location"), &[], "false").await;
    for gateway in &gateways {
        assert_eq!(gateway.get(posted.header("location")).await.body, "true");
    }
}

#[tokio::test]
async fn keys_have_exactly_64_hexadecimal_digits_and_unknown_ones_are_not_found() {
    let gateway = Gateway::lone().await;
    let key = "a".repeat(64);
    gateway.get(&format!("/{key}")).await.is_problem(404, "not_found");
    for bad in ["a", &key[1..], &format!("{key}a"), &format!("g{}", &key[1..]), &format!("%20{}", &key[1..])] {
        for method in ["GET", "PUT", "DELETE"] {
            gateway.ask(method, &format!("/{bad}"), &[], "").await.is_problem(400, "key");
        }
        assert_eq!(gateway.ask("HEAD", &format!("/{bad}"), &[], "").await.status.as_u16(), 400);
    }
    gateway.get("/no/such/path").await.is_problem(404, "no_such_path");
    gateway.get(&format!("/{key}?unknown=1")).await.is_problem(400, "query");
}

#[tokio::test]
async fn heads_tags_and_ages_are_as_caches_want_them() {
    let gateway = Gateway::lone().await;
    let posted = gateway.ask("POST", "/?ttl=100s", &[], bytes(5000)).await;
    let path = posted.header("location");
    let got = gateway.get(path).await;
    let head = gateway.ask("HEAD", path, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "5000", 0));
    assert_eq!((head.header("etag"), got.header("etag")), (got.header("etag"), head.header("etag")));
    assert_eq!(got.header("etag"), format!("\"{}\"", posted.header("kad-digest")));
    assert!(got.header("age").parse::<u64>().unwrap() < 60 && got.header("kad-ttl").parse::<u64>().unwrap() <= 100);
    assert_eq!(got.header("cache-control"), "public, max-age=100, immutable");
    for tags in [got.header("etag"), "*", &format!("\"x\", W/{}", got.header("etag"))] {
        let same = gateway.ask("GET", path, &[("If-None-Match", tags)], "").await;
        assert_eq!((same.status.as_u16(), same.body.len(), same.header("etag")), (304, 0, got.header("etag")));
    }
    let other = gateway.ask("GET", path, &[("If-None-Match", "\"other\"")], "").await;
    assert_eq!((other.status.as_u16(), other.body.len()), (200, 5000));
}

#[tokio::test]
async fn a_value_never_runs_as_a_page_of_this_server() {
    let gateway = Gateway::lone().await;
    let posted = gateway.ask("POST", "/", &[("Content-Type", "text/html")], "<script>alert(1)</script>").await;
    for answer in [gateway.get(posted.header("location")).await, posted] {
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "sandbox");
    }
}

#[tokio::test]
async fn deleting_ends_publishing_once() {
    let gateway = Gateway::lone().await;
    let path = gateway.ask("POST", "/", &[], "mine").await.header("location").to_owned();
    assert_eq!(gateway.ask("DELETE", &path, &[], "").await.status.as_u16(), 204);
    gateway.ask("DELETE", &path, &[], "").await.is_problem(404, "not_published");
    let put = gateway.ask("PUT", &path, &[], "two").await;
    gateway.ask("PUT", &path, &[], "three").await;
    let one = format!("{path}?digest={}", put.header("kad-digest"));
    assert_eq!(gateway.ask("DELETE", &one, &[], "").await.status.as_u16(), 204);
    gateway.ask("DELETE", &one, &[], "").await.is_problem(404, "not_published");
    assert_eq!(gateway.dht.held(None, 10, true).await.unwrap().values.len(), 1, "the other is still published");
}

#[tokio::test]
async fn lifetimes_come_from_the_query_or_a_header_and_are_kept() {
    let gateway = Gateway::lone().await;
    for (path, headers) in [("/?ttl=1s", &[][..]), ("/", &[("Kad-TTL", "1s")]), ("/?ttl=1s", &[("Kad-TTL", "1h")])] {
        let value = format!("{path} {headers:?}");
        let posted = gateway.ask("POST", path, headers, value).await;
        let location = posted.header("location").to_owned();
        assert_eq!(gateway.get(&location).await.status.as_u16(), 200);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while gateway.get(&location).await.status.as_u16() != 404 {
            assert!(tokio::time::Instant::now() < deadline, "it lives for a second");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for bad in ["/?ttl=soon", "/?ttl=", "/?timeout=x", "/?copies=256", "/?copies=up-to-", "/?copies=many", "/?what=x"] {
        gateway.ask("POST", bad, &[], "x").await.is_problem(400, "query");
    }
    for bad in ["/?ttl=0s", "/?ttl=8days"] {
        gateway.ask("POST", bad, &[], "x").await.is_problem(400, "lifetime");
    }
}

#[tokio::test]
async fn copies_that_were_asked_for_exist_or_the_answer_is_an_error() {
    let gateways = network(4).await;
    let posted = gateways[0].ask("POST", "/?copies=3", &[], "enough").await;
    assert_eq!((posted.status.as_u16(), posted.header("kad-copies")), (202, "4"));
    gateways[0].ask("POST", "/?copies=4", &[], "too much").await.is_problem(503, "too_few_copies");
    let posted = gateways[0].ask("POST", "/?copies=up-to-4", &[], "all that there are").await;
    assert_eq!((posted.status.as_u16(), posted.header("kad-copies")), (202, "4"));
    assert_eq!(
        gateways[2].get(&format!("/{}", Key::hash("too much"))).await.status.as_u16(),
        200,
        "published all the same"
    );
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let gateway = Gateway::serve(node(&[]).start().unwrap(), owned()).await;
    let key = "a".repeat(64);
    for (path, allowed) in [
        ("/".to_owned(), "GET,HEAD,POST"),
        (format!("/{key}"), "GET,HEAD,PUT,DELETE"),
        ("/name/x".into(), "GET,HEAD,PUT"),
        ("/node".into(), "GET,HEAD"),
        ("/values".into(), "GET,HEAD,POST"),
        ("/stop".into(), "POST"),
        ("/metrics".into(), "GET,HEAD"),
    ] {
        for method in ["PATCH", "OPTIONS", "TRACE"] {
            let refused = gateway.ask(method, &path, &[], "").await;
            assert_eq!(refused.is_problem(405, "method_not_allowed").header("allow"), allowed, "{path}");
        }
    }
}

/// The value comes back as the first version of this interface had it; who wants less, or more, says so.
#[tokio::test]
async fn a_store_answers_with_the_value_the_receipt_or_nothing_as_the_client_prefers() {
    let gateways = network(3).await;
    let location = format!("/{}", Key::hash("x"));
    for (method, path) in [("POST", "/?copies=all"), ("PUT", &format!("{location}?copies=all")[..])] {
        let echoed = gateways[0].ask(method, path, &[("Accept", "application/json, text/plain, */*")], "x").await;
        assert_eq!((echoed.status.as_u16(), &echoed.body[..]), (202, &b"x"[..]), "{method}");
        assert_eq!(echoed.header("preference-applied"), "");
        for prefer in ["return=minimal", "respond-async, return=\"minimal\""] {
            let minimal = gateways[0].ask(method, path, &[("Prefer", prefer)], "x").await;
            assert_eq!((minimal.status.as_u16(), minimal.body.len(), minimal.header("content-type")), (202, 0, ""));
            assert_eq!(minimal.header("preference-applied"), "return=minimal");
            assert_eq!((minimal.header("location"), minimal.header("kad-copies")), (&location[..], "3"));
        }
        let whole = gateways[0].ask(method, path, &[("Prefer", "return=representation")], "x").await;
        assert_eq!((&whole.body[..], whole.header("preference-applied")), (&b"x"[..], "return=representation"));
        let receipt = gateways[0].ask(method, path, &[("Accept", "application/json")], "x").await;
        let told = receipt.json();
        assert_eq!((receipt.status.as_u16(), receipt.header("content-type")), (202, "application/json"));
        assert_eq!((&told["copies"], &told["complete"], &told["ttl_ms"]), (&3.into(), &true.into(), &3_600_000.into()));
        assert_eq!(receipt.header("location"), location);
    }
    let few = gateways[0].ask("POST", "/?copies=9", &[], "few").await;
    let problem = few.is_problem(503, "too_few_copies").json();
    assert_eq!((few.header("retry-after"), &problem["receipt"]["elsewhere"]), ("1", &2.into()), "{problem}");
}

#[tokio::test]
async fn a_value_is_read_as_bytes_or_with_everything_that_is_known_of_it() {
    let gateway = Gateway::lone().await;
    gateway.ask("PUT", "/name/n", &[], "one").await;
    gateway.ask("PUT", "/name/n", &[], "two").await;
    let key = Key::hash("n").to_string();
    let json = [("Accept", "application/json")];
    let found = gateway.ask("GET", "/name/n", &json, "").await;
    assert_eq!((found.status.as_u16(), found.header("vary")), (200, "accept"));
    assert_eq!((&found.json()["type"], &found.json()["key"]), (&"raw".into(), &key[..].into()));
    let bytes = gateway.ask("GET", "/name/n", &[], "").await;
    assert_ne!(found.header("etag"), bytes.header("etag"), "two representations");
    let same = [json[0], ("If-None-Match", found.header("etag"))];
    assert_eq!(gateway.ask("GET", "/name/n", &same, "").await.status.as_u16(), 304);
    let all = gateway.get(&format!("/{key}?all=values")).await.json();
    let mut values: Vec<_> =
        all["values"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["b25l", "dHdv"], "in base 64");
    gateway.get(&format!("/{key}?type=content")).await.is_problem(404, "not_found");
    gateway.get(&format!("/{key}?newer_than=0s")).await.is_problem(404, "not_found");
    gateway.get(&format!("/{}?all=values", Key::hash("none"))).await.is_problem(404, "not_found");
    for bad in ["type=tombstone", "newer_than=soon", "all=some", "timeout=x"] {
        gateway.get(&format!("/{key}?{bad}")).await.is_problem(400, "query");
    }
}

#[tokio::test]
async fn a_delete_says_how_much_it_took_back_and_may_only_end_publishing() {
    let gateways = network(2).await;
    let path = gateways[0].ask("POST", "/?copies=all", &[], "mine").await.header("location").to_owned();
    let json = [("Accept", "application/json")];
    let forgotten = gateways[0].ask("DELETE", &format!("{path}?everywhere=false"), &json, "").await;
    assert_eq!((forgotten.status.as_u16(), forgotten.json()["values"].as_u64()), (200, Some(1)), "{forgotten:?}");
    assert_eq!(gateways[1].get(&path).await.status.as_u16(), 200, "copies lapse with their lifetimes");
    gateways[0].ask("DELETE", &format!("{path}?everywhere=false"), &[], "").await.is_problem(404, "not_published");
}

#[tokio::test]
async fn many_values_are_stored_at_once_with_a_key_or_under_their_hashes() {
    let gateways = network(2).await;
    let body = format!(
        r#"{{"values": [{{"value": "YQ=="}}, {{"key": "{}", "value": "Yg=="}}, {{"value": "Yw=="}}]}}"#,
        Key::hash("k")
    );
    let stored = gateways[0].ask("POST", "/values?copies=all&ttl=1m", &[], body).await;
    let receipts = stored.json();
    let keys: Vec<_> = receipts.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, [Key::hash("a"), Key::hash("k"), Key::hash("c")].map(|key| key.to_string()), "in their order");
    assert!(receipts.as_array().unwrap().iter().all(|one| one["copies"] == 2 && one["ttl_ms"] == 60_000), "{receipts}");
    for (key, value) in [("a", "a"), ("k", "b"), ("c", "c")] {
        assert_eq!(gateways[1].get(&format!("/{}", Key::hash(key))).await.body, value);
    }
    let found = gateways[1].ask("GET", &format!("/{}", Key::hash("a")), &[("Accept", "application/json")], "").await;
    assert_eq!(found.json()["type"], "content");
}

/// Pairs of a write and a read through another node right after it: as many as `KAD_HTTP_PAIRS` says, a thousand otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_there_at_once_through_any_other_node() {
    let pairs: usize = std::env::var("KAD_HTTP_PAIRS").map_or(1000, |text| text.parse().expect("a number"));
    let gateways = std::sync::Arc::new(network(20).await);
    let workers = (0..16).map(|worker| {
        let gateways = gateways.clone();
        tokio::spawn(async move {
            for number in (worker..pairs).step_by(16) {
                let (to, from) = (number % 20, (number + 1 + number / 20 % 19) % 20);
                let value = [&number.to_le_bytes()[..], &bytes([10, 300, 2000][number % 3])].concat();
                let posted = gateways[to].ask("POST", "/", &[], value.clone()).await;
                assert_eq!(posted.status.as_u16(), 202, "{posted:?}");
                let got = gateways[from].get(posted.header("location")).await;
                assert_eq!((got.status.as_u16(), &got.body[..]), (200, &value[..]), "pair {number}");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn a_delete_is_obeyed_by_all_who_hold_the_value_and_it_can_be_posted_again() {
    let first = node(&[]).start().unwrap();
    let other = node(&[&first]).start().unwrap();
    let reader = node(&[&first]).start().unwrap();
    for dht in [&other, &reader] {
        dht.joined().await.unwrap();
    }
    let here = Gateway::serve(first, Settings { secret: Some([5; 32]), ..Settings::default() }).await;
    let there = Gateway::serve(other, Settings { secret: Some([6; 32]), ..Settings::default() }).await;
    let reader = Gateway::serve(reader, Settings::default()).await;
    for value in [bytes(10), bytes(MAX)] {
        for _ in 0..3 {
            let posted = here.ask("POST", "/?copies=all", &[], value.clone()).await;
            assert_eq!((posted.status.as_u16(), posted.header("kad-copies")), (202, "3"));
            let path = posted.header("location");
            assert_eq!(&reader.get(path).await.body[..], &value[..]);
            there.ask("DELETE", path, &[], "").await.is_problem(404, "not_published");
            assert_eq!(reader.get(path).await.status.as_u16(), 200, "nobody else deletes it");
            assert_eq!(here.ask("DELETE", path, &[], "").await.status.as_u16(), 204);
            for gateway in [&here, &there, &reader] {
                gateway.get(path).await.is_problem(404, "not_found");
            }
            here.ask("DELETE", path, &[], "").await.is_problem(404, "not_published");
        }
    }
    // What another gateway has published under the same key is another publisher's.
    let posted = there.ask("POST", "/?copies=all", &[], "shared").await;
    here.ask("POST", "/?copies=all", &[], "shared").await;
    assert_eq!(here.ask("DELETE", posted.header("location"), &[], "").await.status.as_u16(), 204);
    assert_eq!(&reader.get(posted.header("location")).await.body[..], b"shared");
}
