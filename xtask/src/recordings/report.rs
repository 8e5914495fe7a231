//! What a run over a folder came to, as text.

use std::collections::BTreeMap;
use std::io::Write;

use super::check::Finding;
use super::explained::Explained;

/// At most this share of the recordings in scope may need an explanation.
const EXPLAINED_LIMIT_PERCENT: usize = 2;

/// Findings shown of one field.
const EXAMPLES: usize = 3;

/// What became of one recording.
#[derive(Debug)]
pub(crate) enum Fate {
    NotOurs,
    Later,
    Unreadable(String),
    /// Checked: whether it was a stream, the crossings made, and what was
    /// found.
    Checked {
        stream: bool,
        crossed: usize,
        findings: Vec<Finding>,
    },
}

/// The counts of one provider.
#[derive(Debug, Default)]
struct Counts {
    in_scope: usize,
    decoded: usize,
    resplit: usize,
    crossed: usize,
    not_ours: usize,
    later: usize,
    unreadable: usize,
    explained: usize,
    unexplained: usize,
}

/// Reads one count.
type Column = fn(&Counts) -> usize;

/// Findings of one field: how often, and the first few.
type Groups = BTreeMap<String, (usize, Vec<String>)>;

/// Collects what became of the recordings.
#[derive(Debug, Default)]
pub(crate) struct Report {
    providers: BTreeMap<String, Counts>,
    groups: Groups,
    unreadable: Vec<String>,
    lines: Vec<String>,
}

impl Report {
    /// Takes one recording.
    pub(crate) fn add(&mut self, provider: &str, name: &str, fate: Fate, explained: &Explained) {
        let counts = self.providers.entry(provider.to_owned()).or_default();
        let (stream, crossed, findings) = match fate {
            Fate::NotOurs => return counts.not_ours += 1,
            Fate::Later => return counts.later += 1,
            Fate::Unreadable(why) => {
                counts.unreadable += 1;
                return self.unreadable.push(format!("{name}: {why}"));
            }
            Fate::Checked { stream, crossed, findings } => (stream, crossed, findings),
        };
        explained.saw(name);
        counts.in_scope += 1;
        let had_findings = !findings.is_empty();
        let open: Vec<Finding> =
            findings.into_iter().filter(|f| !explained.covers(name, &f.field)).collect();
        let none = |kinds: &[&str]| {
            !open.iter().any(|f| kinds.iter().any(|kind| f.field.starts_with(kind)))
        };
        counts.decoded += usize::from(none(&["request", "answer", "stream", "error", "restream"]));
        counts.resplit += usize::from(stream && none(&["resplit", "reframed", "cut"]));
        counts.crossed += usize::from(crossed > 0 && none(&["cross"]));
        counts.unexplained += usize::from(!open.is_empty());
        counts.explained += usize::from(open.is_empty() && had_findings);
        for finding in open {
            let line = format!("{name}\t{}\t{}", finding.field, finding.detail);
            let (count, examples) = self.groups.entry(plain(&finding.field)).or_default();
            *count += 1;
            if examples.len() < EXAMPLES {
                examples.push(line.clone());
            }
            self.lines.push(line);
        }
    }

    /// All findings without explanation, a line each.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Writes the findings by field, and the table. True if all is well.
    pub(crate) fn write(
        &self,
        explained: &Explained,
        out: &mut dyn Write,
    ) -> std::io::Result<bool> {
        for (field, (count, examples)) in &self.groups {
            writeln!(out, "{count} x {field}")?;
            for example in examples {
                writeln!(out, "    {example}")?;
            }
        }
        for why in &self.unreadable {
            writeln!(out, "unreadable: {why}")?;
        }
        for row in explained.unused() {
            writeln!(out, "explained without need: {row}")?;
        }
        self.table(out)?;
        let total = |of: Column| self.providers.values().map(of).sum::<usize>();
        let (in_scope, explained) = (total(|c| c.in_scope), total(|c| c.explained));
        let too_many = explained * 100 > in_scope * EXPLAINED_LIMIT_PERCENT;
        if too_many {
            writeln!(out, "more than {EXPLAINED_LIMIT_PERCENT} % of {in_scope} are explained")?;
        }
        Ok(total(|c| c.unexplained) == 0 && !too_many)
    }

    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let columns: [(&str, Column); 9] = [
            ("in scope", |c| c.in_scope),
            ("decoded", |c| c.decoded),
            ("re-split", |c| c.resplit),
            ("crossed", |c| c.crossed),
            ("not_ours", |c| c.not_ours),
            ("later", |c| c.later),
            ("unreadable", |c| c.unreadable),
            ("explained", |c| c.explained),
            ("unexplained", |c| c.unexplained),
        ];
        write!(out, "{:<20}", "provider")?;
        for (name, _) in columns {
            write!(out, " {name:>11}")?;
        }
        writeln!(out)?;
        for (provider, counts) in &self.providers {
            write!(out, "{provider:<20}")?;
            for (_, of) in columns {
                write!(out, " {:>11}", of(counts))?;
            }
            writeln!(out)?;
        }
        write!(out, "{:<20}", "all")?;
        for (_, of) in columns {
            write!(out, " {:>11}", self.providers.values().map(of).sum::<usize>())?;
        }
        writeln!(out)
    }
}

/// A field with its numbers taken out, so that like findings stand together.
fn plain(field: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in field.chars() {
        if !(inside && c.is_ascii_digit()) {
            out.push(c);
        }
        inside = (inside && c.is_ascii_digit()) || c == '[';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexplained_finding_fails_the_run() {
        let explained = Explained::read(std::path::Path::new("/nonexistent")).unwrap();
        let mut report = Report::default();
        report.add(
            "p",
            "r#0",
            Fate::Checked { stream: true, crossed: 2, findings: Vec::new() },
            &explained,
        );
        report.add("p", "r#1", Fate::Later, &explained);
        assert!(report.write(&explained, &mut Vec::new()).unwrap());
        let finding = Finding { field: "answer.a[3].b".into(), detail: "x".into() };
        report.add(
            "p",
            "r#2",
            Fate::Checked { stream: false, crossed: 2, findings: vec![finding] },
            &explained,
        );
        let mut out = Vec::new();
        assert!(!report.write(&explained, &mut out).unwrap());
        assert!(String::from_utf8(out).unwrap().contains("1 x answer.a[].b"));
    }
}
