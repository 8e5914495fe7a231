//! Words and names that have no place somewhere, or anywhere.

use super::source::Source;

/// File names that say nothing.
const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "helper", "helpers", "common", "manager", "misc", "stuff"];

/// Macros and calls that are refused, and what to write instead.
const BANNED: [(&str, &str); 5] = [
    ("#[allow(", "#[expect(..., reason = \"...\")]"),
    ("#![allow(", "an exception in the workspace's lints"),
    ("todo!(", "the code"),
    ("unimplemented!(", "the code"),
    ("dbg!(", "tracing"),
];

/// Services and companies. Their formats are `llm/format`, the rest of what
/// is theirs is data in the catalogue; shells show it and do not know it.
const VENDORS: [&str; 19] = [
    "openai",
    "anthropic",
    "azure",
    "bedrock",
    "gemini",
    "groq",
    "mistral",
    "openrouter",
    "deepseek",
    "cohere",
    "ollama",
    "vllm",
    "perplexity",
    "huggingface",
    "cerebras",
    "claude",
    "moonshot",
    "snowflake",
    "databricks",
];

/// Where vendor names belong.
const VENDOR_ROOMS: [&str; 10] = [
    "crates/llm/src/format/",
    "crates/server/src/surface/",
    "xtask/src/recordings/wire/",
    "bench/",
    // The names of headers that pass through.
    "crates/gateway/src/wire.rs",
    "crates/gateway/src/auth/",
    "crates/server/src/emulate/",
    "crates/control/src/bills/",
    // Object stores, each by its cloud's protocol.
    "crates/store/src/blob_store/",
    "xtask/src/tidy/words.rs",
];

/// Beginnings of SQL statements.
const SQL: [&str; 9] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
];

/// Checks one Rust file.
pub(super) fn check(source: &Source, errors: &mut Vec<String>) {
    let path = &source.path;
    let stem = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let folders = path.split('/');
    if folders.clone().any(|part| EMPTY_NAMES.contains(&part)) || EMPTY_NAMES.contains(&stem) {
        errors.push(format!("{path}: the name says nothing; name what it is about"));
    }
    if !source.text.starts_with("//!") {
        errors.push(format!("{path}: a module opens with `//!`, what it is for"));
    }
    for (n, line) in source.code.lines().enumerate() {
        for (word, instead) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
            errors.push(format!("{path}:{}: instead of `{word}` write {instead}", n + 1));
        }
    }
    if !source.is_test() {
        vendors(source, errors);
        sql(source, errors);
    }
}

fn vendors(source: &Source, errors: &mut Vec<String>) {
    if VENDOR_ROOMS.iter().any(|room| source.path.starts_with(room)) {
        return;
    }
    let lines = source.code.lines().enumerate().map(|(n, line)| (n + 1, line));
    let strings = source.strings.iter().map(|(n, string)| (*n, string.as_str()));
    for (line, text) in lines.chain(strings) {
        let lower = text.to_lowercase();
        if let Some(vendor) = VENDORS.iter().find(|vendor| lower.contains(*vendor)) {
            let path = &source.path;
            errors
                .push(format!("{path}:{line}: `{vendor}` belongs in llm/format or the catalogue"));
        }
    }
}

fn sql(source: &Source, errors: &mut Vec<String>) {
    let rooms = ["crates/store/", "bench/", "xtask/src/tidy/words.rs"];
    if rooms.iter().any(|room| source.path.starts_with(room)) {
        return;
    }
    for (line, string) in &source.strings {
        if SQL.iter().any(|start| string.trim_start().starts_with(start)) {
            errors.push(format!("{}:{line}: SQL belongs in store", source.path));
        }
    }
}

/// Checks any other text file: nothing may name the place where it was
/// written.
pub(super) fn workplace(path: &str, text: &str, errors: &mut Vec<String>) {
    // Put together here, so that this file does not trip over itself.
    let places = [["/wo", "rk/"].concat(), ["../sha", "red/"].concat(), ["/ro", "ot/"].concat()];
    for (n, line) in text.lines().enumerate() {
        if let Some(place) = places.iter().find(|place| line.contains(place.as_str())) {
            errors.push(format!("{path}:{}: `{place}` is a place on one machine", n + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str, text: &str) -> usize {
        let mut errors = Vec::new();
        check(&Source::new(path, text.to_owned()), &mut errors);
        workplace(path, text, &mut errors);
        errors.len()
    }

    #[test]
    fn each_rule_bites() {
        assert_eq!(errors("crates/x/src/a.rs", "//! A.\nfn a() {}\n"), 0);
        assert_eq!(errors("crates/x/src/a.rs", "fn a() {}\n"), 1);
        assert_eq!(errors("crates/x/src/utils.rs", "//! A.\n"), 1);
        assert_eq!(errors("crates/x/src/a.rs", "//! A.\n#[allow(dead_code)]\nfn a() {}\n"), 1);
        assert_eq!(errors("crates/x/src/a.rs", "//! A.\nconst A: &str = \"OpenAI\";\n"), 1);
        assert_eq!(errors("crates/x/src/a.rs", "//! OpenAI's.\n"), 0);
        assert_eq!(errors("crates/llm/src/format/a.rs", "//! A.\nstruct OpenAi;\n"), 0);
        assert_eq!(errors("crates/x/src/a.rs", "//! A.\nconst A: &str = \"SELECT 1\";\n"), 1);
        assert_eq!(errors("crates/store/src/a.rs", "//! A.\nconst A: &str = \"SELECT 1\";\n"), 0);
        let place = ["//! In /wo", "rk/x.\n"].concat();
        assert_eq!(errors("crates/x/src/a.rs", &place), 1);
    }
}
