//! The key that a client presents, wherever its SDK puts it.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The presented key: `authorization: Bearer` (OpenAI), `x-api-key`
/// (Anthropic), `api-key` (Azure). Empty if there is none.
pub(super) fn presented(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let bearer = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sdk_has_its_place() {
        for (name, value, key) in [
            ("authorization", "Bearer k", "k"),
            ("authorization", "bearer  k ", "k"),
            ("authorization", "Basic k", ""),
            ("x-api-key", "k", "k"),
            ("api-key", "k", "k"),
            ("cookie", "k", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(presented(&headers), key, "{name}: {value}");
        }
    }
}
