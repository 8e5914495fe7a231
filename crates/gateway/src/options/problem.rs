//! What validation finds wrong.

use std::fmt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to it: `["providers", "east", "timeouts"]`.
    pub path: Vec<String>,
    /// What was found, why it matters and what to write instead; fit to stand
    /// after a colon.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.join("."), self.message)
    }
}

/// Everything that is wrong, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Adds what holds below `prefix`.
    pub fn at<'a>(&'a mut self, prefix: &[&str]) -> At<'a> {
        At { problems: self, prefix: prefix.iter().map(|&key| key.to_owned()).collect() }
    }
}

/// Adds problems below one place.
pub struct At<'a> {
    problems: &'a mut Problems,
    prefix: Vec<String>,
}

impl At<'_> {
    /// Adds a problem with `key`, which may be a dotted path of plain keys and
    /// indexes (`deployments.0.model`), or empty for the place itself.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        let mut path = self.prefix.clone();
        path.extend(key.split('.').filter(|part| !part.is_empty()).map(str::to_owned));
        self.problems.0.push(Problem { path, message: message.into() });
    }
}
