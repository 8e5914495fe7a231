//! Names that every provider accepts: at most 64 of `A-Z a-z 0-9 _ -`.
//!
//! A tool of an MCP server is `mcp__LABEL__TOOL`, an operation of an API is
//! `API__OPERATION`. What a server calls its tool is often longer or has other
//! characters; then the name is shortened and ends in a piece of the hash of
//! the whole, so that two tools never share one.

use crate::event::{Hash, Name};

/// Before the label of an MCP server.
const MCP: &str = "mcp__";

/// Between the parts of a name. No part before the last holds it.
const BETWEEN: &str = "__";

/// The most bytes of a name, by the strictest provider.
const NAME_MAX: usize = 64;

/// The most bytes of a label in a name, so that some are left for the tool.
const LABEL_MAX: usize = 24;

/// How much of a hash tells shortened names apart.
const MARK: usize = 8;

/// What a model calls a tool of an MCP server.
pub fn of_mcp(label: &str, tool: &str) -> Name {
    join(&format!("{MCP}{}{BETWEEN}", label_part(label)), tool)
}

/// What a model calls an operation of an API.
pub fn of_operation(api: &str, operation: &str) -> Name {
    join(&format!("{}{BETWEEN}", label_part(api)), operation)
}

/// The label and the tool in the name of a tool of an MCP server, each as it
/// stands in the name: what was shortened stays so. To find the tool behind a
/// name, compare with [`of_mcp`] of what the server listed.
pub fn parse(name: &str) -> Option<(&str, &str)> {
    let (label, tool) = name.strip_prefix(MCP)?.split_once(BETWEEN)?;
    (!label.is_empty() && !tool.is_empty()).then_some((label, tool))
}

/// Whether a name is one that providers accept.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// A label as part of a name: without the divider, and so that the divider
/// after it is the first one.
pub(super) fn label_part(label: &str) -> String {
    let divides = label.contains(BETWEEN) || label.ends_with('_') || label.starts_with('_');
    fit(label, LABEL_MAX, divides).replace(BETWEEN, "-")
}

fn join(prefix: &str, tool: &str) -> Name {
    let tool = fit(tool, NAME_MAX - prefix.len(), false);
    Name::cut(&format!("{prefix}{tool}"))
}

/// The text itself if it is plain and fits, else as much of it as fits with a
/// mark of the whole.
fn fit(text: &str, max: usize, marked: bool) -> String {
    if !marked && !text.is_empty() && text.len() <= max && text.bytes().all(is_allowed) {
        return text.to_owned();
    }
    let allowed = |c: char| if c.is_ascii() && is_allowed(c as u8) { c } else { '-' };
    let start: String = text.chars().take(max.saturating_sub(MARK + 1)).map(allowed).collect();
    let mark: String = Hash::of(text.as_bytes()).to_string().chars().take(MARK).collect();
    format!("{}-{mark}", start.trim_matches('_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(of_mcp("github", "create_issue").as_str(), "mcp__github__create_issue");
        assert_eq!(parse("mcp__github__create_issue"), Some(("github", "create_issue")));
        assert_eq!(parse("mcp__a__b__c"), Some(("a", "b__c")));
        assert_eq!(of_operation("crm", "getCustomer").as_str(), "crm__getCustomer");
        for name in ["", "github", "mcp__", "mcp__a", "mcp____b", "mcp__a__"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_would_run_into_each_other_stay_apart() {
        let (long, longer) = ("x".repeat(100), "x".repeat(101));
        for (a, b) in [
            (("a", "b.c"), ("a", "b/c")),
            (("a__b", "c"), ("a", "b__c")),
            (("a_", "b"), ("a", "_b")),
            (("a", long.as_str()), ("a", longer.as_str())),
            (("é", "t"), ("è", "t")),
            (("a", ""), ("a", "-")),
        ] {
            assert_ne!(of_mcp(a.0, a.1), of_mcp(b.0, b.1), "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_plain_and_says_its_label(label in ".{0,80}", tool in ".{0,200}") {
            let name = of_mcp(&label, &tool);
            prop_assert!(is_plain(name.as_str()), "{name}");
            let (said, _) = parse(name.as_str()).expect("it is one of a server");
            let other = of_mcp(&label, "another");
            prop_assert_eq!(said, parse(other.as_str()).expect("so is this").0);
            prop_assert!(is_plain(of_operation(&label, &tool).as_str()));
        }
    }
}
