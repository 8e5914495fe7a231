//! The truth about readiness.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::App;
use crate::config::Otherwise;

/// Longer than this, a store does not answer.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

/// Whether requests should be sent here, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Readiness {
    /// Whether they should.
    pub ready: bool,
    /// What is well and what is not.
    pub detail: Value,
}

/// Looks at everything that a request needs. Weights of local models are not
/// among it: they are loaded when they are first asked for.
///
/// While the store is down, requests are served from what is in memory; that
/// is `degraded`, and ready unless the operator wants it otherwise.
pub async fn readiness(app: &App) -> Readiness {
    let store = store_problem(app).await;
    let usage = app.control.usage_counts();
    let config = app.watcher.state();
    let draining = app.drain.has_begun();
    let down = store.is_some() || usage.down.is_some();
    let refuses = app.config.load().usage.store_down == Otherwise::Refuse;
    let ready = !(draining || down && refuses);
    let status = match (ready, down || config.error.is_some()) {
        (false, _) => "not ready",
        (true, true) => "degraded",
        (true, false) => "ready",
    };
    let detail = json!({
        "status": status,
        "draining": draining,
        "store": {
            "ok": !down,
            "error": store.or(usage.down),
            "usage_waiting": usage.queued,
        },
        "keys": { "age_ms": millis(app.control.snapshot_age()) },
        "config": {
            "ok": config.error.is_none(),
            "error": config.error,
            "loaded_at": config.loaded.map(|at| at.to_string()),
            "warnings": app.config.load().warnings,
        },
        "in_flight": app.control.admission().in_flight(),
    });
    Readiness { ready, detail }
}

/// Why the store does not answer, if it does not.
async fn store_problem(app: &App) -> Option<String> {
    match tokio::time::timeout(STORE_PATIENCE, app.control.confirm()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("it did not answer within {STORE_PATIENCE:?}")),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
