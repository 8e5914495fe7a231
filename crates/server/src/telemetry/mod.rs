//! What the process says about itself: logs and traces.

pub mod json;
mod logs;
#[cfg(not(feature = "otlp"))]
#[path = "no_otlp.rs"]
mod otlp;
#[cfg(feature = "otlp")]
mod otlp;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use logs::Logs;
pub use otlp::Traces;

/// The target of the event that the gateway ends each exchange with.
const EXCHANGE: &str = "freehold::exchange";

/// How long what is left may take to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Logs and traces of one process.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// The log; `None` if someone else has the process's events.
    pub logs: Option<Arc<Logs>>,
    /// Traces, if they are configured.
    pub traces: Option<Arc<Traces>>,
}

impl Telemetry {
    /// Takes over the process's events.
    pub fn start(config: &Config) -> Self {
        let started =
            config.telemetry.otlp.as_ref().map(|otlp| Traces::start(otlp, &config.secrets));
        let (traces, wrong) = match started {
            Some(Ok(traces)) => (Some(traces), None),
            Some(Err(wrong)) => (None, Some(wrong)),
            None => (None, None),
        };
        let logs = Logs::start(config.telemetry.logs, traces.as_ref()).map(Arc::new);
        if let Some(wrong) = wrong {
            tracing::error!(wrong, "there are no traces");
        }
        Self { logs, traces }
    }

    /// Writes and sends what is left. Blocks for a moment.
    pub fn stop(&self) {
        if let Some(traces) = &self.traces {
            traces.stop(FLUSH);
        }
        if let Some(logs) = &self.logs {
            logs.flush(FLUSH);
        }
    }
}
