//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Everything that is wrong with it; never empty.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column, both from 1, if it is about a place in the file.
    pub place: Option<(usize, usize)>,
    /// What was found, and what to write instead.
    pub message: String,
}

impl Error {
    /// One fault that is about the file as a whole.
    pub fn whole(file: Option<PathBuf>, message: impl Into<String>) -> Self {
        Self { file, faults: vec![Fault { place: None, message: message.into() }] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}:", file.display())?;
            }
            if let Some((line, column)) = fault.place {
                write!(f, "{line}:{column}:")?;
            }
            if self.file.is_some() || fault.place.is_some() {
                f.write_str(" ")?;
            }
            f.write_str(&fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
