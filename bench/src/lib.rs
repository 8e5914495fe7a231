//! What the bench programs share: command line, process figures, answers of
//! the mock upstream.
//!
//! `mock` is an upstream that answers as it is told, `hop` a bare hyper proxy
//! that only copies, `load` a load generator. `compare` runs them and
//! `freehold` side by side and prints the table; `overload` and `disconnects`
//! fail where `freehold` does not bear what it should. `idle`, `cold` and
//! `readers` do so for sessions: many that wait, one that nobody has in hand,
//! one that many follow. `store` tries the store by itself, `steps` sessions over
//! both stores, `steps_http` sessions of a server.

pub mod answers;
pub mod child;
pub mod client;
pub mod frames;
pub mod http;
pub mod leave;
pub mod load;
pub mod proc;
pub mod site;
pub mod slow;
pub mod steps;
pub mod subject;
pub mod verdict;

use std::collections::BTreeMap;
use std::str::FromStr;

/// `--name value` pairs of a program's command line.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Reads the process's own. A flag without a value is `true`.
    pub fn read() -> Self {
        let mut pairs = BTreeMap::new();
        let mut args = std::env::args().skip(1).peekable();
        while let Some(arg) = args.next() {
            if let Some(name) = arg.strip_prefix("--") {
                let value = args.next_if(|v| !v.starts_with("--"));
                pairs.insert(name.to_owned(), value.unwrap_or_else(|| "true".to_owned()));
            }
        }
        Self(pairs)
    }

    /// The value of a name, or `default` where it is absent or cannot be read.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        self.0.get(name).and_then(|v| v.parse().ok()).unwrap_or(default)
    }
}

/// The p-quantile (0 to 1) of sorted values; 0 if there are none.
pub fn quantile(sorted: &[u64], p: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a sample"
    )]
    let at = ((sorted.len().saturating_sub(1)) as f64 * p).round() as usize;
    sorted.get(at).copied().unwrap_or(0)
}
