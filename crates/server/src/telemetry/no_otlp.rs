//! Stands in for traces in a build without them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use freehold_gateway::options::Secrets;
use freehold_gateway::trace::Trace;
use tracing_subscriber::layer::Identity;

use crate::config::OtlpOptions;

/// Traces that cannot be.
pub struct Traces(Infallible);

impl Traces {
    /// Tells that this build has none.
    pub fn start(_: &OtlpOptions, _: &Secrets) -> Result<Arc<Self>, String> {
        Err("this build has no traces: build with the cargo feature `otlp`".to_owned())
    }

    /// Nothing.
    pub fn begin(&self, _: Option<Trace>) -> Trace {
        match self.0 {}
    }

    /// Nothing.
    pub fn layer(self: &Arc<Self>) -> Identity {
        match self.0 {}
    }

    /// Nothing.
    pub fn stop(&self, _: Duration) {
        match self.0 {}
    }
}
