//! Several nodes over one store: each hears within [`REFRESH`] what the others
//! changed, knows what of a budget is its own to spend, and settles what a
//! dead one left open. Nothing here is waited for by an exchange, but for one
//! bounded question: whether a key that nobody here knows was just made
//! elsewhere.

mod lost;
mod refresh;
mod shares;
mod unknown;

use std::time::Duration;

pub use shares::Spenders;
pub(crate) use unknown::Unknown;

/// How often a node looks at what the others did.
pub const REFRESH: Duration = Duration::from_millis(750);

#[cfg(test)]
mod tests;
