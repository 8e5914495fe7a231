//! Files and functions that are too long.

use std::collections::BTreeMap;

use super::source::{Source, block_end};

/// More lines of code than this deserve a second look.
const FILE_WARN: usize = 600;

/// More lines of code than this are refused.
const FILE_LIMIT: usize = 1000;

/// Longer functions must stand in the list of exceptions.
const FUNCTION_LIMIT: usize = 70;

/// The list of exceptions, which may only shrink.
const LIST: &str = "xtask/long_functions.txt";

/// Files over the limit are errors; files near it are `warnings`.
pub(super) fn files(sources: &[Source], errors: &mut Vec<String>, warnings: &mut Vec<String>) {
    for source in sources {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        let said = format!("{}: {lines} lines of code", source.path);
        if lines > FILE_LIMIT {
            errors.push(format!("{said}, over {FILE_LIMIT}: a file is about one thing"));
        } else if lines > FILE_WARN {
            warnings.push(said);
        }
    }
}

/// Functions over the limit that the list does not have, and rows of the list
/// that are no longer needed or could be lower.
pub(super) fn functions(sources: &[Source], list: &str, errors: &mut Vec<String>) {
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for row in list.lines().filter(|row| !row.is_empty() && !row.starts_with('#')) {
        if let Some((name, lines)) = row.rsplit_once(' ') {
            allowed.insert(name, lines.parse().unwrap_or(0));
        }
    }
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (name, lines) in long(source) {
            let key = format!("{}::{name}", source.path);
            match allowed.remove(key.as_str()) {
                Some(limit) if lines == limit => {}
                Some(limit) if lines < limit => {
                    errors.push(format!("{LIST}: lower {key} to {lines}: it may only shrink"));
                }
                _ => errors.push(format!(
                    "{key} has {lines} lines, over {FUNCTION_LIMIT}: cut it into what it does"
                )),
            }
        }
    }
    for name in allowed.keys() {
        errors.push(format!("{LIST}: take out {name}, which is short now"));
    }
}

fn long(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("fn ") {
        let before = source.code.get(..at).and_then(|s| s.chars().next_back());
        let rest = source.code.get(at + 3..).unwrap_or_default();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if before.is_some_and(|c| !c.is_whitespace()) || name.is_empty() {
            continue;
        }
        let end = block_end(&source.code, at).unwrap_or(at);
        let lines = source.code.get(at..end).unwrap_or_default().matches('\n').count() + 1;
        if lines > FUNCTION_LIMIT {
            found.push((name, lines));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(lines: usize) -> Vec<Source> {
        let text = format!("fn long() {{\n{}}}\nfn short();\n", "    x;\n".repeat(lines - 2));
        vec![Source::new("crates/x/src/lib.rs", text)]
    }

    #[test]
    fn the_list_may_only_shrink() {
        let check = |lines: usize, list: &str| {
            let mut errors = Vec::new();
            functions(&source(lines), list, &mut errors);
            errors
        };
        assert!(check(70, "").is_empty());
        assert_eq!(check(71, "").len(), 1);
        assert!(check(80, "crates/x/src/lib.rs::long 80").is_empty());
        assert_eq!(check(81, "crates/x/src/lib.rs::long 80").len(), 1);
        assert_eq!(check(79, "crates/x/src/lib.rs::long 80").len(), 1);
        assert_eq!(check(60, "crates/x/src/lib.rs::long 80").len(), 1);
    }

    #[test]
    fn long_files_are_refused() {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        files(&source(700), &mut errors, &mut warnings);
        assert_eq!((errors.len(), warnings.len()), (0, 1));
        files(&source(1001), &mut errors, &mut warnings);
        assert_eq!(errors.len(), 1);
    }
}
