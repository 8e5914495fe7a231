//! What was measured beside what was asked for.

use std::fmt;

/// The bars of a run.
#[derive(Debug, Default)]
pub struct Verdict(Vec<Bar>);

#[derive(Debug)]
struct Bar {
    what: String,
    measured: String,
    asked: String,
    met: bool,
}

impl Verdict {
    /// A ratio that must be at least so much.
    pub fn at_least(&mut self, what: impl Into<String>, measured: f64, least: f64) {
        self.holds(what, format!("{measured:.2}"), format!("at least {least}"), measured >= least);
    }

    /// Something that must hold.
    pub fn holds(
        &mut self,
        what: impl Into<String>,
        measured: impl fmt::Display,
        asked: impl fmt::Display,
        met: bool,
    ) {
        let (measured, asked) = (measured.to_string(), asked.to_string());
        self.0.push(Bar { what: what.into(), measured, asked, met });
    }

    /// A figure that may be at most so much.
    pub fn at_most(&mut self, what: impl Into<String>, measured: f64, most: f64, unit: &str) {
        let shown = format!("{measured:.1} {unit}");
        self.holds(what, shown, format!("at most {most:.1} {unit}"), measured <= most);
    }

    /// A count that must be zero.
    pub fn none(&mut self, what: impl Into<String>, count: u64) {
        self.holds(what, count, 0, count == 0);
    }

    /// Whether every bar was met.
    pub fn is_met(&self) -> bool {
        self.0.iter().all(|bar| bar.met)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Bar { what, measured, asked, met } in &self.0 {
            let word = if *met { "ok" } else { "MISSED" };
            writeln!(f, "{word:<7} {what:<44} {measured:<22} {asked}")?;
        }
        Ok(())
    }
}
