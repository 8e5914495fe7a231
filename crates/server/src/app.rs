//! What a running server is made of, shared by everyone who serves.

use std::sync::Arc;

use freehold_control::Control;
use freehold_store::Sqlite;
use freehold_types::Env;

use crate::config::watch::Watcher;
use crate::config::{Config, Live};
use crate::http::body::BodyBudget;
use crate::http::drain::Drain;
use crate::telemetry::logs::Logs;

/// The parts of a running server.
pub struct App {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// The configuration in force.
    pub config: Live<Config>,
    /// Reads it again.
    pub watcher: Arc<Watcher>,
    /// Keys, groups, budgets and the books.
    pub control: Arc<Control>,
    /// Where they are kept.
    pub store: Arc<Sqlite>,
    /// The memory that request bodies take.
    pub bodies: BodyBudget,
    /// Ends it all.
    pub drain: Drain,
    /// The log, if this process has it.
    pub logs: Option<Arc<Logs>>,
    /// When it started, on the monotonic clock.
    pub started: std::time::Duration,
}
