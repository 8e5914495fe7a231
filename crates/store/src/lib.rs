//! Where Freehold's state lives: the only room with SQL in it.
//!
//! Each aggregate is a file: its rows as types, functions that give a
//! [`Unit`](freehold_types::Unit) for each write, and reads over the door
//! [`Db`](freehold_types::Db). Nothing here decides anything, asks the time or
//! makes an id; values come in complete. Behind the door is [`Sqlite`] or
//! [`Postgres`].
//!
//! A query is written once, in what both understand: `$1` placeholders, each
//! with the type of its argument; `ON CONFLICT`; sums cast back to BIGINT. A
//! unit holds no DDL, and is safe under READ COMMITTED by one guarded row: a
//! condition on other rows goes into a statement of its own, after the one
//! that takes the row's lock, or it looks at the past.
//!
//! To add an aggregate: a migration with its tables for each database (every
//! unique key begins with the tenant), a file with its SQL as constants, its
//! contract test.

pub mod blob_store;
pub mod blobs;
pub mod budgets;
pub mod changes;
pub mod deletion;
pub mod exchanges;
pub mod forks;
pub mod fsck;
pub mod groups;
pub mod idempotency;
pub mod imports;
pub mod journal;
pub mod keys;
pub mod layout;
pub mod leases;
pub mod lost;
pub mod membership;
pub mod nodes;
pub mod session_secrets;
pub mod sessions;
pub mod shares;
pub mod sweeper;
pub mod tenant_keys;
pub mod timelines;
pub mod timers;
pub mod usage;
pub mod waits;

mod doubt;
mod error;
mod folder;
mod memory;
mod migrate;
mod postgres;
mod sqlite;
mod store;
mod tenants;

pub use doubt::settle;
pub use error::OpenError;
pub use memory::Memory;
pub use postgres::{Finding, Postgres, PostgresOptions, PostgresStats, Report};
pub use sqlite::{CopyError, DatabaseCopy, Sqlite, SqliteOptions, SqliteStats, check_copy};
pub use store::{OwnFolder, Store, StoreOptions, StoreStats};
