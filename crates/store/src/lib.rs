//! Where Freehold's state lives: the only room with SQL in it.
//!
//! Each aggregate is a file: its rows as types, functions that give a
//! [`Unit`](freehold_types::Unit) for each write, and reads over the door
//! [`Db`](freehold_types::Db). Nothing here decides anything, asks the time or
//! makes an id; values come in complete. The doors' embedded side is
//! [`Sqlite`].
//!
//! To add an aggregate: a migration with its tables (every unique key begins
//! with the tenant), a file with its SQL as constants, its contract test.

pub mod budgets;
pub mod exchanges;
pub mod groups;
pub mod keys;
pub mod lost;
pub mod usage;

mod error;
mod migrate;
mod sqlite;

pub use error::OpenError;
pub use sqlite::{Sqlite, SqliteOptions, SqliteStats};
