//! Every error code has a page, and every page a code that is in use.

use std::collections::BTreeMap;

use freehold_types::Code;

use super::source::Source;

/// Where the pages are, one a code, by its word.
pub(super) const FOLDER: &str = "docs/errors/";

/// What each page answers, under its title.
const SECTIONS: [&str; 2] = ["## Why", "## What to do"];

/// Where the codes are made, and where providers' own codes are read.
const EXEMPT: [&str; 3] = ["crates/types/", "crates/llm/src/", "xtask/"];

/// Pairs the codes with the pages (path to text), and with the code that
/// raises them.
pub(super) fn check(
    pages: &BTreeMap<String, String>,
    sources: &[Source],
    errors: &mut Vec<String>,
) {
    for code in Code::ALL {
        let path = format!("{FOLDER}{code}.md");
        match pages.get(&path) {
            Some(text) => page(&path, *code, text, errors),
            None => errors.push(format!("{path}: the code `{code}` has no page")),
        }
        if !sources.iter().any(|source| raises(source, *code)) {
            errors.push(format!("{path}: nothing raises `Code::{code:?}`; remove it"));
        }
    }
    for path in pages.keys() {
        if !Code::ALL.iter().any(|code| format!("{FOLDER}{code}.md") == *path) {
            errors.push(format!("{path}: there is no such code; remove the page"));
        }
    }
    for source in sources.iter().filter(|source| !source.is_test()) {
        if EXEMPT.iter().any(|room| source.path.starts_with(room)) {
            continue;
        }
        for (n, line) in source.code.lines().enumerate() {
            let sets = [".code = Some(", " code: Some("].iter().any(|set| line.contains(set));
            if sets && !line.contains("Code::") {
                let path = &source.path;
                errors.push(format!("{path}:{}: an error's code is one of `Code`", n + 1));
            }
        }
    }
}

fn page(path: &str, code: Code, text: &str, errors: &mut Vec<String>) {
    let title = format!("# `{code}`");
    if text.lines().next() != Some(&title) {
        errors.push(format!("{path}: the first line is `{title}`"));
    }
    for section in SECTIONS {
        let mut after = text.lines().skip_while(|line| *line != section).skip(1);
        let answer = after.find(|line| !line.is_empty());
        if answer.is_none_or(|line| line.starts_with('#')) {
            errors.push(format!("{path}: `{section}` is missing or empty"));
        }
    }
}

fn raises(source: &Source, code: Code) -> bool {
    if source.is_test() || source.path.starts_with("crates/types/") {
        return false;
    }
    let name = format!("Code::{code:?}");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    source.code.match_indices(&name).any(|(at, _)| {
        let before = source.code.get(..at).and_then(|s| s.chars().next_back());
        let after = source.code.get(at + name.len()..).and_then(|s| s.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (BTreeMap<String, String>, Vec<Source>) {
        let page = |code: &Code| {
            let text = format!("# `{code}`\n\nIt.\n\n## Why\n\nSo.\n\n## What to do\n\nThis.\n");
            (format!("{FOLDER}{code}.md"), text)
        };
        let raised: Vec<_> = Code::ALL.iter().map(|code| format!("f(Code::{code:?});")).collect();
        let sources = vec![Source::new("crates/a/src/a.rs", raised.join("\n"))];
        (Code::ALL.iter().map(page).collect(), sources)
    }

    fn found(pages: &BTreeMap<String, String>, sources: &[Source]) -> Vec<String> {
        let mut errors = Vec::new();
        check(pages, sources, &mut errors);
        errors
    }

    #[test]
    fn a_pair_of_each_is_right() {
        let (pages, sources) = good();
        assert_eq!(found(&pages, &sources), [""; 0]);
    }

    #[test]
    fn what_has_no_partner_is_named() {
        let (mut pages, sources) = good();
        pages.remove("docs/errors/key.missing.md");
        pages.insert("docs/errors/key.lacking.md".into(), "# `key.lacking`".into());
        let errors = found(&pages, &sources);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("`key.missing` has no page"));
        assert!(errors[1].starts_with("docs/errors/key.lacking.md: there is no such code"));
    }

    #[test]
    fn an_empty_answer_is_no_page() {
        let (mut pages, sources) = good();
        let text = "# `stopping`\n\n## Why\n\n## What to do\n\nWait.\n";
        pages.insert("docs/errors/stopping.md".into(), text.into());
        let errors = found(&pages, &sources);
        assert_eq!(errors, ["docs/errors/stopping.md: `## Why` is missing or empty"]);
    }

    #[test]
    fn a_code_that_only_tests_and_comments_name_is_not_in_use() {
        let (pages, mut sources) = good();
        let text = sources[0].text.replace("f(Code::Stopping)", "// Code::Stopping");
        sources[0] = Source::new("crates/a/src/a.rs", text);
        sources.push(Source::new("crates/a/tests/t.rs", "f(Code::Stopping);".into()));
        let errors = found(&pages, &sources);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("nothing raises `Code::Stopping`"), "{errors:?}");
    }

    #[test]
    fn a_code_made_up_on_the_spot_is_seen() {
        let (pages, mut sources) = good();
        let text = "fn f() {\n    error.code = Some(\"odd\".into());\n}";
        sources.push(Source::new("crates/a/src/b.rs", text.into()));
        let errors = found(&pages, &sources);
        assert_eq!(errors, ["crates/a/src/b.rs:2: an error's code is one of `Code`"]);
    }
}
