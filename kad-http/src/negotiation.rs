//! The headers `Accept` (RFC 9110, section 12.5.1) and `Prefer` (RFC 7240).

use axum::http::{HeaderMap, HeaderName, header};

/// The header with the client's preferences.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The header with the applied preferences.
pub(crate) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Returns whether a client prefers JSON to bytes. With equal preference it gets bytes.
pub(crate) fn wants_json(asked: &HeaderMap) -> bool {
    quality(asked, "application/json") > quality(asked, "application/octet-stream")
}

/// Returns the quality of a type in thousandths, from the most specific media range.
fn quality(asked: &HeaderMap, kind: &str) -> u16 {
    if !asked.contains_key(header::ACCEPT) {
        return 1000;
    }
    let ranges = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = ranges.flat_map(|list| list.split(',')).filter_map(|range| matched(range, kind));
    ranges.max_by_key(|(specificity, _)| *specificity).map_or(0, |(_, quality)| quality)
}

/// Returns the specificity and quality of a media range that contains a type.
fn matched(range: &str, kind: &str) -> Option<(u8, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let specificity = match range.as_str() {
        "*/*" => 0,
        "application/*" => 1,
        exact if exact == kind => 2,
        _ => return None,
    };
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok()).unwrap_or(0.0);
    Some((specificity, (quality.clamp(0.0, 1.0) * 1000.0) as u16))
}

/// The preferred response to a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Return {
    /// The headers only.
    Minimal,
    /// The value.
    Representation,
}

impl Return {
    /// Returns the first known preference `return`.
    pub(crate) fn of(asked: &HeaderMap) -> Option<Self> {
        let lists = asked.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut preferences = lists.flat_map(|list| list.split(','));
        let value = preferences.find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("return").then(|| value.trim().trim_matches('"'))
        })?;
        [Self::Minimal, Self::Representation].into_iter().find(|known| known.value() == value)
    }

    const fn value(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Representation => "representation",
        }
    }

    /// Returns the value of `Preference-Applied`.
    pub(crate) const fn applied(self) -> &'static str {
        match self {
            Self::Minimal => "return=minimal",
            Self::Representation => "return=representation",
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::{PREFER, Return, wants_json};

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn json_comes_only_where_it_is_wanted_more_than_bytes() {
        for wanted in ["application/json", "application/json, */*;q=0.1", "APPLICATION/JSON;q=0.5"] {
            assert!(wants_json(&headers(header::ACCEPT, &[wanted])), "{wanted}");
        }
        assert!(wants_json(&headers(header::ACCEPT, &["text/html", "application/json"])));
        assert!(wants_json(&headers(header::ACCEPT, &["application/*, application/octet-stream;q=0"])));
        // The headers of curl, browsers, and libraries that accept everything.
        for not in
            ["*/*", "text/html,application/xml;q=0.9,*/*;q=0.8", "application/json, text/plain, */*", "", "x;q=y"]
        {
            assert!(!wants_json(&headers(header::ACCEPT, &[not])), "{not}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }

    #[test]
    fn the_first_preference_counts() {
        for (text, expected) in [
            (&["return=minimal"][..], Some(Return::Minimal)),
            (&["respond-async, Return=\"minimal\"; x=1"], Some(Return::Minimal)),
            (&["wait=1", "return = representation, return=minimal"], Some(Return::Representation)),
            (&["return=nothing"], None),
            (&["return"], None),
            (&[], None),
        ] {
            assert_eq!(Return::of(&headers(PREFER, text)), expected, "{text:?}");
        }
    }
}
