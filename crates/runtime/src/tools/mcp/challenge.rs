//! What a server says in `www-authenticate`.

/// A parameter of a challenge, quoted or not.
pub(super) fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some(at) = rest.to_ascii_lowercase().find(name) {
        let before = rest.get(..at)?;
        let after = rest.get(at + name.len()..)?;
        let begins = before.chars().next_back().is_none_or(|c| c == ' ' || c == ',');
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        if let (true, Some(value)) = (begins, value) {
            return Some(match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
                None => value.split([',', ' ']).next().unwrap_or_default().to_owned(),
            });
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        let challenge =
            r#"Bearer error="x", resource_metadata="https://a/b?c=1", scope="a b", n=1"#;
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("a b"));
        assert_eq!(parameter(challenge, "resource_metadata").as_deref(), Some("https://a/b?c=1"));
        assert_eq!(parameter(challenge, "n").as_deref(), Some("1"));
        assert_eq!(parameter(challenge, "metadata"), None);
        assert_eq!(parameter("", "scope"), None);
        assert_eq!(parameter("scope", "scope"), None);
    }
}
