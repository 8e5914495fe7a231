//! What `steps` compares: sessions of the runtime over a store, a bare log, a
//! bare SQLite, pgbench.

mod bare;
mod doors;
mod pgbench;
mod sessions;
mod turn;

use std::time::Instant;

pub use bare::{BareSqlite, Log};
pub use doors::env;
pub use pgbench::PgBench;
pub use sessions::{Stepper, begin_sessions};
pub use turn::{Turn, appends, middle, steps};

/// What goes wrong here.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a step writes into the journal, and the others into theirs.
pub const BODY: usize = 1024;

/// The time by a clock that goes on.
#[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
pub fn now() -> Instant {
    Instant::now()
}
