//! A folder of recordings: its index, its files, the exchanges in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::exchange::{self, Exchange};
use super::yaml;

/// A row of `INDEX.tsv`; the columns that the check does not use stay in
/// `line`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The service that answered.
    pub(crate) provider: String,
    /// The project whose recording it is.
    pub(crate) source: String,
    /// The exchange's number in its file.
    pub(crate) idx: usize,
    /// The endpoint, or a word for the wire format.
    pub(crate) endpoint: String,
    /// What the recording shows (`tools`, `thinking`...), with its stream
    /// form.
    pub(crate) features: String,
    /// The row as it stands.
    pub(crate) line: String,
}

/// A file of recordings.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its path in the folder, with `/`.
    pub(crate) path: String,
    /// Its rows in the index; empty where it has none.
    pub(crate) rows: Vec<Row>,
}

/// A recording: an exchange, or why there is none.
pub(crate) struct Recording {
    /// The service that answered.
    pub(crate) provider: String,
    /// `PATH#IDX`.
    pub(crate) name: String,
    /// What was recorded.
    pub(crate) exchange: Result<Exchange>,
}

/// The files of a folder: those that the index names, and any others.
pub(crate) fn files(root: &Path) -> Result<Vec<File>> {
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    if let Ok(index) = std::fs::read_to_string(root.join("INDEX.tsv")) {
        for line in index.lines().skip(1) {
            if let Some((path, row)) = row(line) {
                rows.entry(path).or_default().push(row);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, &mut found).with_context(|| format!("cannot read {}", root.display()))?;
    for path in found {
        let inside = path.strip_prefix(root).unwrap_or(&path);
        let name: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        if is_recording(&path) && !name.first().is_some_and(|top| top.starts_with('_')) {
            rows.entry(name.join("/")).or_default();
        }
    }
    Ok(rows.into_iter().map(|(path, rows)| File { path, rows }).collect())
}

fn row(line: &str) -> Option<(String, Row)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let at = |n: usize| columns.get(n).copied().unwrap_or_default();
    let path = at(3);
    let outside =
        Path::new(path).components().any(|c| !matches!(c, std::path::Component::Normal(_)));
    if path.is_empty() || outside {
        return None;
    }
    let row = Row {
        provider: at(0).to_owned(),
        source: at(1).to_owned(),
        idx: at(4).parse().ok()?,
        endpoint: at(6).to_owned(),
        features: format!("{},{}", at(9), at(12)),
        line: line.to_owned(),
    };
    Some((path.to_owned(), row))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A link may lead in a circle; none is followed.
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn is_recording(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    [".yaml", ".yml", ".json", ".chunks.txt", ".sse"].iter().any(|end| name.ends_with(end))
}

impl File {
    /// The recordings of the file: those that the index lists, or all.
    pub(crate) fn load(&self, root: &Path) -> Vec<Recording> {
        let read = self.read(root);
        let rows = if self.rows.is_empty() { self.made_up_rows(&read) } else { self.rows.clone() };
        let mut exchanges: Vec<Option<Result<Exchange>>> = match read {
            Ok(exchanges) => exchanges.into_iter().map(Some).collect(),
            Err(why) => {
                let why = format!("{why:#}");
                let unread = |row: Row| Recording {
                    name: format!("{}#{}", self.path, row.idx),
                    provider: row.provider,
                    exchange: Err(anyhow::anyhow!(why.clone())),
                };
                return rows.into_iter().map(unread).collect();
            }
        };
        rows.into_iter()
            .map(|row| Recording {
                name: format!("{}#{}", self.path, row.idx),
                provider: row.provider,
                exchange: exchanges
                    .get_mut(row.idx)
                    .and_then(Option::take)
                    .unwrap_or_else(|| Err(anyhow::anyhow!("the file has no such exchange"))),
            })
            .collect()
    }

    /// Rows for a file that the index does not name: the provider is the
    /// first folder of its path.
    fn made_up_rows(&self, read: &Result<Vec<Result<Exchange>>>) -> Vec<Row> {
        let count = read.as_ref().map_or(1, Vec::len);
        let provider = self.path.split('/').next().unwrap_or_default();
        (0..count)
            .map(|idx| Row {
                provider: provider.to_owned(),
                source: String::new(),
                idx,
                endpoint: String::new(),
                features: String::new(),
                line: String::new(),
            })
            .collect()
    }

    fn read(&self, root: &Path) -> Result<Vec<Result<Exchange>>> {
        let bytes = std::fs::read(root.join(&self.path))?;
        let text = String::from_utf8(bytes).context("not UTF-8")?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let format = self.rows.first().map_or("", |row| row.endpoint.as_str());
        let ends = |end: &str| self.path.ends_with(end);
        if ends(".chunks.txt") {
            Ok(vec![exchange::of_chunks(text, format)])
        } else if ends(".sse") {
            Ok(vec![Ok(exchange::of_sse(text, format))])
        } else if ends(".json") && !text.contains("nteractions\"") {
            Ok(vec![Ok(exchange::of_json(text, format))])
        } else {
            // JSON is YAML, so a cassette in JSON needs no reader of its own.
            exchange::of_cassette(&yaml::read(text)?)
        }
    }
}
