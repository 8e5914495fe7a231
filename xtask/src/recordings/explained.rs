//! Findings that are as they should be, each with its reason.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};

/// Rows of `testdata/explained.tsv`: recording, field, reason. In the first
/// two a `*` stands for anything.
pub(crate) struct Explained {
    rows: Vec<Explanation>,
}

struct Explanation {
    recording: String,
    field: String,
    seen: AtomicBool,
    used: AtomicBool,
}

impl Explained {
    /// Reads the file; a missing file explains nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::parse(""),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut rows = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if n == 0 || line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut columns = line.split('\t');
            let (Some(recording), Some(field), Some(reason)) =
                (columns.next(), columns.next(), columns.next())
            else {
                bail!("line {}: expected recording, field and reason", n + 1);
            };
            if !reason.contains("://") && !reason.contains(".md") {
                bail!("line {}: the reason has no link", n + 1);
            }
            if recording.trim_matches('*').len() < 8 {
                bail!("line {}: {recording:?} explains too many recordings", n + 1);
            }
            rows.push(Explanation {
                recording: recording.to_owned(),
                field: field.to_owned(),
                seen: AtomicBool::new(false),
                used: AtomicBool::new(false),
            });
        }
        Ok(Self { rows })
    }

    /// Notes that a recording is in the folder.
    pub(crate) fn saw(&self, recording: &str) {
        for row in self.rows.iter().filter(|row| matches(&row.recording, recording)) {
            row.seen.store(true, Ordering::Relaxed);
        }
    }

    /// True if a finding has its reason.
    pub(crate) fn covers(&self, recording: &str, field: &str) -> bool {
        let mut covered = false;
        for row in &self.rows {
            if matches(&row.recording, recording) && matches(&row.field, field) {
                row.used.store(true, Ordering::Relaxed);
                covered = true;
            }
        }
        covered
    }

    /// Rows for recordings that are there and have no such finding.
    pub(crate) fn unused(&self) -> Vec<String> {
        let idle = |row: &&Explanation| {
            row.seen.load(Ordering::Relaxed) && !row.used.load(Ordering::Relaxed)
        };
        self.rows
            .iter()
            .filter(idle)
            .map(|row| format!("{}\t{}", row.recording, row.field))
            .collect()
    }
}

/// True if `text` fits `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("a[1]*.b", "a[1].x.b"));
        assert!(matches("*#0", "x#0"));
        assert!(matches("plain", "plain"));
        assert!(!matches("plain", "plainer"));
        assert!(!matches("a*b*c", "acb"));
    }

    #[test]
    fn rows_need_a_link_and_some_aim() {
        assert!(Explained::parse("h\nopenai/x.yaml#0\tf\tbecause\n").is_err());
        assert!(Explained::parse("h\n*\tf\thttps://x\n").is_err());
        let ok = Explained::parse("h\nopenai/x.yaml#*\tf\thttps://x\n").unwrap();
        ok.saw("openai/x.yaml#1");
        assert_eq!(ok.unused().len(), 1);
        assert!(ok.covers("openai/x.yaml#1", "f"));
        assert!(ok.unused().is_empty());
    }
}
