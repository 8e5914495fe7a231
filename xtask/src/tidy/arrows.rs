//! Which crate may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

/// The ladder: each may use those after it. `llm` stands beside it.
const LADDER: [&str; 7] = ["server", "console", "runtime", "gateway", "control", "store", "types"];

/// Dependencies that only some crates may have.
const FENCED: [(&str, &[&str]); 6] = [
    ("rusqlite", &["store"]),
    ("tokio-postgres", &["store"]),
    ("axum", &["server", "console"]),
    ("clap", &["server", "xtask"]),
    ("askama", &["console"]),
    ("anyhow", &["server", "xtask"]),
];

/// What pure crates may not have.
const PURE: [(&str, &[&str]); 2] = [
    ("llm", &["tokio", "hyper", "hyper-util", "reqwest", "axum", "rusqlite"]),
    ("types", &["tokio", "hyper", "hyper-util", "axum", "rusqlite"]),
];

/// A crate's manifest.
pub(super) struct Manifest {
    /// The crate's folder name.
    pub(super) name: String,
    /// Its Cargo.toml.
    pub(super) table: Table,
}

/// Checks the manifests against the rules and against the list that
/// `ARCHITECTURE.md` has in a block of kind `arrows`.
pub(super) fn check(manifests: &[Manifest], architecture: Option<&str>, errors: &mut Vec<String>) {
    let mut arrows = BTreeMap::new();
    for Manifest { name, table } in manifests {
        let lints = table.get("lints").and_then(|l| l.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            errors.push(format!("{name}/Cargo.toml: lacks `[lints] workspace = true`"));
        }
        let ours: BTreeSet<String> = names(table, "dependencies")
            .filter_map(|d| d.strip_prefix("freehold-").map(str::to_owned))
            .collect();
        for other in &ours {
            if !may_use(name, other) {
                errors.push(format!("{name} -> {other}: an arrow that climbs"));
            }
        }
        for dependency in names(table, "dependencies") {
            fences(name, dependency, errors);
        }
        arrows.insert(name.clone(), ours);
    }
    if let Some(text) = architecture {
        listed(&arrows, text, errors);
    }
}

fn names<'a>(table: &'a Table, section: &str) -> impl Iterator<Item = &'a str> {
    table
        .get(section)
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten()
        .map(|(k, _)| k.as_str())
}

fn may_use(from: &str, to: &str) -> bool {
    let rung = |name: &str| LADDER.iter().position(|r| *r == name);
    match (from, to) {
        ("sim" | "xtask", _) | ("server", "local") => true,
        ("local", to) => matches!(to, "llm" | "types"),
        ("llm", to) => to == "types",
        // llm stands beside store: whoever may use store may use it.
        (from, "llm") => rung(from) < rung("store") && rung(from).is_some(),
        (from, to) => match (rung(from), rung(to)) {
            (Some(from), Some(to)) => from < to,
            _ => false,
        },
    }
}

fn fences(name: &str, dependency: &str, errors: &mut Vec<String>) {
    for (fenced, rooms) in FENCED {
        if dependency == fenced && !rooms.contains(&name) {
            errors.push(format!("{name}: `{fenced}` belongs only to {}", rooms.join(", ")));
        }
    }
    for (pure, refused) in PURE {
        if name == pure && refused.contains(&dependency) {
            errors.push(format!("{name} is pure and may not have `{dependency}`"));
        }
    }
}

/// The block's lines are `crate -> crate crate`; it must equal what is.
fn listed(arrows: &BTreeMap<String, BTreeSet<String>>, text: &str, errors: &mut Vec<String>) {
    let wanted: Vec<String> = arrows
        .iter()
        .map(|(name, to)| {
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            format!("{name} -> {}", to.join(" ")).trim_end().to_owned()
        })
        .collect();
    let block = text.split("```arrows\n").nth(1).and_then(|rest| rest.split("```").next());
    let found: Vec<&str> = block.unwrap_or_default().lines().map(str::trim_end).collect();
    if found != wanted {
        errors.push(format!(
            "ARCHITECTURE.md: its block of arrows must be:\n```arrows\n{}\n```",
            wanted.join("\n")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(name: &str, toml: &str) -> Vec<String> {
        let mut errors = Vec::new();
        let table = toml.parse().unwrap();
        check(&[Manifest { name: name.to_owned(), table }], None, &mut errors);
        errors
    }

    #[test]
    fn arrows_never_climb() {
        let lints = "lints.workspace = true\n[dependencies]\n";
        assert!(
            errors("gateway", &format!("{lints}freehold-store = 1\nfreehold-llm = 1")).is_empty()
        );
        assert_eq!(errors("store", &format!("{lints}freehold-control = 1")).len(), 1);
        assert_eq!(errors("store", &format!("{lints}freehold-llm = 1")).len(), 1);
        assert_eq!(errors("llm", &format!("{lints}tokio = 1")).len(), 1);
        assert_eq!(errors("gateway", &format!("{lints}rusqlite = 1")).len(), 1);
        assert_eq!(errors("types", "").len(), 1);
    }

    #[test]
    fn the_list_must_be_true() {
        let arrows = BTreeMap::from([("llm".to_owned(), BTreeSet::from(["types".to_owned()]))]);
        let check = |text: &str| {
            let mut errors = Vec::new();
            listed(&arrows, text, &mut errors);
            errors.len()
        };
        assert_eq!(check("x\n```arrows\nllm -> types\n```\n"), 0);
        assert_eq!(check("x\n```arrows\nllm ->\n```\n"), 1);
        assert_eq!(check("x"), 1);
    }
}
